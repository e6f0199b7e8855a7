//! `shaper apply`: makes a configuration the running policy.

use std::io::Write;
use std::path::PathBuf;

use super::change::in_time;
use super::sources::{configuration_in, policy, set_aside, warnings, written_target};
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
    /// Attach the interfaces that the configuration has come to name, too: all of it or nothing.
    #[arg(skip)]
    attaches: bool,
}

impl Options {
    /// As `shaper reload` applies.
    pub(super) fn of_reload() -> Self {
        Self {
            attaches: true,
            ..Self::default()
        }
    }
}

pub(crate) fn run(args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let file = args.file.as_ref().unwrap_or(&context.paths.config);
    // A wrong option is said before a long file is read.
    args.options.trial.as_deref().map(trial::span).transpose()?;
    apply(configuration_in(file)?, &args.options, context, out)
}

/// Makes `config` the configured part of what runs.
pub(super) fn apply(
    config: Config,
    options: &Options,
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
    set_aside(&mut next, context, |rule| {
        running
            .aside
            .iter()
            .any(|aside| written_target(aside) == written_target(rule))
    });
    let before = policy(&running)?;
    // There may be a million rules in it.
    let running = options.attaches.then_some(running);
    let after = if next.rules.len() == n_configured && is_all_configured(&next) {
        configured
    } else {
        policy(&next)?
    };
    if let Err(risk) = rails::check(&before, &after) {
        context.note(format_args!("warning: {risk}"));
    }
    if context.verbosity >= Verbosity::Verbose && after.fq_needs().is_capped {
        context.detail(
            "fq is given less room than all rules together could fill with the smallest of packets; \
             a shorter `horizon` needs less",
        );
    }
    let diff = Diff::between(&before, &after, |_| {});
    match trial {
        _ if options.dry_run => {}
        None => drop(change.commit_policy(&dataplane, &next, &after, context)?),
        Some(time) => drop(change.commit_on_trial(&dataplane, &next, time, context)?),
    }
    let mut attached = Vec::new();
    if let Some(running) = running {
        attached = reload::attach(&after, &dataplane, context)
            .map_err(|error| reload::take_back(error, &change, &dataplane, &running, context))?;
    }
    say(&diff, options.dry_run, context, out)?;
    for attached in attached.iter().filter(|attached| attached.done == Done::Attached) {
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
