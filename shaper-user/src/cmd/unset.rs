//! `shaper unset`: takes a limit away.

mod single;

use std::io::Write;

use single::Known;

use super::set::{is_target, target_text};
use super::sources::written_target;
use super::{Change, Context, Failure, policy, rails};
use crate::config::{RuleConfig, Source};
use crate::policy::{Destination, Policy, PolicyError, Rule, Service, Target, Winner};
use crate::view::{json, rule as words};

/// Take away a limit that `shaper set` made
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Destination of the rule.
    #[arg(required_unless_present_any = ["name", "all"])]
    destination: Option<String>,
    /// Service of the rule, if it is for one: `imap`, `tcp:993`.
    #[arg(long, requires = "destination")]
    service: Option<String>,
    /// Name of the rule.
    #[arg(long, conflicts_with = "destination")]
    name: Option<String>,
    /// Every rule that `shaper set` made.
    #[arg(long, conflicts_with_all = ["destination", "name"])]
    all: bool,
    /// Whose rules: only those of `shaper set` can be taken away here.
    #[arg(long, value_enum, requires = "all")]
    source: Option<Owner>,
    /// It is fine if there is no such rule.
    #[arg(long)]
    ignore_missing: bool,
}

/// Whose rules can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Owner {
    /// Rules of `shaper set`.
    Cli,
}

/// Which rules are meant.
enum Selector<'a> {
    Target(Destination, Option<std::sync::Arc<Service>>),
    /// One whose service is not known any more, as it was typed.
    Written(String),
    Name(&'a str),
    All,
}

pub(crate) fn run(args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    args.destination()?;
    let (change, dataplane) = Change::begin_up(context)?;
    match Known::of(&change, args)? {
        Known::Single(single) if single.commit(&change, &dataplane, context)? => {
            return say(&single.before, &single.after, &[], context, out);
        }
        Known::Missing if args.ignore_missing || args.all => return nothing(context, out),
        _ => {}
    }
    let mut next = change.running(context)?;
    let before = policy(&next)?;
    let selector = args.selector(&before, &next.aside)?;
    let n_before = next.rules.len();
    next.rules
        .retain(|rule| rule.source == Source::Config || !selector.selects(rule, &before));
    let aside: Vec<RuleConfig> = next
        .aside
        .extract_if(.., |rule| selector.selects(rule, &before))
        .collect();
    if next.rules.len() == n_before && aside.is_empty() {
        return if args.ignore_missing || args.all {
            nothing(context, out)
        } else {
            Err(missing(&selector, &before, context).into())
        };
    }
    let after = policy(&next)?;
    rails::warn(&before, &after, context);
    change.commit(&dataplane, &next, context)?;
    say(&before, &after, &aside, context, out)
}

/// There was no such rule, and that is fine.
fn nothing(context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    context.note("there was nothing to take away");
    if context.format.is_json() {
        writeln!(out, "{}", json::rules(&Context::head(), []))?;
    }
    Ok(())
}

fn say(
    before: &Policy,
    after: &Policy,
    aside: &[RuleConfig],
    context: &Context,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let removed = before
        .rules()
        .iter()
        .filter(|rule| after.rule(rule.target()) != Some(rule));
    if context.format.is_json() {
        let rules = removed.map(|rule| (rule, None));
        writeln!(out, "{}", json::rules(&Context::head(), rules))?;
        return Ok(());
    }
    for rule in removed {
        let now = describe(after, rule.target(), context);
        writeln!(out, "{} -> {now}", words::target(rule))?;
    }
    for rule in aside {
        writeln!(out, "{}: taken away; it was not in force", written_target(rule))?;
    }
    Ok(())
}

impl Args {
    fn destination(&self) -> Result<Option<Destination>, Failure> {
        let parse = |text: &String| text.parse().map_err(PolicyError::Destination);
        Ok(self.destination.as_ref().map(parse).transpose()?)
    }

