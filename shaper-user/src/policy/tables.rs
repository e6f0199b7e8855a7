//! The policy as the kernel's tables hold it, but for the bucket numbers, which the data plane assigns.

use shaper_common::pacing::Limit;
use shaper_common::rule::{Key4, Key6, PrefixData4, PrefixData6};

/// Where an entry stands: the table and the key in it. Also the identity of its bucket: an entry that keeps its
/// key keeps its bucket, whatever becomes of its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TableKey {
    /// One IPv4 address.
    Exact4(Key4),
    /// One IPv6 address.
    Exact6(Key6),
    /// An IPv4 prefix; the length counts address bits only.
    Prefix4(u32, PrefixData4),
    /// An IPv6 prefix; the length counts address bits only.
    Prefix6(u32, PrefixData6),
    /// All the rest.
    Any,
}

/// What a table says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Never limited.
    Exempt,
    /// Limited.
    Limited(Limit),
}

/// All entries, in ascending order of their keys, each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    entries: Vec<(TableKey, Entry)>,
}

impl Tables {
    /// Sorts `entries`; of several with one key the first counts.
    #[must_use]
    pub fn new(mut entries: Vec<(TableKey, Entry)>) -> Self {
        entries.sort_by_key(|(key, _)| *key);
        entries.dedup_by_key(|(key, _)| *key);
        Self { entries }
    }

    /// The entries, in ascending order of their keys.
    #[must_use]
    pub fn entries(&self) -> &[(TableKey, Entry)] {
        &self.entries
    }

    /// The entry with exactly this key.
    #[must_use]
    pub fn get(&self, key: &TableKey) -> Option<&Entry> {
        let index = self.entries.binary_search_by_key(key, |(key, _)| *key).ok()?;
        Some(&self.entries[index].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_entries_with_one_key_the_first_counts() {
        let limited = Entry::Limited(Limit::new(1_000_000, 0, 0, None));
        let tables = Tables::new(vec![(TableKey::Any, limited), (TableKey::Any, Entry::Exempt)]);
        assert_eq!(tables.entries(), [(TableKey::Any, limited)]);
        assert_eq!(tables.get(&TableKey::Any), Some(&limited));
    }
}
