//! `shaper exempt`: prefixes that are never limited, whatever the rules say.

use std::io::Write;

use super::change::running;
use super::{Change, Context, Failure, Format, policy, rails};
use crate::config::{Config, ExemptConfig, Source, text};
use crate::dataplane::Dataplane;
use crate::policy::{PolicyError, Prefix};
use crate::view::json;
use crate::view::table::{self, Table};

/// Say what is never limited, whatever the rules say
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Never limit these prefixes, at once and across reboots
    Add {
        /// `10.0.0.0/8`, `203.0.113.7`, `2001:db8::/56`.
        #[arg(required = true)]
        prefixes: Vec<String>,
    },
    /// Take back what `shaper exempt add` did
    #[command(visible_aliases = ["rm"])]
    Del {
        /// As they were added.
        #[arg(required = true)]
        prefixes: Vec<String>,
        /// It is fine if one is not there.
        #[arg(long)]
        ignore_missing: bool,
    },
    /// List what is never limited
    #[command(visible_aliases = ["ls"])]
    List,
}

pub(crate) fn run(args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    match &args.action {
        Action::Add { prefixes } => add(&parse(prefixes)?, context, out),
        Action::Del {
            prefixes,
            ignore_missing,
        } => delete(&parse(prefixes)?, *ignore_missing, context, out),
        Action::List => list(context, out),
    }
}

fn parse(texts: &[String]) -> Result<Vec<Prefix>, Failure> {
    let parse = |text: &String| Ok(text.parse().map_err(PolicyError::Destination)?);
    texts.iter().map(parse).collect()
}

fn add(prefixes: &[Prefix], context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let (change, dataplane) = Change::begin_up(context)?;
    let mut next = change.running(context)?;
    let before = policy(&next)?;
    let (mut news, mut lines) = (Vec::new(), Vec::new());
    for prefix in prefixes {
        if let Some(by) = before.exempt().covering(*prefix) {
            lines.push(format!("{prefix} is exempt already, by {by}"));
        } else {
            news.push(text(prefix.to_string()));
            lines.push(format!("{prefix} is never limited (kept across reboots)"));
        }
    }
    if !news.is_empty() {
        next.exempt.push(ExemptConfig::new(news, Source::Kept));
        change.commit(&dataplane, &next, context)?;
    }
    say(&lines, &next, context, out)
}

fn delete(
    prefixes: &[Prefix],
    is_missing_fine: bool,
    context: &Context,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let (change, dataplane) = Change::begin_up(context)?;
    let mut next = change.running(context)?;
    let owned = written(&next);
    for prefix in prefixes {
        let is_ours = owned.contains(&(*prefix, Source::Kept));
        if !is_ours && !is_missing_fine {
            let is_configured = owned.contains(&(*prefix, Source::Config));
            let path = context.paths.config.display();
            return Err(Failure::NoSuchRule {
                what: "`shaper exempt` did not add",
                selector: prefix.to_string(),
                hint: is_configured.then(|| {
                    format!("the configuration has it: take it out of `{path}` and run `shaper reload`")
                }),
            }
            .into());
        }
    }
    let before = policy(&next)?;
    for exempt in next
        .exempt
        .iter_mut()
        .filter(|exempt| exempt.source == Source::Kept)
    {
        exempt.prefixes.retain(|text| {
            let prefix = text.get_ref().parse();
            !prefix.is_ok_and(|prefix| prefixes.contains(&prefix))
        });
    }
    if written(&next) == owned {
        context.note("there was nothing to take away");
        return say(&[], &next, context, out);
    }
    let after = policy(&next)?;
    rails::warn(&before, &after, context);
    change.commit(&dataplane, &next, context)?;
    let line = |prefix: &Prefix| match after.exempt().covering(*prefix) {
        Some(by) => format!("{prefix} is still exempt, by {by}"),
        None => format!("{prefix} is subject to the rules"),
    };
    let lines: Vec<String> = prefixes.iter().map(line).collect();
    say(&lines, &next, context, out)
}

fn list(context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    Dataplane::open(&context.paths)?;
    let running = running(context)?;
    let mut table = Table::new(vec!["PREFIX", "SOURCE"]);
    for (prefix, source) in written(&running) {
        table.add(prefix);
        table.add(source.name());
        table.end_row();
    }
    match context.format {
        Format::Table => write!(out, "{}", table::aligned(&table, context.is_coloured))?,
        Format::Plain => write!(out, "{}", table::plain(&table))?,
        Format::Json | Format::Jsonl => say(&[], &running, context, out)?,
    }
    Ok(())
}

fn say(lines: &[String], config: &Config, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    if context.format.is_json() {
        let written = written(config);
        let prefixes = written.iter().map(|(prefix, source)| (*prefix, *source));
        writeln!(out, "{}", json::exempt(&Context::head(), prefixes))?;
        return Ok(());
    }
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// Every exempt prefix with who wrote it, in ascending order.
fn written(config: &Config) -> Vec<(Prefix, Source)> {
    let of_one = |exempt: &ExemptConfig| {
        let source = exempt.source;
        let prefixes = exempt
            .prefixes
            .iter()
            .filter_map(|text| text.get_ref().parse().ok());
        prefixes.map(move |prefix| (prefix, source)).collect::<Vec<_>>()
    };
    let mut all: Vec<(Prefix, Source)> = config.exempt.iter().flat_map(of_one).collect();
    all.sort_unstable();
    all.dedup();
    all
}
