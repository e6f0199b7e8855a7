//! `shaper set`: limits one destination.

use std::io::Write;

use super::Context;

/// Limit a destination
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _context: &Context, _out: &mut impl Write) -> anyhow::Result<()> {
    anyhow::bail!("not implemented")
}
