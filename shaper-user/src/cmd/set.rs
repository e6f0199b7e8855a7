//! `shaper set`: limits one destination.

use std::io::Write;
use std::time::Duration;

use super::change::now;
use super::{Change, Context, Failure, policy, rails, trial};
use crate::config::{Config, RuleConfig, Source, moment, text};
use crate::policy::deadline::parse_span;
use crate::policy::tables::Tables;
use crate::policy::{Deadline, Destination, Policy, PolicyError, Rule, Service};
use crate::store::Running;
use crate::view::{json, rule as words, units};

/// Limit a destination, at once and across reboots
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `203.0.113.7`, `203.0.113.0/24`, `2001:db8::/56` or `any`.
    destination: String,
    /// `20mbit`, `2.5MB/s`, `unlimited`, `block`.
    #[arg(allow_hyphen_values = true)]
    rate: String,
    /// Only what is sent from these ports of the server: `imap`, `tcp:993`, `udp:8000-8099`.
    #[arg(long)]
    service: Option<String>,
    /// What has a bucket of its own: `rule`, `ip`, `client` or `/N`.
    #[arg(long, value_name = "rule|ip|client|/N")]
    per: Option<String>,
    /// What may be sent at once after a pause: a size, or a time at the rate.
    #[arg(long, value_name = "SIZE|TIME")]
    burst: Option<String>,
    /// Longest queue before packets are dropped.
    #[arg(long, value_name = "TIME")]
    horizon: Option<String>,
    /// Queue above which packets are marked, or `off`.
    #[arg(long, value_name = "TIME")]
    ecn: Option<String>,
    /// The group of the configuration that it shares a limit with.
    #[arg(long)]
    group: Option<String>,
    /// What to call the rule.
    #[arg(long)]
    name: Option<String>,
    /// Why it is there.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Only for so long, reboots included: `90s`, `30m`, `2h`, `7d`.
    #[arg(long = "for", value_name = "DURATION")]
    span: Option<String>,
    /// Until the next reboot or `shaper down` only.
    #[arg(long, conflicts_with = "span")]
    temporary: bool,
    /// Say what would be, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Even if it makes this server hard to reach for you.
    #[arg(long)]
    force: bool,
    /// Take it back after so long, unless `shaper confirm` follows.
    #[arg(long = "try", value_name = "DURATION", conflicts_with = "dry_run")]
    trial: Option<String>,
}

pub(crate) fn run(args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let trial = args.trial.as_deref().map(trial::span).transpose()?;
    let written = args.rule()?;
    check_alone(&written)?;

    let (change, dataplane) = Change::begin_up(context)?;
    let running = change.running(context)?;
    let before = policy(&running)?;
    let service = args
        .service
        .as_deref()
        .map(|text| before.service(text))
        .transpose();
    let service = service.map_err(Failure::from)?;
    let destination: Destination = args.destination.parse()?;
    let next = with_rule(running, destination, service.as_deref(), written, &before);
    let after = Policy::try_from(&next)?;
    let is_ours = |rule: &&Rule| {
        rule.destination == destination
            && rule.service.as_ref().map(|own| &own.ports) == service.as_ref().map(|own| &own.ports)
    };
    let Some(rule) = after.rules().iter().find(is_ours) else {
        anyhow::bail!("the rule for {destination} was lost");
    };
    if !args.force {
        rails::check(&before, &after)?;
    }
    let is_already = before.rule(rule.target()) == Some(rule) && {
        let wanted = Tables::from(&after);
        let mut is_so = true;
        for key in after.keys(rule) {
            let found = dataplane.get(&key)?.map(|found| found.entry);
            is_so &= found.as_ref() == wanted.get(&key);
        }
        is_so
    };
    let is_new = !args.dry_run && !is_already;
    match trial {
        Some(time) if is_new => drop(change.commit_on_trial(&dataplane, &next, time, context)?),
        None if is_new => drop(change.commit(&dataplane, &next, context)?),
        _ => {}
    }
    if let Destination::Prefix(prefix) = destination
        && let Some(exempt) = after.exempt().covering(prefix)
    {
        context.note(format_args!(
            "warning: `{exempt}` is exempt, so the rule has no effect"
        ));
    }
    args.say(rule, is_already, context, out)?;
    if let Some(time) = trial.filter(|_| is_new) {
        // Whoever confirms needs the lock.
        drop(change);
        out.flush()?;
        trial::wait(time, context)?;
    }
    Ok(())
}

