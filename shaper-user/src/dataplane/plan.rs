//! From the rules in force and the tables wanted to the rules to put in place: which entry keeps which bucket, and
//! how much has to change. Pure.

use std::collections::HashSet;

use shaper_common::bucket::{CHUNK_BUCKETS, MAX_CHUNKS};
use shaper_common::rule::{Rule, kind};

use super::Applied;
use super::error::DataplaneError;
use crate::policy::tables::{BucketId, Entry, TableKey, Tables};

/// Rules by where they stand, in ascending order.
pub(super) type Rules = Vec<(TableKey, Rule)>;

/// What has to be done.
#[derive(Debug)]
pub(super) struct Plan {
    /// All rules, in ascending order of their keys.
    pub(super) rules: Rules,
    /// Buckets that start anew.
    pub(super) fresh_buckets: Vec<u32>,
    /// What differs.
    pub(super) applied: Applied,
    /// The one entry that differs, and its rule unless it goes away; `None` when several differ.
    pub(super) only: Option<(TableKey, Option<Rule>)>,
}

/// What a rule says.
pub(super) fn entry(rule: &Rule) -> Entry {
    if rule.kind == kind::LIMITED {
        Entry::limited(rule.limit, BucketId(u64::from(rule.bucket) + 1))
    } else {
        Entry::Exempt
    }
}

/// Plans the way from the rules in force, in ascending order, to `tables`.
///
/// An entry keeps its bucket as long as it keeps its key. A bucket that the rules in force use is given to no other
/// entry: packets are still charged to it while the policy changes.
pub(super) fn plan(in_force: &[(TableKey, Rule)], tables: &Tables) -> Result<Plan, DataplaneError> {
    let used: HashSet<u32> = in_force
        .iter()
        .filter(|(_, rule)| rule.kind == kind::LIMITED)
        .map(|(_, rule)| rule.bucket)
        .collect();
    let most = (CHUNK_BUCKETS * MAX_CHUNKS) as usize;
    let mut free = (0..CHUNK_BUCKETS * MAX_CHUNKS).filter(|number| !used.contains(number));
    let mut plan = Plan {
        rules: Vec::with_capacity(tables.entries().len()),
        fresh_buckets: Vec::new(),
        applied: Applied::default(),
        only: None,
    };
    let mut last_change = None;
    let mut rest = in_force;
    for (key, entry) in tables.entries() {
        let before = rest.partition_point(|(old, _)| old < key);
        if let Some((gone, _)) = rest[..before].last() {
            last_change = Some((*gone, None));
        }
        plan.applied.removed += before;
        rest = &rest[before..];
        let old = rest.first().filter(|(old, _)| old == key).map(|(_, rule)| *rule);
        if old.is_some() {
            rest = &rest[1..];
        }
        let rule = match (entry, old) {
            (Entry::Exempt | Entry::Blocked { .. }, _) => Rule {
                kind: kind::EXEMPT,
                ..Rule::default()
            },
            (Entry::Limited { limit, .. }, Some(old)) if old.kind == kind::LIMITED => {
                Rule { limit: *limit, ..old }
            }
            (Entry::Limited { limit, .. }, _) => {
                let too_many = DataplaneError::TooManyRules {
                    rules: tables.entries().len(),
                    most,
                };
                let bucket = free.next().ok_or(too_many)?;
                plan.fresh_buckets.push(bucket);
                Rule {
                    limit: *limit,
                    bucket,
                    kind: kind::LIMITED,
                    ..Rule::default()
                }
            }
        };
        match old {
            None => plan.applied.added += 1,
            Some(old) if old != rule => plan.applied.changed += 1,
            Some(_) => plan.applied.unchanged += 1,
        }
        if old != Some(rule) {
            last_change = Some((*key, Some(rule)));
        }
        plan.rules.push((*key, rule));
    }
    plan.applied.removed += rest.len();
    if let Some((gone, _)) = rest.last() {
        last_change = Some((*gone, None));
    }
    if plan.applied.added + plan.applied.removed + plan.applied.changed == 1 {
        plan.only = last_change;
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use shaper_common::pacing::Limit;
    use shaper_common::rule::Key4;

    use super::*;

    fn key(n: u8) -> TableKey {
        TableKey::Exact4(Key4 {
            service: 0,
            address: [10, 0, 0, n],
        })
    }

    fn limited(rate: u64) -> Entry {
        Entry::limited(Limit::new(rate, 0, 0, None), BucketId(1))
    }

    fn from(in_force: &[(TableKey, Rule)], wanted: &[(TableKey, Entry)]) -> Plan {
        plan(in_force, &Tables::new(wanted.to_vec())).unwrap()
    }

    #[test]
    fn a_key_keeps_its_bucket_and_a_new_one_gets_one_that_nobody_uses() {
        let first = from(
            &[],
            &[
                (key(1), limited(1000)),
                (key(2), limited(2000)),
                (TableKey::Any, limited(9000)),
            ],
        );
        assert_eq!(first.fresh_buckets, [0, 1, 2]);
        let second = from(&first.rules, &[(key(0), limited(1)), (key(2), limited(5000))]);
        assert_eq!(second.rules[1].1.bucket, 1);
        // Not 0 and not 2, although their entries go away: packets may still be charged there.
        assert_eq!(second.fresh_buckets, [3]);
        assert_eq!(
            second.applied,
            Applied {
                added: 1,
                removed: 2,
                changed: 1,
                unchanged: 0
            }
        );
        assert_eq!(second.only.map(|(key, _)| key), None);
    }

    #[test]
    fn a_single_change_is_recognised() {
        let first = from(&[], &[(key(1), limited(1000)), (key(2), limited(2000))]);
        let same = from(&first.rules, &[(key(1), limited(1000)), (key(2), limited(2000))]);
        assert_eq!((same.only, same.applied.unchanged), (None, 2));
        let changed = from(&first.rules, &[(key(1), limited(1000)), (key(2), limited(3000))]);
        assert_eq!(changed.only, Some((key(2), Some(changed.rules[1].1))));
        let removed = from(&first.rules, &[(key(2), limited(2000))]);
        assert_eq!(removed.only, Some((key(1), None)));
        let removed = from(&first.rules, &[(key(1), limited(1000))]);
        assert_eq!(removed.only, Some((key(2), None)));
        let added = from(
            &first.rules,
            &[
                (key(1), limited(1000)),
                (key(2), limited(2000)),
                (key(3), Entry::Exempt),
            ],
        );
        assert_eq!(added.only.map(|(key, _)| key), Some(key(3)));
        assert!(added.fresh_buckets.is_empty());
    }

    #[test]
    fn an_entry_that_is_limited_again_starts_anew() {
        let first = from(&[], &[(key(1), limited(1000))]);
        let exempt = from(&first.rules, &[(key(1), Entry::Exempt)]);
        assert_eq!(entry(&exempt.rules[0].1), Entry::Exempt);
        let again = from(&exempt.rules, &[(key(1), limited(1000))]);
        assert_eq!(again.fresh_buckets, [0]);
    }
}
