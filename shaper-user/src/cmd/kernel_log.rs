//! `shaper kernel-log`: what the program logs, for debugging.

use std::io::Write;

use super::Context;
use crate::dataplane::Dataplane;

/// Print what the kernel program logs, for debugging
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let dataplane = Dataplane::open(&context.paths)?;
    if !dataplane.is_logging()? {
        context.note("nothing is logged: the programs were loaded with logging off; `shaper up --kernel-log 5` turns it on");
    }
    dataplane.follow_log(|line| writeln!(out, "{line}").and_then(|()| out.flush()))??;
    Ok(())
}
