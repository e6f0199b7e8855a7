//! `shaper status`: is everything in place?

use std::io::Write;

use super::Context;

/// Say whether everything is in place
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _context: &Context, _out: &mut impl Write) -> anyhow::Result<()> {
    anyhow::bail!("not implemented")
}
