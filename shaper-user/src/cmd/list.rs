//! `shaper list`: the rules in force.

use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

use super::part::part_of_policy;
use super::{Context, Failure, Format};
use crate::config::Source;
use crate::dataplane::Dataplane;
use crate::policy::amount::parse_time;
use crate::policy::prefix::PrefixError;
use crate::policy::{Destination, Policy, Rule};
use crate::stats::Activities;
use crate::view::row::{self, Row, SortBy};
use crate::view::{json, table};

/// List the rules in force
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Names or destinations; a prefix stands for every rule inside. What is written like a destination is none's name.
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
    let selectors: Vec<Selector<'_>> = args.selectors.iter().map(|text| Selector::of(text)).collect();
    let policy = part_of_policy(context, &|other| may_be_meant(&selectors, other))?;
    let unknown = selectors.iter().find(|selector| selector.is_unknown(&policy));
    let activities = if args.stats {
        let before = dataplane.snapshot()?;
        sleep(interval);
        Some(Activities::between(&before, &dataplane.snapshot()?))
    } else {
        None
    };
    let rules = policy
        .rules()
        .iter()
        .filter(|rule| args.selects(rule, &selectors));
    let mut rows: Vec<Row<'_>> = rules
        .map(|rule| {
            let is_exempt = !policy.is_in_force(rule);
            let measured = activities.as_ref().filter(|_| !is_exempt);
            // All entries of a rule share its bucket.
            let activity = measured.and_then(|all| all.get(policy.keys(rule).first()?));
            Row {
                rule,
                is_exempt,
                activity,
            }
        })
        .collect();
    if rows.is_empty()
        && let Some(unknown) = unknown
    {
        return Err(unknown.no_such_rule().into());
    }
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
    // What there is comes first.
    out.flush()?;
    unknown.map_or(Ok(()), |unknown| Err(unknown.no_such_rule().into()))
}

impl Args {
    fn selects(&self, rule: &Rule, selectors: &[Selector<'_>]) -> bool {
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
            && (selectors.is_empty() || selectors.iter().any(|selector| selector.selects(rule)))
    }
}

/// Which rules are meant.
enum Selector<'a> {
    Destination(Destination),
    /// Why it is no destination is kept, in case it was meant to be one.
    Name(&'a str, PrefixError),
}

impl<'a> Selector<'a> {
    fn of(text: &'a str) -> Self {
        match text.parse() {
            Ok(destination) => Self::Destination(destination),
            Err(error) => Self::Name(text, error),
        }
    }

    fn selects(&self, rule: &Rule) -> bool {
        match self {
            Self::Destination(wanted) => is_inside(rule.destination, *wanted),
            Self::Name(name, _) => rule.name.as_deref() == Some(*name),
        }
    }

    fn is_unknown(&self, policy: &Policy) -> bool {
        !policy.rules().iter().any(|rule| self.selects(rule))
    }

    fn no_such_rule(&self) -> Failure {
        let (what, selector, hint) = match self {
            Self::Destination(Destination::Any) => ("there is no rule for", "any".to_owned(), None),
            Self::Destination(destination) => (
                "there is no rule for",
                destination.to_string(),
                Some(format!("`shaper get {destination}` says which rule covers it")),
            ),
            Self::Name(name, error) => (
                "there is no rule named",
                format!("\"{name}\""),
                Some(
                    hint_of(error).unwrap_or_else(|| "`shaper list` shows all, with their names".to_owned()),
                ),
            ),
        };
        Failure::NoSuchRule { what, selector, hint }
    }
}

/// How to write the destination that was meant by what is none, if one was.
fn hint_of(error: &PrefixError) -> Option<String> {
    match error {
        PrefixError::Address { .. } => None,
        other => other.hint(),
    }
}

/// A destination that is no prefix is only inside itself.
fn is_inside(inner: Destination, outer: Destination) -> bool {
    match (outer, inner) {
        (Destination::Prefix(outer), Destination::Prefix(inner)) => outer.contains(inner),
        _ => outer == inner,
    }
}

/// Whether a rule for `other` may be one of those that are meant.
fn may_be_meant(selectors: &[Selector<'_>], other: Destination) -> bool {
    let may_be = |selector: &Selector<'_>| match selector {
        Selector::Destination(wanted) => is_inside(other, *wanted),
        Selector::Name(..) => true,
    };
    selectors.is_empty() || selectors.iter().any(may_be)
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