/// What is wrong with the rule alone is said before anything is opened; names of groups and services come later.
fn check_alone(written: &RuleConfig) -> anyhow::Result<()> {
    let mut alone = written.clone();
    alone.group = None;
    let is_known = |name: &str| Policy::default().service(name).is_ok() || name.contains(':');
    if !alone
        .service
        .as_ref()
        .is_none_or(|service| is_known(service.get_ref()))
    {
        alone.service = None;
    }
    Policy::try_from(&Config::of_rules(vec![alone]))?;
    Ok(())
}

impl Args {
    fn rule(&self) -> anyhow::Result<RuleConfig> {
        let source = if self.temporary {
            Source::Temporary
        } else {
            Source::Kept
        };
        let mut rule = RuleConfig::new(&self.destination, &self.rate, source);
        rule.service = self.service.as_ref().map(text);
        rule.per = self.per.as_ref().map(text);
        rule.burst = self.burst.as_ref().map(text);
        rule.horizon = self.horizon.as_ref().map(text);
        rule.ecn = self.ecn.as_ref().map(text);
        rule.group = self.group.as_ref().map(text);
        rule.name = self.name.as_ref().map(text);
        rule.comment.clone_from(&self.comment);
        if let Some(span) = &self.span {
            let span: Duration = parse_span(span).map_err(|error| Failure::from(PolicyError::from(error)))?;
            let end = Deadline(now().0.saturating_add(span.as_secs()));
            rule.expires = Some(moment(&end.to_string()).map_err(anyhow::Error::msg)?);
        }
        Ok(rule)
    }

    fn say(
        &self,
        rule: &Rule,
        is_already: bool,
        context: &Context,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        if context.format.is_json() {
            writeln!(out, "{}", json::rules(&Context::head(), [(rule, None)]))?;
            return Ok(());
        }
        let remark = match (self.dry_run, is_already) {
            (true, _) => "; nothing was changed: --dry-run",
            (false, true) => "; it was so already",
            (false, false) => "",
        };
        writeln!(out, "{}{remark}", describe(rule, context))?;
        Ok(())
    }
}

/// Whether `rule` is for `destination` and the ports of `service`.
pub(super) fn is_target(
    rule: &RuleConfig,
    destination: Destination,
    service: Option<&Service>,
    policy: &Policy,
) -> bool {
    if rule.destination.get_ref().parse() != Ok(destination) {
        return false;
    }
    match (&rule.service, service) {
        (None, None) => true,
        (Some(text), Some(service)) => policy
            .service(text.get_ref())
            .is_ok_and(|own| own.ports == service.ports),
        _ => false,
    }
}

/// Whether `rule`, as written, is one of `rules`.
pub(super) fn is_one_of(rule: &RuleConfig, rules: &[Rule], policy: &Policy) -> bool {
    rules.iter().any(|other| {
        other.source == rule.source && is_target(rule, other.destination, other.service.as_deref(), policy)
    })
}

/// `203.0.113.7/32 imap`.
pub(super) fn target_text(destination: Destination, service: Option<&Service>) -> String {
    match service {
        Some(service) => format!("{destination} {}", service.name),
        None => destination.to_string(),
    }
}

/// `running` with `rule` in place of the one that `shaper set` made for the same target. A name or comment
/// that is not given again stays.
fn with_rule(
    mut running: Running,
    destination: Destination,
    service: Option<&Service>,
    mut rule: RuleConfig,
    policy: &Policy,
) -> Running {
    let is_same =
        |other: &RuleConfig| other.source != Source::Config && is_target(other, destination, service, policy);
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
    let how_long = match (rule.source, rule.expires) {
        (_, Some(end)) => format!("until {end}"),
        (Source::Temporary, None) => "until the next reboot or `shaper down`".to_owned(),
        (Source::Kept | Source::Config, None) => "kept across reboots".to_owned(),
    };
    let burst = rule
        .limit()
        .map(|limit| format!(", burst {}", units::size(limit.burst_bytes)));
    format!(
        "{} -> {}{} ({how_long})",
        words::target(rule),
        words::speed(rule, context.unit),
        burst.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESTINATION: &str = "203.0.113.7";

    fn after(rules: Vec<RuleConfig>, rule: RuleConfig) -> Vec<(Source, String)> {
        let running = Config::of_rules(rules);
        let next = with_rule(
            running,
            DESTINATION.parse().unwrap(),
            None,
            rule,
            &Policy::default(),
        );
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
            None,
            rule("203.0.113.7", "1mbit", Source::Kept),
            &Policy::default(),
        );
        assert_eq!(next.rules[0].name.as_ref().unwrap().get_ref(), "heavy");
    }
}