    fn selector(&self, policy: &Policy, aside: &[RuleConfig]) -> Result<Selector<'_>, Failure> {
        if let (Some(destination), Some(service)) = (&self.destination, &self.service) {
            let text = format!("{destination} {service}");
            if aside.iter().any(|rule| written_target(rule) == text) {
                return Ok(Selector::Written(text));
            }
        }
        let service = self.service.as_deref().map(|text| policy.service(text));
        Ok(match (self.destination()?, &self.name) {
            (Some(destination), _) => Selector::Target(destination, service.transpose()?),
            (None, Some(name)) => Selector::Name(name),
            (None, None) => Selector::All,
        })
    }
}

impl Selector<'_> {
    fn selects(&self, rule: &RuleConfig, policy: &Policy) -> bool {
        match self {
            Self::Target(destination, service) => is_target(rule, *destination, service.as_deref(), policy),
            Self::Written(text) => written_target(rule) == *text,
            Self::Name(name) => rule.name.as_ref().is_some_and(|own| own.get_ref() == name),
            Self::All => true,
        }
    }
}

fn missing(selector: &Selector<'_>, policy: &Policy, context: &Context) -> Failure {
    let mut hint = None;
    let (text, configured) = match selector {
        Selector::Target(destination, service) => {
            let ports = service.as_ref().map(|service| &service.ports);
            let target = Target {
                destination: *destination,
                ports,
            };
            hint = other_services(policy, *destination);
            let text = target_text(*destination, service.as_deref());
            (format!("for {text}"), policy.rule(target))
        }
        Selector::Name(name) => {
            let named = policy
                .rules()
                .iter()
                .find(|rule| rule.name.as_deref() == Some(name));
            (format!("named \"{name}\""), named)
        }
        Selector::Written(text) => (format!("for {text}"), None),
        Selector::All => ("at all".to_owned(), None),
    };
    if configured.is_some() {
        let path = context.paths.config.display();
        hint = Some(format!(
            "the configuration has one: take it out of `{path}` and run `shaper reload`"
        ));
    }
    Failure::NoSuchRule {
        what: "`shaper set` made no rule",
        selector: text,
        hint,
    }
}

/// Rules of `shaper set` for the same destination that were perhaps meant.
fn other_services(policy: &Policy, destination: Destination) -> Option<String> {
    let is_one = |rule: &&Rule| rule.destination == destination && rule.source != Source::Config;
    let rule = policy.rules().iter().find(is_one)?;
    Some(match &rule.service {
        Some(service) => format!("there is one for a service: add `--service {}`", service.name),
        None => "there is one for all services: leave out `--service`".to_owned(),
    })
}

/// What holds for `target` once its rule is gone.
fn describe(after: &Policy, target: Target<'_>, context: &Context) -> String {
    let explained = after.explain(target.destination, target.ports);
    let parts: Vec<String> = explained
        .iter()
        .map(|one| match one.winner {
            Winner::Rule(rule) => format!("{}, by {rule}", words::speed(rule, context.unit)),
            Winner::Exempt(prefix) => format!("unlimited, {prefix} is exempt"),
            Winner::NeverLimited(_) | Winner::Nobody => "unlimited".to_owned(),
        })
        .collect();
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::rare;

    #[test]
    fn a_rule_is_selected_by_what_it_covers_however_it_was_written() {
        let policy = Policy::default();
        let mut rule = RuleConfig::new("203.0.113.7", "1mbit", Source::Kept);
        rule.name = Some(rare("heavy"));
        let of = |destination: &str, service: Option<&str>| {
            let service = service.map(|text| policy.service(text).unwrap());
            Selector::Target(destination.parse().unwrap(), service)
        };
        assert!(of("203.0.113.7/32", None).selects(&rule, &policy));
        assert!(!of("203.0.113.0/24", None).selects(&rule, &policy));
        assert!(!of("203.0.113.7", Some("ssh")).selects(&rule, &policy));
        assert!(Selector::Name("heavy").selects(&rule, &policy));
        assert!(!Selector::Name("heav").selects(&rule, &policy));
        rule.service = Some(rare("tcp:22"));
        assert!(of("203.0.113.7", Some("ssh")).selects(&rule, &policy));
        assert!(!of("203.0.113.7", None).selects(&rule, &policy));
    }
}
