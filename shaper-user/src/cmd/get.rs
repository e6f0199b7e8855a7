//! `shaper get`: which rule wins for this destination, and why.

use std::io::Write;

use super::Context;

/// Say which rule wins for a destination, and why
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _context: &Context, _out: &mut impl Write) -> anyhow::Result<()> {
    anyhow::bail!("not implemented")
}
