//! Repairs what the monitor found: under the lock, with the policy that runs then.

use std::collections::BTreeSet;

use super::failure::hint;
use super::observe::describe;
use super::sources::policy;
use super::{Change, Context};
use crate::dataplane::{Dataplane, DataplaneError, Hook, InterfaceStatus, Request};
use crate::monitor::{Repair, Wanted};

/// What became of one interface: what was done, if there was anything to do; or why it was not, and the remedy.
pub(super) type Outcome = (String, Result<Option<String>, (String, String)>);

/// Attaches to the interfaces of `repair` again, and brings the books up to date. Nothing, if shaper is not up.
///
/// # Errors
///
/// What stands in the way of all of them.
pub(super) fn carry_out(context: &Context, repair: &Repair) -> anyhow::Result<Vec<Outcome>> {
    // A policy on trial is in force as any other.
    let change = Change::begin_in_trial(context)?;
    let dataplane = match Dataplane::open(&context.paths) {
        Err(DataplaneError::NotUp) => return Ok(Vec::new()),
        opened => opened?,
    };
    let policy = policy(&change.running(context)?)?;
    let wanted = Wanted::of(&policy);
    let request = |names: &[String]| -> anyhow::Result<Request> {
        let attached = dataplane.interfaces()?;
        Ok(Request {
            hook: chosen(&attached),
            interfaces: names
                .iter()
                .map(|name| (name.clone(), wanted.overhead(name)))
                .collect(),
            policed: Some(wanted.policed(names)),
            configured: wanted.configured(names),
            needs: policy.fq_needs(),
            is_partial: true,
            keep_gone: awaited(attached, &wanted),
            ..Request::default()
        })
    };
    // Whatever was let go of since it was looked at stays so.
    let attached = dataplane.interfaces()?;
    let is_ours =
        |name: &&String| wanted.is_wanted(name) || attached.iter().any(|interface| interface.name == **name);
    let names = &repair
        .interfaces
        .iter()
        .filter(is_ours)
        .cloned()
        .collect::<Vec<_>>()[..];
    match dataplane.attach(&request(names)?) {
        Ok(attached) => Ok(attached
            .into_iter()
            .map(|attached| {
                let done = describe(&attached);
                (attached.interface, Ok(done))
            })
            .collect()),
        Err(error) if names.len() == 1 => Ok(vec![(names[0].clone(), Err(refusal(error)))]),
        Err(error) if names.is_empty() => Err(error.into()),
        // One of them is in the way of the others.
        Err(_) => names
            .iter()
            .map(|name| {
                let one = Repair {
                    interfaces: vec![name.clone()],
                };
                let result = match dataplane.attach(&request(&one.interfaces)?) {
                    Ok(attached) => Ok(attached.first().and_then(describe)),
                    Err(error) => Err(refusal(error)),
                };
                Ok((name.clone(), result))
            })
            .collect(),
    }
}

/// The hook that whoever attached them chose, where it is not the best that there is.
fn chosen(attached: &[InterfaceStatus]) -> Option<Hook> {
    let is_on_clsact = |interface: &InterfaceStatus| interface.hook == Hook::Clsact;
    (!attached.is_empty() && attached.iter().all(is_on_clsact)).then_some(Hook::Clsact)
}

/// Interfaces that are gone, and that somebody waits for.
fn awaited(attached: Vec<InterfaceStatus>, wanted: &Wanted) -> BTreeSet<String> {
    let gone = attached
        .into_iter()
        .filter(|interface| interface.ifindex == 0 && !wanted.is_by_pattern(&interface.name));
    gone.map(|interface| interface.name).collect()
}

fn refusal(error: DataplaneError) -> (String, String) {
    let error = anyhow::Error::from(error);
    (format!("{error:#}"), hint(&error).unwrap_or_default())
}
