//! `shaper reload`: applies the configuration again, and attaches the interfaces it has come to name.

use std::io::Write;

use super::sources::policy;
use super::up;
use super::{Change, Context, apply};
use crate::config::Config;
use crate::dataplane::{Done, Request};
use crate::monitor::Wanted;

/// Apply the configuration again; rules of `shaper set` stay
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let config = Config::load(&context.paths.config)?;
    apply::apply(config, &apply::Options::default(), context, out)?;
    attach(context, out)
}

/// Attaches what the running policy names and what is there, where it is not so already.
fn attach(context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let (change, dataplane) = Change::begin_up(context)?;
    let policy = policy(&change.running(context)?)?;
    let wanted = Wanted::of(&policy);
    let interfaces = up::interfaces(context, &wanted)?.unwrap_or_default();
    let request = Request {
        policed: Some(wanted.policed(interfaces.keys())),
        interfaces,
        needs: policy.fq_needs(),
        ..Request::default()
    };
    for attached in dataplane.attach(&request)? {
        if attached.done == Done::Attached {
            up::describe(&attached, context, out)?;
        }
    }
    Ok(())
}
