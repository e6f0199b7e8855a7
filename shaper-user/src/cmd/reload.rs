//! `shaper reload`: applies the configuration again, and attaches the interfaces it has come to name.

use std::io::Write;

use super::up;
use super::{Change, Context, apply};
use crate::config::Config;
use crate::dataplane::{Attached, Dataplane, Request};
use crate::monitor::Wanted;
use crate::policy::Policy;
use crate::store::Running;

/// Apply the configuration again; rules of `shaper set` stay
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let config = Config::load(&context.paths.config)?;
    apply::apply(config, &apply::Options::of_reload(), context, out)
}

/// Attaches what `policy` names and what is there, where it is not so already. The caller holds the lock.
pub(super) fn attach(
    policy: &Policy,
    dataplane: &Dataplane,
    context: &Context,
) -> anyhow::Result<Vec<Attached>> {
    let wanted = Wanted::of(policy);
    let interfaces = up::interfaces(context, &wanted)?.unwrap_or_default();
    let request = Request {
        policed: Some(wanted.policed(interfaces.keys())),
        interfaces,
        needs: policy.fq_needs(),
        ..Request::default()
    };
    Ok(dataplane.attach(&request)?)
}

/// After an interface that could not be attached: what ran before runs again.
pub(super) fn take_back(
    error: anyhow::Error,
    change: &Change,
    dataplane: &Dataplane,
    before: &Running,
    context: &Context,
) -> anyhow::Error {
    match change.commit(dataplane, before, context) {
        Ok(_) => error.context("nothing was changed"),
        Err(second) => error.context(format!(
            "the rules were applied, and could not be taken back ({second:#}); \
             the interfaces are as before until the next `shaper reload`"
        )),
    }
}
