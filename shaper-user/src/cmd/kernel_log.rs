//! `shaper kernel-log`: what the program logs, for debugging.

use std::io::Write;

use super::Context;

/// Print what the kernel program logs, for debugging
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _context: &Context, _out: &mut impl Write) -> anyhow::Result<()> {
    anyhow::bail!("not implemented")
}
