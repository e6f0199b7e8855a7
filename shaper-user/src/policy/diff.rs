//! How two sets of tables differ.

use std::cmp::Ordering;

use super::tables::Tables;

/// Entries by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Only in the second.
    pub added: usize,
    /// Only in the first.
    pub removed: usize,
    /// In both, and not the same.
    pub changed: usize,
    /// The same in both.
    pub unchanged: usize,
}

impl Diff {
    /// What becomes of `from` on the way to `to`.
    #[must_use]
    pub fn between(from: &Tables, to: &Tables) -> Self {
        let mut diff = Self::default();
        let (mut from, mut to) = (from.entries().iter().peekable(), to.entries().iter().peekable());
        loop {
            let order = match (from.peek(), to.peek()) {
                (None, None) => return diff,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((a, _)), Some((b, _))) => a.cmp(b),
            };
            match order {
                Ordering::Less => {
                    from.next();
                    diff.removed += 1;
                }
                Ordering::Greater => {
                    to.next();
                    diff.added += 1;
                }
                Ordering::Equal if from.next() == to.next() => diff.unchanged += 1,
                Ordering::Equal => diff.changed += 1,
            }
        }
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added == 0 && self.removed == 0 && self.changed == 0
    }
}

#[cfg(test)]
mod tests {
    use shaper_common::rule::Key4;

    use super::*;
    use crate::policy::tables::{BucketId, Entry, TableKey};

    fn tables(entries: &[(u8, u64)]) -> Tables {
        let entry = |&(last, rate): &(u8, u64)| {
            let key = TableKey::Exact4(Key4 {
                service: 0,
                address: [10, 0, 0, last],
            });
            (
                key,
                Entry::limited(shaper_common::pacing::Limit::new(rate, 0, 0, None), BucketId(1)),
            )
        };
        Tables::new(entries.iter().map(entry).collect())
    }

    #[test]
    fn every_entry_is_added_removed_changed_or_unchanged() {
        let diff = Diff::between(
            &tables(&[(1, 1_000), (2, 1_000), (3, 1_000)]),
            &tables(&[(2, 1_000), (3, 2_000), (4, 1_000), (5, 1_000)]),
        );
        assert_eq!(
            diff,
            Diff {
                added: 2,
                removed: 1,
                changed: 1,
                unchanged: 1
            }
        );
        assert!(!diff.is_empty() && Diff::between(&tables(&[(1, 1_000)]), &tables(&[(1, 1_000)])).is_empty());
    }
}
