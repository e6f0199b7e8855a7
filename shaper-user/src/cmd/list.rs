//! `shaper list`: the rules in force.

use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

use super::change::running;
use super::{Context, Failure, Format, policy};
use crate::config::Source;
use crate::dataplane::Dataplane;
use crate::policy::amount::parse_time;
use crate::policy::{Destination, Rule};
use crate::stats::Activities;
use crate::view::row::{self, Row, SortBy};
use crate::view::{json, table};

/// List the rules in force
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Names or destinations; a prefix stands for every rule inside.
    selectors: Vec<String>,
    /// Counters, and what is sent at the moment.
    #[arg(long)]
    stats: bool,
    /// How long to measure what is sent at the moment.
    #[arg(long, value_name = "TIME", default_value = "1s", requires = "stats")]
    interval: String,
    /// Only rules of the configuration, or of `shaper set`.
    #[arg(long, value_enum)]
    source: Option<Owner>,
    /// Only rules for this service.
    #[arg(long)]
    service: Option<String>,
    /// Only rules of this group.
    #[arg(long)]
    group: Option<String>,
    /// What to sort by.
    #[arg(long, value_enum, default_value_t)]
    sort: SortBy,
}

/// Who wrote the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Owner {
    /// The configuration.
    Config,
    /// `shaper set`.
    Cli,
}

pub(crate) fn run(args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let interval = parse_time(&args.interval)
        .ok()
        .filter(|interval| (Duration::from_millis(1)..=Duration::from_hours(1)).contains(interval))
        .ok_or_else(|| Failure::Usage {
            message: format!("`{}` is not an interval from 1ms to 3600s", args.interval),
            hint: Some("write for example `2s`".to_owned()),
        })?;
    let dataplane = Dataplane::open(&context.paths)?;
    let policy = policy(&running(context)?)?;
    let activities = if args.stats {
        let before = dataplane.snapshot()?;
        sleep(interval);
        Some(Activities::between(&before, &dataplane.snapshot()?))
    } else {
        None
    };
    let rules = policy.rules().iter().filter(|rule| args.selects(rule));
    let mut rows: Vec<Row<'_>> = rules
        .map(|rule| {
            let is_exempt = !policy.is_in_force(rule);
            let measured = activities.as_ref().filter(|_| !is_exempt);
            // All entries of a rule share its bucket.
            let key = policy.keys(rule).into_iter().next();
            let activity = measured.zip(key).and_then(|(all, key)| all.get(&key));
            Row {
                rule,
                is_exempt,
                activity,
            }
        })
        .collect();
    row::sort(&mut rows, args.sort);
    let pairs = || rows.iter().map(|row| (row.rule, row.activity));
    match context.format {
        Format::Table => {
            let table = row::table(&rows, args.stats, context.unit);
            write!(out, "{}", table::aligned(&table, context.is_coloured))?;
        }
        Format::Plain => write!(out, "{}", table::plain(&row::plain(&rows, args.stats)))?,
        Format::Json => writeln!(out, "{}", json::rules(&Context::head(), pairs()))?,
        Format::Jsonl => {
            for (rule, activity) in pairs() {
                writeln!(out, "{}", json::rule(rule, activity))?;
            }
        }
    }
    Ok(())
}

impl Args {
    fn selects(&self, rule: &Rule) -> bool {
        let is_owned = match self.source {
            None => true,
            Some(Owner::Config) => rule.source == Source::Config,
            Some(Owner::Cli) => rule.source != Source::Config,
        };
        let is_for_service = self.service.as_ref().is_none_or(|wanted| {
            let service = rule.service.as_ref();
            service.is_some_and(|service| service.name == *wanted)
        });
        let is_in_group = self.group.as_ref().is_none_or(|wanted| {
            let group = rule.group.as_ref();
            group.is_some_and(|group| group.name == *wanted)
        });
        is_owned
            && is_for_service
            && is_in_group
            && (self.selectors.is_empty() || self.selectors.iter().any(|text| is_meant(text, rule)))
    }
}

fn is_meant(selector: &str, rule: &Rule) -> bool {
    if rule.name.as_deref() == Some(selector) {
        return true;
    }
    match (selector.parse(), rule.destination) {
        (Ok(Destination::Prefix(outer)), Destination::Prefix(prefix)) => outer.contains(prefix),
        (Ok(wanted), destination) => wanted == destination,
        (Err(_), _) => false,
    }
}

impl clap::ValueEnum for SortBy {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Destination,
            Self::Name,
            Self::Service,
            Self::Rate,
            Self::Group,
            Self::Expires,
            Self::Now,
            Self::Dropped,
        ]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(match self {
            Self::Destination => "destination",
            Self::Name => "name",
            Self::Service => "service",
            Self::Rate => "rate",
            Self::Group => "group",
            Self::Expires => "expires",
            Self::Now => "now",
            Self::Dropped => "dropped",
        }))
    }
}
