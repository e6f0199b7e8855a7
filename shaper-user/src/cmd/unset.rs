//! `shaper unset`: takes a limit away.

use std::io::Write;

use super::{Change, Context, Failure, policy};
use crate::config::{RuleConfig, Source};
use crate::policy::prefix::PrefixError;
use crate::policy::{Destination, Policy, Rule, Winner};
use crate::view::json;
use crate::view::units;

/// Take away a limit that `shaper set` made
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Destination of the rule.
    #[arg(required_unless_present_any = ["name", "all"])]
    destination: Option<String>,
    /// Name of the rule.
    #[arg(long, conflicts_with = "destination")]
    name: Option<String>,
    /// Every rule that `shaper set` made.
    #[arg(long, conflicts_with_all = ["destination", "name"])]
    all: bool,
    /// It is fine if there is no such rule.
    #[arg(long)]
    ignore_missing: bool,
}

/// Which rules are meant.
enum Selector<'a> {
    Destination(Destination),
    Name(&'a str),
    All,
}

pub(crate) fn run(args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let selector = args.selector()?;
    let (change, dataplane) = Change::begin_up(context)?;
    let mut next = change.running(context)?;
    let before = policy(&next)?;
    let n_before = next.rules.len();
    next.rules
        .retain(|rule| rule.source == Source::Config || !selector.selects(rule));
    if next.rules.len() == n_before {
        return if args.ignore_missing || args.all {
            context.note("there was nothing to take away");
            Ok(())
        } else {
            Err(missing(&selector, &before, context).into())
        };
    }
    let after = policy(&next)?;
    change.commit(&dataplane, &next)?;

    let removed = before
        .rules()
        .iter()
        .filter(|rule| after.rule(rule.destination) != Some(rule));
    if context.format.is_json() {
        let rules: Vec<&Rule> = removed.collect();
        writeln!(
            out,
            "{}",
            json::rules(&Context::head(), rules.into_iter().map(|rule| (rule, None)))
        )?;
        return Ok(());
    }
    for rule in removed {
        let now = describe(&after, rule.destination, context);
        writeln!(out, "{} -> {now}", rule.destination)?;
    }
    Ok(())
}

impl Args {
    fn selector(&self) -> Result<Selector<'_>, Failure> {
        match (&self.destination, &self.name) {
            (Some(destination), _) => {
                destination
                    .parse()
                    .map(Selector::Destination)
                    .map_err(|error: PrefixError| Failure::Usage {
                        message: error.to_string(),
                        hint: error.hint(),
                    })
            }
            (None, Some(name)) => Ok(Selector::Name(name)),
            (None, None) => Ok(Selector::All),
        }
    }
}

impl Selector<'_> {
    fn selects(&self, rule: &RuleConfig) -> bool {
        match self {
            Self::Destination(destination) => rule.destination.get_ref().parse() == Ok(*destination),
            Self::Name(name) => rule.name.as_ref().is_some_and(|own| own.get_ref() == name),
            Self::All => true,
        }
    }
}

fn missing(selector: &Selector<'_>, policy: &Policy, context: &Context) -> Failure {
    let (text, configured) = match selector {
        Selector::Destination(destination) => (format!("for {destination}"), policy.rule(*destination)),
        Selector::Name(name) => {
            let named = policy
                .rules()
                .iter()
                .find(|rule| rule.name.as_deref() == Some(name));
            (format!("named \"{name}\""), named)
        }
        Selector::All => ("at all".to_owned(), None),
    };
    let hint = configured.map(|_| {
        let path = context.paths.config.display();
        format!("the configuration has one: take it out of `{path}` and run `shaper reload`")
    });
    Failure::NoSuchRule { selector: text, hint }
}

/// What holds for `destination` once its rule is gone.
fn describe(after: &Policy, destination: Destination, context: &Context) -> String {
    match after.explain(destination).winner {
        Winner::Rule(rule) => match &rule.limit {
            Some(limit) => format!(
                "{}, by {rule}",
                units::rate(limit.rate.bytes_per_sec(), context.unit)
            ),
            None => format!("unlimited, by {rule}"),
        },
        Winner::Exempt(prefix) => format!("unlimited, {prefix} is exempt"),
        Winner::NeverLimited(_) | Winner::Nobody => "unlimited".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::text;

    #[test]
    fn a_rule_is_selected_by_what_it_covers_however_it_was_written() {
        let mut rule = RuleConfig::new("203.0.113.7", "1mbit", Source::Kept);
        rule.name = Some(text("heavy"));
        assert!(Selector::Destination("203.0.113.7/32".parse().unwrap()).selects(&rule));
        assert!(!Selector::Destination("203.0.113.0/24".parse().unwrap()).selects(&rule));
        assert!(Selector::Name("heavy").selects(&rule) && !Selector::Name("heav").selects(&rule));
    }
}
