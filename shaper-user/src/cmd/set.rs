//! `shaper set`: limits one destination.

mod rules;
mod single;

use std::io::Write;
use std::time::Duration;

use rules::{rule_for, with_rule};
use single::Single;

pub(super) use rules::{is_one_of, is_target};
pub(super) use single::{is_due, total};

use super::change::wall_clock;
use super::sources::warnings;
use super::{Change, Context, Failure, policy, rails, trial};
use crate::config::{Config, Moment, RuleConfig, Source, moment, rare};
use crate::policy::deadline::parse_span;
use crate::policy::tables::Tables;
use crate::policy::{Deadline, Destination, Policy, PolicyError, Rule, Service};
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
    let span = args.span.as_deref().map(parse_span).transpose();
    let span = span.map_err(|error| Failure::from(PolicyError::from(error)))?;
    let mut written = args.rule();
    let alone = check_alone(&written)?;

    let (change, dataplane) = Change::begin_up(context)?;
    // Others may have been changing something until now.
    written.expires = span.map(end_of).transpose()?;
    if trial.is_none()
        && let Some(brief) = change.brief()?
        && let Ok(destination) = args.destination.parse()
        && let Some(single) = Single::of(brief, written.clone(), destination, args.force)
        && let Some(rule) = single.rule()
    {
        let is_already = single.is_already(&dataplane)?;
        if args.dry_run || is_already || single.commit(&change, &dataplane, context)? {
            warn(destination, &alone, &single.after, context);
            return args.say(rule, is_already, context, out);
        }
    }
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
    let Some(rule) = rule_for(&after, destination, service.as_deref()) else {
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
    warn(destination, &alone, &after, context);
    args.say(rule, is_already, context, out)?;
    if let Some(time) = trial.filter(|_| is_new) {
        // Whoever confirms needs the lock.
        drop(change);
        out.flush()?;
        trial::wait(time, context)?;
    }
    Ok(())
}

/// Says what is surely not meant: of the rule alone, and of it in `policy`.
fn warn(destination: Destination, alone: &Policy, policy: &Policy, context: &Context) {
    for warning in warnings(&Config::default(), alone) {
        context.note(format_args!("warning: {warning}"));
    }
    if let Destination::Prefix(prefix) = destination
        && let Some(exempt) = policy.exempt().covering(prefix)
    {
        context.note(format_args!(
            "warning: `{exempt}` is exempt, so the rule has no effect"
        ));
    }
}

/// What is wrong with the rule alone is said before anything is opened; names of groups and services come later.
fn check_alone(written: &RuleConfig) -> anyhow::Result<Policy> {
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
    Ok(Policy::try_from(&Config::of_rules(vec![alone]))?)
}

/// When a rule ends that begins now.
fn end_of(span: Duration) -> anyhow::Result<Box<Moment>> {
    let end = Deadline::after(wall_clock(), span);
    let end = moment(&end.to_string()).map_err(anyhow::Error::msg)?;
    Ok(Box::new(end))
}

impl Args {
    /// As it was typed, without an end.
    fn rule(&self) -> RuleConfig {
        let source = if self.temporary {
            Source::Temporary
        } else {
            Source::Kept
        };
        let mut rule = RuleConfig::new(&self.destination, &self.rate, source);
        rule.service = self.service.as_ref().map(rare);
        rule.per = self.per.as_ref().map(rare);
        rule.burst = self.burst.as_ref().map(rare);
        rule.horizon = self.horizon.as_ref().map(rare);
        rule.ecn = self.ecn.as_ref().map(rare);
        rule.group = self.group.as_ref().map(rare);
        rule.name = self.name.as_ref().map(rare);
        rule.comment.clone_from(&self.comment);
        rule
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

/// `203.0.113.7/32 imap`.
pub(super) fn target_text(destination: Destination, service: Option<&Service>) -> String {
    match service {
        Some(service) => format!("{destination} {}", service.name),
        None => destination.to_string(),
    }
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
