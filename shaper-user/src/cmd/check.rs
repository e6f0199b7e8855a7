//! `shaper check`: is this configuration a policy?

use std::io::Write;

use super::Context;

/// Check a configuration without touching the kernel
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _context: &Context, _out: &mut impl Write) -> anyhow::Result<()> {
    anyhow::bail!("not implemented")
}
