//! `shaper set`: limits one destination.

use std::io::Write;

use super::rails;
use super::{Change, Context, policy};
use crate::config::{Config, RuleConfig, Source, text};
use crate::policy::tables::{TableKey, Tables};
use crate::policy::{Destination, Policy, Rule};
use crate::store::Running;
use crate::view::json;
use crate::view::units;

/// Limit a destination, at once and across reboots
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `203.0.113.7`, `203.0.113.0/24`, `2001:db8::/56` or `any`.
    destination: String,
    /// `20mbit`, `2.5MB/s`, `unlimited`.
    rate: String,
    /// What may be sent at once after a pause: a size, or a time at the rate.
    #[arg(long, value_name = "SIZE|TIME")]
    burst: Option<String>,
    /// What to call the rule.
    #[arg(long)]
    name: Option<String>,
    /// Why it is there.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Until the next reboot or `shaper down` only.
    #[arg(long)]
    temporary: bool,
    /// Say what would be, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Even if it makes this server hard to reach for you.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let written = args.rule();
    // What is wrong with the rule alone is said before anything is opened.
    let alone = Policy::try_from(&Config::of_rules(vec![written.clone()]))?;
    let destination = alone.rules()[0].destination;

    let (change, dataplane) = Change::begin_up(context)?;
    let running = change.running(context)?;
    let before = policy(&running)?;
    let next = with_rule(running, destination, written);
    let after = Policy::try_from(&next)?;
    let Some(rule) = after.rule(destination) else {
        anyhow::bail!("the rule for {destination} was lost");
    };
    if !args.force {
        rails::check(&before, &after, destination)?;
    }
    let key = TableKey::from(destination);
    let is_already = before.rule(destination) == Some(rule)
        && dataplane.entries()?.get(&key) == Tables::from(&after).get(&key);
    if !args.dry_run && !is_already {
        change.commit(&dataplane, &next)?;
    }
    if let Destination::Prefix(prefix) = destination
        && let Some(exempt) = after.exempt().covering(prefix)
    {
        context.note(format_args!(
            "warning: `{exempt}` is exempt, so the rule has no effect"
        ));
    }
    if context.format.is_json() {
        writeln!(out, "{}", json::rules(&Context::head(), [(rule, None)]))?;
        return Ok(());
    }
    let remark = match (args.dry_run, is_already) {
        (true, _) => "; nothing was changed: --dry-run",
        (false, true) => "; it was so already",
        (false, false) => "",
    };
    writeln!(out, "{}{remark}", describe(rule, context))?;
    Ok(())
}

impl Args {
    fn rule(&self) -> RuleConfig {
        let source = if self.temporary {
            Source::Temporary
        } else {
            Source::Kept
        };
        let mut rule = RuleConfig::new(&self.destination, &self.rate, source);
        rule.burst = self.burst.as_ref().map(text);
        rule.name = self.name.as_ref().map(text);
        rule.comment.clone_from(&self.comment);
        rule
    }
}

/// `running` with `rule` in place of the one that `shaper set` made for the same destination. A name or comment
/// that is not given again stays.
fn with_rule(mut running: Running, destination: Destination, mut rule: RuleConfig) -> Running {
    let is_same = |other: &RuleConfig| {
        other.source != Source::Config && other.destination.get_ref().parse() == Ok(destination)
    };
    if let Some(earlier) = running
        .rules
        .iter()
        .filter(|other| is_same(other))
        .max_by_key(|other| other.source)
    {
        rule.name = rule.name.or_else(|| earlier.name.clone());
        rule.comment = rule.comment.or_else(|| earlier.comment.clone());
    }
    // A kept rule waits behind a temporary one; one that is to be kept replaces both.
    running
        .rules
        .retain(|other| !(is_same(other) && other.source >= rule.source));
    running.rules.push(rule);
    running
}

fn describe(rule: &Rule, context: &Context) -> String {
    let how_long = match rule.source {
        Source::Temporary => "until the next reboot or `shaper down`",
        Source::Kept | Source::Config => "kept across reboots",
    };
    match &rule.limit {
        None => format!("{} -> unlimited ({how_long})", rule.destination),
        Some(limit) => format!(
            "{} -> {}, burst {} ({how_long})",
            rule.destination,
            units::rate(limit.rate.bytes_per_sec(), context.unit),
            units::size(limit.burst_bytes)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESTINATION: &str = "203.0.113.7";

    fn after(rules: Vec<RuleConfig>, rule: RuleConfig) -> Vec<(Source, String)> {
        let running = Config::of_rules(rules);
        let next = with_rule(running, DESTINATION.parse().unwrap(), rule);
        next.rules
            .iter()
            .map(|rule| (rule.source, rule.rate.get_ref().clone()))
            .collect()
    }

    fn rule(destination: &str, rate: &str, source: Source) -> RuleConfig {
        RuleConfig::new(destination, rate, source)
    }

    #[test]
    fn a_rule_to_be_kept_replaces_a_temporary_one_but_never_the_configuration() {
        let rules = vec![
            rule("203.0.113.7/32", "1mbit", Source::Config),
            rule("203.0.113.7/32", "2mbit", Source::Kept),
            rule("203.0.113.7", "3mbit", Source::Temporary),
        ];
        assert_eq!(
            after(rules, rule(DESTINATION, "4mbit", Source::Kept)),
            [
                (Source::Config, "1mbit".to_owned()),
                (Source::Kept, "4mbit".to_owned())
            ]
        );
    }

    #[test]
    fn a_temporary_rule_leaves_the_kept_one_for_the_next_reboot() {
        let rules = vec![
            rule(DESTINATION, "2mbit", Source::Kept),
            rule("203.0.113.8", "9mbit", Source::Kept),
        ];
        assert_eq!(
            after(rules, rule(DESTINATION, "4mbit", Source::Temporary)).len(),
            3
        );
    }

    #[test]
    fn a_name_that_is_not_given_again_stays() {
        let mut named = rule(DESTINATION, "2mbit", Source::Kept);
        named.name = Some(text("heavy"));
        let running = Config::of_rules(vec![named]);
        let next = with_rule(
            running,
            DESTINATION.parse().unwrap(),
            rule("203.0.113.7", "1mbit", Source::Kept),
        );
        assert_eq!(next.rules[0].name.as_ref().unwrap().get_ref(), "heavy");
    }
}
