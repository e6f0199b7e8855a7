//! `shaper doctor`: can this machine do it?

use std::io::Write;

use super::Context;

/// Say whether this machine can run shaper
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _context: &Context, _out: &mut impl Write) -> anyhow::Result<()> {
    anyhow::bail!("not implemented")
}
