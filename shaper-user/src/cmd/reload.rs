//! `shaper reload`: applies the configuration again, and brings the interfaces to what it says of them.

use std::io::Write;

use super::up;
use super::{Context, apply};
use crate::config::Config;
use crate::dataplane::{Attached, Dataplane};
use crate::policy::Policy;

/// Apply the configuration again; rules of `shaper set` stay
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let config = Config::load(&context.paths.config)?;
    apply::apply(
        config,
        &apply::Options::default(),
        apply::Scope::All,
        context,
        out,
    )
}

/// Attaches what `policy` names and what is there, lets go of what it names no more, and commits the policy: all of
/// it or nothing. The caller holds the lock.
pub(super) fn attach(
    policy: &Policy,
    dataplane: &Dataplane,
    context: &Context,
    commit: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Attached>> {
    let request = up::request(policy, true, context)?.unwrap_or_default();
    dataplane.attach_and(&request, commit).map_err(up::reported)
}
