//! The policy as the kernel's tables hold it, but for the bucket numbers, which the data plane assigns.

use shaper_common::pacing::Limit;
use shaper_common::rule::{DEFAULT_MAX_CLIENTS, Key4, Key6, PrefixData4, PrefixData6};

/// Where an entry stands: the table and the key in it. A key's service is a number of [`PortRange::service`].
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

/// Identity of a bucket: a rule that says the same of whom it covers (destination, ports, how clients are told apart)
/// has the same in every policy, whatever becomes of its rate; and so has a group of the same name. Entries with one
/// identity share the bucket: a rule may take several entries. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketId(pub u64);

impl BucketId {
    /// The identity of what `text` describes: FNV-1a, the same on every machine and in every version.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(hash.max(1))
    }
}

/// How a rule tells clients apart: leading bits of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientLens {
    /// Of IPv4, 1 to 32.
    pub v4: u8,
    /// Of IPv6, 1 to 128.
    pub v6: u8,
}

/// What a table says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Never limited.
    Exempt,
    /// Dropped, every packet; the bucket counts them.
    Blocked {
        /// Where they are counted.
        bucket: BucketId,
    },
    /// Limited.
    Limited {
        /// How fast.
        limit: Limit,
        /// Its bucket; with a bucket per client, that of clients for whom there is no room.
        bucket: BucketId,
        /// Each client has a bucket of his own.
        clients: Option<ClientLens>,
        /// Index into [`Tables::groups`].
        group: Option<u32>,
    },
}

impl Entry {
    /// The identity of the bucket that it needs.
    #[must_use]
    pub fn bucket(&self) -> Option<BucketId> {
        match self {
            Self::Exempt => None,
            Self::Blocked { bucket } | Self::Limited { bucket, .. } => Some(*bucket),
        }
    }

    /// Limited, by one bucket, in no group.
    #[must_use]
    pub fn limited(limit: Limit, bucket: BucketId) -> Self {
        Self::Limited {
            limit,
            bucket,
            clients: None,
            group: None,
        }
    }
}

/// A limit that rules share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// How fast all together.
    pub limit: Limit,
    /// Its bucket.
    pub bucket: BucketId,
}

/// Ports of the server, and the number of the service they belong to. Services that overlap are told apart by giving
/// each set of ports that belongs to the same services a number of its own; a rule then has an entry for each number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// UDP instead of TCP.
    pub is_udp: bool,
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
    /// Above zero.
    pub service: u32,
}

/// All entries, in ascending order of their keys, each key once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    entries: Vec<(TableKey, Entry)>,
    /// What [`Entry::Limited::group`] counts.
    pub groups: Vec<Group>,
    /// Ports that belong to a service, without overlap.
    pub ports: Vec<PortRange>,
    /// Clients that have buckets of their own at the same time.
    pub max_clients: u32,
}

impl Default for Tables {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Tables {
    /// Tables without groups and services. Sorts `entries`; of several with one key the first counts.
    #[must_use]
    pub fn new(mut entries: Vec<(TableKey, Entry)>) -> Self {
        entries.sort_by_key(|(key, _)| *key);
        entries.dedup_by_key(|(key, _)| *key);
        Self {
            entries,
            groups: Vec::new(),
            ports: Vec::new(),
            max_clients: DEFAULT_MAX_CLIENTS,
        }
    }

    /// The entries, in ascending order of their keys.
    #[must_use]
    pub fn entries(&self) -> &[(TableKey, Entry)] {
        &self.entries
    }

    /// Whether packets meet the same in both: where no entry tells clients apart, it does not matter how many there may
    /// be, and the kernel need not know.
    #[must_use]
    pub fn means_the_same_as(&self, other: &Self) -> bool {
        let tells_apart =
            |(_, entry): &(TableKey, Entry)| matches!(entry, Entry::Limited { clients: Some(_), .. });
        let is_counted = self.entries.iter().any(tells_apart);
        (self.max_clients == other.max_clients || !is_counted)
            && self.entries == other.entries
            && self.groups == other.groups
            && self.ports == other.ports
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
    fn how_many_clients_there_may_be_counts_where_they_are_told_apart() {
        let tables = |clients, max_clients| {
            let entry = Entry::Limited {
                limit: Limit::new(1_000_000, 0, 0, None),
                bucket: BucketId(1),
                clients,
                group: None,
            };
            let mut tables = Tables::new(vec![(TableKey::Any, entry)]);
            tables.max_clients = max_clients;
            tables
        };
        let each = Some(ClientLens { v4: 32, v6: 64 });
        assert!(tables(None, 7).means_the_same_as(&tables(None, 8)));
        assert!(!tables(each, 7).means_the_same_as(&tables(each, 8)));
        assert!(tables(each, 7).means_the_same_as(&tables(each, 7)));
        assert!(!tables(each, 7).means_the_same_as(&tables(None, 7)));
    }

    #[test]
    fn of_two_entries_with_one_key_the_first_counts() {
        let limited = Entry::limited(Limit::new(1_000_000, 0, 0, None), BucketId(1));
        let tables = Tables::new(vec![(TableKey::Any, limited), (TableKey::Any, Entry::Exempt)]);
        assert_eq!(tables.entries(), [(TableKey::Any, limited)]);
        assert_eq!(tables.get(&TableKey::Any), Some(&limited));
    }
}
