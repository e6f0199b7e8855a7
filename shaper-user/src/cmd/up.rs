//! `shaper up`: loads, attaches, puts fq in place.

use std::io::Write;

use super::Context;

/// Start enforcing
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _context: &Context, _out: &mut impl Write) -> anyhow::Result<()> {
    anyhow::bail!("not implemented")
}
