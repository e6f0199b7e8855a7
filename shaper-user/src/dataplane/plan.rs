//! From the content in force and the tables wanted to the content to put in place: which identity keeps which
//! bucket, and how much has to change. Pure.

use shaper_common::rule::Rule;

use super::Applied;
use super::content::{self, Content, join};
use super::error::DataplaneError;
use super::owners::{MOST, Owners};
use crate::policy::tables::{BucketId, TableKey, Tables};

/// What has to be done.
#[derive(Debug)]
pub(super) struct Plan {
    /// What is wanted.
    pub(super) content: Content,
    /// Buckets that start anew, in ascending order, and whose they are.
    pub(super) fresh: Vec<(u32, BucketId)>,
    /// What differs.
    pub(super) applied: Applied,
    /// How to get there.
    pub(super) step: Step,
}

/// The way from one content to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// They are the same.
    Nothing,
    /// One entry differs; its rule, unless it goes away.
    One(TableKey, Option<Rule>),
    /// Anything else.
    Whole,
}

/// Plans the way from what is in force to `tables`.
///
/// An identity keeps its bucket as long as anything in the tables has it. A bucket that what is in force uses is given
/// to nobody else: packets are still charged to it while the policy changes.
pub(super) fn plan(in_force: &Content, tables: &Tables, owners: &mut Owners) -> Result<Plan, DataplaneError> {
    let mut fresh = Vec::new();
    let mut number = |id: BucketId| {
        let present = owners.number(id);
        let given = present.or_else(|| owners.give(id).inspect(|number| fresh.push((*number, id))));
        given.ok_or(DataplaneError::TooManyRules {
            rules: tables.entries().len(),
            most: MOST as usize,
        })
    };
    let mut rules = Vec::with_capacity(tables.entries().len());
    for (key, entry) in tables.entries() {
        let bucket = entry.bucket().map_or(Ok(0), &mut number)?;
        rules.push((*key, content::rule(key, entry, bucket)));
    }
    let mut groups = Vec::with_capacity(tables.groups.len());
    for group in &tables.groups {
        groups.push(content::group(group, number(group.bucket)?));
    }
    let ports = join(&tables.ports);
    let content = Content { rules, groups, ports };
    let (applied, last) = compare(in_force, &content);
    let n_changes = applied.added + applied.removed + applied.changed;
    let step = if *in_force == content {
        Step::Nothing
    } else {
        match last {
            Some((key, rule))
                if n_changes == 1 && in_force.groups == content.groups && in_force.ports == content.ports =>
            {
                Step::One(key, rule)
            }
            _ => Step::Whole,
        }
    };
    Ok(Plan {
        content,
        fresh,
        applied,
        step,
    })
}

/// What differs, and the last entry that does with its rule, unless it is gone.
fn compare(old: &Content, new: &Content) -> (Applied, Option<(TableKey, Option<Rule>)>) {
    let mut applied = Applied::default();
    let mut last = None;
    let (mut olds, mut news) = (old.rules.iter().peekable(), new.rules.iter().peekable());
    loop {
        let order = match (olds.peek(), news.peek()) {
            (Some((old, _)), Some((new, _))) => old.cmp(new),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return (applied, last),
        };
        if order.is_lt() {
            applied.removed += 1;
            last = olds.next().map(|(key, _)| (*key, None));
            continue;
        }
        let before = if order.is_eq() { olds.next() } else { None };
        let Some((key, rule)) = news.next() else { continue };
        match before {
            None => applied.added += 1,
            Some((_, before)) if says_the_same(old, before, new, rule) => {
                applied.unchanged += 1;
                continue;
            }
            Some(_) => applied.changed += 1,
        }
        last = Some((*key, Some(*rule)));
    }
}

/// Whether two rules say the same; a group is the same wherever it stands among the groups.
fn says_the_same(old: &Content, a: &Rule, new: &Content, b: &Rule) -> bool {
    let group = |content: &Content, rule: &Rule| {
        let index = rule.group.checked_sub(1)? as usize;
        content.groups.get(index).map(|group| group.bucket)
    };
    Rule { group: 0, ..*a } == Rule { group: 0, ..*b } && group(old, a) == group(new, b)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
