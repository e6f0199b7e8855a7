//! `shaper down`: takes away what up made.

use std::io::Write;

use super::Context;

/// Stop enforcing and put the qdiscs back
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _context: &Context, _out: &mut impl Write) -> anyhow::Result<()> {
    anyhow::bail!("not implemented")
}
