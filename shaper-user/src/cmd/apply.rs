//! `shaper apply`: makes a configuration the running policy.

use std::io::Write;
use std::path::PathBuf;

use super::change::in_time;
use super::sources::{configuration_in, is_aside, policy, set_aside, warnings};
use super::{Change, Context, Verbosity, rails, reload, trial, up};
use crate::config::{Config, Source};
use crate::dataplane::Done;
use crate::policy::Diff;
use crate::view::json;

/// Make a configuration the running policy, all at once
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file, `-` for standard input [default: the configuration].
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// How to apply.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Options {
    /// Take away what `shaper set` and `shaper exempt` made, too.
    #[arg(long)]
    prune: bool,
    /// Say what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Take it back after so long, unless `shaper confirm` follows.
    #[arg(long = "try", value_name = "DURATION", conflicts_with = "dry_run")]
    trial: Option<String>,
}

/// What of a configuration is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Its rules, and what it says of interfaces.
    All,
    /// All but what it says of interfaces.
    Rules,
}

pub(crate) fn run(args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let file = args.file.as_ref().unwrap_or(&context.paths.config);
    // A wrong option is said before a long file is read.
    args.options.trial.as_deref().map(trial::span).transpose()?;
    // Interfaces are attached as the configuration says, after the next boot, too.
    let scope = if *file == context.paths.config && args.options.trial.is_none() {
        Scope::All
    } else {
        Scope::Rules
    };
    apply(configuration_in(file)?, &args.options, scope, context, out)
}

/// Makes `config` the configured part of what runs.
pub(super) fn apply(
    config: Config,
    options: &Options,
    scope: Scope,
    context: &Context,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let trial = options.trial.as_deref().map(trial::span).transpose()?;
    let configured = policy(&config)?;
    for warning in warnings(&config, &configured) {
        context.note(format_args!("warning: {warning}"));
    }
    let n_configured = config.rules.len();
    let (change, dataplane) = Change::begin_up(context)?;
    let mut next = config;
    if !options.prune {
        change.add_ours(&mut next)?;
    }
    let mut next = in_time(next);
    let running = change.running(context)?;
    // What fits until now and would no longer is refused below: nobody has been told yet.
    set_aside(&mut next, context, |rule| is_aside(&running, rule));
    let before = policy(&running)?;
    // There may be a million rules in it.
    drop(running);
    let after = if next.rules.len() == n_configured && is_all_configured(&next) {
        configured
    } else {
        policy(&next)?
    };
    rails::warn(&before, &after, context);
    if context.verbosity >= Verbosity::Verbose && after.fq_needs().is_capped {
        context.detail(
            "fq is given less room than all rules together could fill with the smallest of packets; \
             a shorter `horizon` needs less",
        );
    }
    let diff = Diff::between(&before, &after, |_| {});
    let commit = || change.commit_policy(&dataplane, &next, &after, context).map(drop);
    let mut attached = Vec::new();
    match trial {
        _ if options.dry_run => {}
        None if scope == Scope::All => attached = reload::attach(&after, &dataplane, context, commit)?,
        None => commit()?,
        Some(time) => drop(change.commit_on_trial(&dataplane, &next, time, context)?),
    }
    if scope == Scope::Rules && !options.dry_run && before.interfaces() != after.interfaces() {
        context.note(format_args!(
            "what this says of interfaces is not in force: once `{}` says the same, run `shaper reload`",
            context.paths.config.display()
        ));
    }
    say(&diff, options.dry_run, context, out)?;
    for attached in attached.iter().filter(|attached| attached.done != Done::Nothing) {
        up::describe(attached, context, out)?;
    }
    if let Some(time) = trial {
        // Whoever confirms needs the lock.
        drop(change);
        out.flush()?;
        trial::wait(time, context)?;
    }
    Ok(())
}

/// Whether `shaper set` and `shaper exempt` have added nothing.
fn is_all_configured(next: &Config) -> bool {
    next.rules.iter().all(|rule| rule.source == Source::Config)
        && next
            .exempt
            .iter()
            .all(|exempt| exempt.source == Source::Config || exempt.prefixes.is_empty())
}

fn say(diff: &Diff, is_dry: bool, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    if context.format.is_json() {
        writeln!(out, "{}", json::applied(&Context::head(), diff, is_dry))?;
        return Ok(());
    }
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
    } = *diff;
    writeln!(out, "+{added} -{removed} ~{changed} ={unchanged}{note}")?;
    Ok(())
}
