//! `shaper apply`: makes a configuration the running policy.

use std::io::Write;
use std::path::PathBuf;

use super::sources::{configuration_in, policy, warnings};
use super::{Change, Context, rails};
use crate::config::Config;
use crate::policy::tables::Tables;
use crate::policy::{Destination, Diff};
use crate::view::json;

/// Make a configuration the running policy, all at once
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file, `-` for standard input [default: the configuration].
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Take away the rules of `shaper set`, too.
    #[arg(long)]
    prune: bool,
    /// Say what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let file = args.file.as_ref().unwrap_or(&context.paths.config);
    let config = configuration_in(file)?;
    apply(config, args.prune, args.dry_run, context, out)
}

/// Makes `config` the configured part of what runs.
pub(super) fn apply(
    config: Config,
    is_pruned: bool,
    is_dry: bool,
    context: &Context,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let configured = policy(&config)?;
    for warning in warnings(&config, &configured) {
        context.note(format_args!("warning: {warning}"));
    }
    let (change, dataplane) = Change::begin_up(context)?;
    let mut next = config;
    if !is_pruned {
        next.rules.extend(change.set_rules()?);
    }
    let after = policy(&next)?;
    if let Err(risk) = rails::check(&policy(&change.running(context)?)?, &after, Destination::Any) {
        context.note(format_args!("warning: {risk}"));
    }
    if after.fq_needs().is_capped {
        context.detail(
            "fq is given less room than all rules together could fill with the smallest of packets; \
             a shorter `horizon` needs less",
        );
    }
    let diff = if is_dry {
        Diff::between(&dataplane.entries()?, &Tables::from(&after))
    } else {
        let applied = change.commit(&dataplane, &next)?;
        Diff {
            added: applied.added,
            removed: applied.removed,
            changed: applied.changed,
            unchanged: applied.unchanged,
        }
    };
    if context.format.is_json() {
        writeln!(out, "{}", json::applied(&Context::head(), &diff, is_dry))?;
    } else {
        let note = if is_dry {
            " (nothing was changed: --dry-run)"
        } else {
            ""
        };
        let Diff {
            added,
            removed,
            changed,
            unchanged,
        } = diff;
        writeln!(out, "+{added} -{removed} ~{changed} ={unchanged}{note}")?;
    }
    Ok(())
}
