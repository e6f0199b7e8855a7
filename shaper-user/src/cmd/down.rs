//! `shaper down`: takes away what up made.

use std::io::Write;

use super::{Change, Context};
use crate::dataplane;

/// Stop enforcing and put the qdiscs back
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let change = Change::begin_to_end(context)?;
    let (was_up, notes) = dataplane::take_down(&context.paths)?;
    change.forget()?;
    for note in notes {
        context.note(note);
    }
    if !context.format.is_json() {
        writeln!(
            out,
            "{}",
            if was_up {
                "down: nothing is limited any more"
            } else {
                "already down"
            }
        )?;
    }
    Ok(())
}
