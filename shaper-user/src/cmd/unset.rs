//! `shaper unset`: takes a limit away.

use std::io::Write;

use super::Context;

/// Take a limit away
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _context: &Context, _out: &mut impl Write) -> anyhow::Result<()> {
    anyhow::bail!("not implemented")
}
