//! `shaper reload`: applies the configuration again.

use std::io::Write;

use super::Context;

/// Apply the configuration again
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _context: &Context, _out: &mut impl Write) -> anyhow::Result<()> {
    anyhow::bail!("not implemented")
}
