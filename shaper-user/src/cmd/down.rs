//! `shaper down`: takes away what up made.

use std::io::Write;

use super::{Change, Context};
use crate::dataplane;
use crate::view::json;

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
    let line = match (context.format.is_json(), was_up) {
        (true, _) => json::down(&Context::head(), was_up),
        (false, true) => "down: nothing is limited any more".to_owned(),
        (false, false) => "already down".to_owned(),
    };
    writeln!(out, "{line}")?;
    Ok(())
}
