//! One rule put in place without reading, building or writing the others: a million of them must not make it slow.
//!
//! Only the rules that `shaper set` made are looked at, and what is known of the rest. Where that is not enough to be
//! sure, the whole policy is made anew, with the same result.

use super::super::change::{has_ended, now};
use super::super::{Change, Context, rails};
use super::rules::{rule_for, with_rule};
use crate::config::RuleConfig;
use crate::dataplane::Dataplane;
use crate::policy::tables::{Entry, TableKey, Tables};
use crate::policy::{Deadline, Destination, FqNeeds, Policy, Rule};
use crate::store::{Brief, Facts};

/// A rule that can be put in place on its own.
pub(super) struct Single {
    next: Brief,
    before: Policy,
    pub(super) after: Policy,
    /// Where it stands in the kernel; nowhere, if a prefix is exempt.
    entry: Option<(TableKey, Entry)>,
    needs: FqNeeds,
    target: (Destination, Option<String>),
}

impl Single {
    /// `None` if more has to be looked at.
    pub(super) fn of(
        mut next: Brief,
        written: RuleConfig,
        destination: Destination,
        is_forced: bool,
    ) -> Option<Self> {
        let service_text = written.service.as_ref().map(|text| text.get_ref().clone());
        let Destination::Prefix(prefix) = destination else {
            return None;
        };
        if is_due(&next) || !is_forced && rails::is_touched_by(prefix) {
            return None;
        }
        let before = Policy::beside(&next.running, &next.facts.services).ok()?;
        let service = service_text
            .as_deref()
            .map(|text| before.service(text))
            .transpose()
            .ok()?;
        next.running = with_rule(next.running, destination, service.as_deref(), written, &before);
        let after = Policy::beside(&next.running, &next.facts.services).ok()?;
        let rule = rule_for(&after, destination, service.as_deref())?;
        let keys = after.keys(rule);
        let (old, new) = (Tables::from(&before), Tables::from(&after));
        let is_changed = |(key, entry): &&(TableKey, Entry)| old.get(key) != Some(entry);
        let is_more = new
            .entries()
            .iter()
            .filter(is_changed)
            .any(|(key, _)| !keys.contains(key));
        let is_less = old.entries().iter().any(|(key, _)| new.get(key).is_none());
        // Ports that change their numbers, or two entries, are not changed in one step.
        if keys.len() > 1 || is_more || is_less || old.ports != new.ports || old.groups != new.groups {
            return None;
        }
        let entry = keys.first().and_then(|key| Some((*key, *new.get(key)?)));
        let needs = total(&next.facts, &new);
        Some(Self {
            next,
            before,
            after,
            entry,
            needs,
            target: (destination, service_text),
        })
    }

    /// The rule as it will be.
    pub(super) fn rule(&self) -> Option<&Rule> {
        let (destination, service) = &self.target;
        let service = service.as_deref().and_then(|text| self.after.service(text).ok());
        rule_for(&self.after, *destination, service.as_deref())
    }

    /// Whether all of it is so already, in the kernel, too.
    pub(super) fn is_already(&self, dataplane: &Dataplane) -> anyhow::Result<bool> {
        let rule = self.rule();
        if rule.is_none_or(|rule| self.before.rule(rule.target()) != Some(rule)) {
            return Ok(false);
        }
        let Some((key, entry)) = self.entry else {
            return Ok(true);
        };
        Ok(dataplane.get(&key)?.is_some_and(|found| found.entry == entry))
    }

    /// Puts it in place. `false` if the kernel's tables have no room for it as they are; then nothing was changed.
    pub(super) fn commit(
        &self,
        change: &Change,
        dataplane: &Dataplane,
        context: &Context,
    ) -> anyhow::Result<bool> {
        let entry = self.entry.as_ref().map(|(key, entry)| (key, Some(entry)));
        change.commit_one(dataplane, &self.next, entry, &self.needs, context)
    }
}

/// Whether a deadline has passed: the next change takes the rule away.
pub(in crate::cmd) fn is_due(brief: &Brief) -> bool {
    let now = now();
    let is_over = |end: u64| Deadline(end).is_over(now);
    brief.facts.first_end_unix_secs.is_some_and(is_over)
        || brief.running.rules.iter().any(|rule| has_ended(rule, now))
}

/// What `fq` must hold for all rules. Those of `shaper set` may count twice, which does no harm.
pub(in crate::cmd) fn total(facts: &Facts, ours: &Tables) -> FqNeeds {
    FqNeeds {
        limit_packets: facts.limit_packets,
        flow_limit_packets: facts.flow_limit_packets,
        is_capped: false,
    }
    .with(FqNeeds::from(ours))
}
