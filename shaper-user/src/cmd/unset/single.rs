//! One rule taken away without reading, building or writing the others: a million of them must not make it slow.
//!
//! Only the rules that `shaper set` made are looked at, and those of the configuration that cover the same destination.
//! Where that is not enough to be sure, the whole policy is made anew, with the same result.

use super::super::part::policy_of;
use super::super::set::{is_due, total};
use super::super::{Change, Context, rails};
use super::{Args, Selector};
use crate::config::{RuleConfig, Source};
use crate::dataplane::Dataplane;
use crate::policy::tables::{Entry, TableKey, Tables};
use crate::policy::{Destination, FqNeeds, Policy};
use crate::store::Brief;

/// A rule that can be taken away on its own.
pub(super) struct Single {
    next: Brief,
    pub(super) before: Policy,
    pub(super) after: Policy,
    /// What stands in the kernel from then on, where the rule stands; nowhere, if a prefix is exempt.
    entry: Option<(TableKey, Option<Entry>)>,
    needs: FqNeeds,
}

/// What is known without the rules of the configuration.
pub(super) enum Known {
    /// There is no such rule of `shaper set`.
    Missing,
    /// It can be taken away on its own.
    Single(Box<Single>),
    /// More has to be looked at.
    Unsure,
}

impl Known {
    pub(super) fn of(change: &Change, args: &Args) -> anyhow::Result<Self> {
        let Some(brief) = change.brief()?.filter(|brief| !is_due(brief)) else {
            return Ok(Self::Unsure);
        };
        let Some(ours) = policy_of(&brief) else {
            return Ok(Self::Unsure);
        };
        // A service that is not known is the whole policy's to tell.
        let Ok(selector) = args.selector(&ours, &brief.running.aside) else {
            return Ok(Self::Unsure);
        };
        let is_selected = |rule: &&RuleConfig| selector.selects(rule, &ours);
        if brief.running.aside.iter().any(|rule| is_selected(&rule)) {
            return Ok(Self::Unsure);
        }
        let selected: Vec<&RuleConfig> = brief.running.rules.iter().filter(is_selected).collect();
        Ok(match selected[..] {
            [] => Self::Missing,
            [rule] => {
                let destination = rule.destination.get_ref().parse();
                let single = destination.map(|destination| Single::of(change, &selector, destination));
                let single = single.ok().transpose()?.flatten();
                single.map_or(Self::Unsure, |single| Self::Single(Box::new(single)))
            }
            _ => Self::Unsure,
        })
    }
}

impl Single {
    /// `None` if more has to be looked at. `selector` selects one rule of `shaper set`, for `destination`.
    fn of(
        change: &Change,
        selector: &Selector<'_>,
        destination: Destination,
    ) -> anyhow::Result<Option<Self>> {
        let Destination::Prefix(prefix) = destination else {
            return Ok(None);
        };
        // Whoever types may be slowed by what is left.
        if rails::is_touched_by(prefix) {
            return Ok(None);
        }
        let part = change.part(&|other: Destination| other.covers(prefix))?;
        Ok(part.and_then(|part| Self::of_part(part, selector)))
    }

    fn of_part(part: Brief, selector: &Selector<'_>) -> Option<Self> {
        let before = policy_of(&part)?;
        let mut next = part;
        next.running
            .rules
            .retain(|rule| rule.source == Source::Config || !selector.selects(rule, &before));
        let after = policy_of(&next)?;
        let (old, new) = (Tables::from(&before), Tables::from(&after));
        if old.ports != new.ports || old.groups != new.groups {
            return None;
        }
        let mut changed = old
            .entries()
            .iter()
            .filter(|(key, entry)| new.get(key) != Some(entry))
            .map(|(key, _)| (*key, new.get(key).copied()));
        let entry = changed.next();
        if let Some((key, Some(entry))) = &entry
            && old.get(key).map(Entry::bucket) != Some(entry.bucket())
        {
            // The other bucket would have to be found, and this one to be freed.
            return None;
        }
        let is_more = new.entries().iter().any(|(key, _)| old.get(key).is_none());
        if changed.next().is_some() || is_more {
            return None;
        }
        let needs = total(&next.facts, &new);
        Some(Self {
            next,
            before,
            after,
            entry,
            needs,
        })
    }

    /// Takes it away. `false` if the kernel's tables cannot be changed in one place; then nothing was changed.
    pub(super) fn commit(
        &self,
        change: &Change,
        dataplane: &Dataplane,
        context: &Context,
    ) -> anyhow::Result<bool> {
        let entry = self.entry.as_ref().map(|(key, entry)| (key, entry.as_ref()));
        change.commit_one(dataplane, &self.next, entry, &self.needs, context)
    }
}
