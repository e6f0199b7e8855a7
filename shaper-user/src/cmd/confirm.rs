//! `shaper confirm`: keeps a change that is on trial.

use std::io::Write;

use super::{Change, Context, Failure};
use crate::dataplane::Dataplane;
use crate::view::json;

/// Keep the change that `--try` made
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    Dataplane::open(&context.paths)?;
    let change = Change::begin_in_trial(context)?;
    if change.trial()?.is_none() {
        return Err(Failure::NoSuchRule {
            what: "no change",
            selector: "is on trial".to_owned(),
            hint: Some("its time is over, or nobody used `--try`".to_owned()),
        }
        .into());
    }
    change.confirm()?;
    if context.format.is_json() {
        writeln!(out, "{}", json::confirmed(&Context::head()))?;
    } else {
        writeln!(out, "confirmed: the change stays")?;
    }
    Ok(())
}
