//! `shaper diff`: what `apply` would change.

use std::io::Write;
use std::path::PathBuf;

use super::change::{in_time, running};
use super::sources::{add_kept, configuration_in, policy, set_aside};
use super::{Context, Failure};
use crate::config::Source;
use crate::dataplane::Dataplane;
use crate::policy::Diff;
use crate::store::Policies;
use crate::view::{json, rule as words};

/// Say what `shaper apply` would change
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file, `-` for standard input [default: the configuration].
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// As if the rules of `shaper set` were taken away, too.
    #[arg(long)]
    prune: bool,
}

pub(crate) fn run(args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let file = args.file.as_ref().unwrap_or(&context.paths.config);
    let mut next = configuration_in(file)?;
    policy(&next)?;
    Dataplane::open(&context.paths)?;
    let running = running(context)?;
    if !args.prune {
        add_kept(&mut next, &Policies::new(&context.paths))?;
        next.rules.extend(running.rules_of(Source::Temporary).cloned());
    }
    let mut next = in_time(next);
    set_aside(&mut next, context, |_| true);
    let (before, after) = (policy(&running)?, policy(&next)?);
    let mut differences = Vec::new();
    let diff = Diff::between(&before, &after, |difference| differences.push(difference));
    if context.format.is_json() {
        writeln!(
            out,
            "{}",
            json::differences(&Context::head(), &diff, &differences)
        )?;
    } else {
        for difference in &differences {
            for (sign, side) in ["-", "+"].iter().zip(words::sides(difference, context.unit)) {
                if let Some(side) = side {
                    writeln!(out, "{sign} {side}")?;
                }
            }
        }
    }
    if diff.is_empty() {
        return Ok(());
    }
    Err(Failure::Differs {
        message: format!(
            "what runs differs: {} to add, {} to take away, {} to change",
            diff.added, diff.removed, diff.changed
        ),
    }
    .into())
}
