//! `shaper apply`: makes a configuration the running policy.

use std::io::Write;

use super::Context;

/// Make a configuration the running policy
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _context: &Context, _out: &mut impl Write) -> anyhow::Result<()> {
    anyhow::bail!("not implemented")
}
