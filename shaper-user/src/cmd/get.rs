//! `shaper get`: which rule wins for this destination, and why.

use std::io::Write;

use super::change::running;
use super::{Context, Failure, policy};
use crate::dataplane::Dataplane;
use crate::policy::Destination;
use crate::policy::prefix::PrefixError;
use crate::view::{explanation, json};

/// Say which rule wins for a destination, and why
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `203.0.113.7`, `203.0.113.0/24`, `2001:db8::/56` or `any`.
    destination: String,
}

pub(crate) fn run(args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let destination: Destination = args
        .destination
        .parse()
        .map_err(|error: PrefixError| Failure::Usage {
            message: error.to_string(),
            hint: error.hint(),
        })?;
    Dataplane::open(&context.paths)?;
    let policy = policy(&running(context)?)?;
    let explained = policy.explain(destination);
    if context.format.is_json() {
        writeln!(out, "{}", json::explanation(&Context::head(), &explained))?;
    } else {
        writeln!(out, "{}", explanation::text(&explained, context.unit))?;
    }
    Ok(())
}
