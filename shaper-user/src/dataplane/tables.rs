//! The four tables of rules of a policy slot: which keys go where.

use aya::Pod;
use aya::maps::lpm_trie::Key as TrieKey;
use shaper_common::names;
use shaper_common::rule::{
    Key4, Key6, PREFIX4_FIXED_BITS, PREFIX6_FIXED_BITS, PrefixData4, PrefixData6, Rule, feature,
};

use crate::policy::tables::TableKey;

/// One of the four.
pub(super) trait Table {
    /// Its keys in the kernel.
    type Key: Pod;
    /// Name of the map of maps.
    const NAME: &str;
    /// The bit that says that the table is not empty.
    const FEATURE: u32;

    /// The kernel's key, if `key` belongs into this table.
    fn kernel_key(key: &TableKey) -> Option<Self::Key>;

    /// Back from the kernel's key.
    fn table_key(key: &Self::Key) -> TableKey;

    /// The rules that belong into this table.
    fn select(rules: &[(TableKey, Rule)]) -> Vec<(Self::Key, Rule)> {
        rules
            .iter()
            .filter_map(|(key, rule)| Some((Self::kernel_key(key)?, *rule)))
            .collect()
    }
}

/// Single IPv4 addresses.
#[derive(Debug)]
pub(super) struct Exact4;
/// Single IPv6 addresses.
#[derive(Debug)]
pub(super) struct Exact6;
/// IPv4 prefixes.
#[derive(Debug)]
pub(super) struct Prefix4;
/// IPv6 prefixes.
#[derive(Debug)]
pub(super) struct Prefix6;

impl Table for Exact4 {
    type Key = Key4;
    const NAME: &str = names::EXACT4;
    const FEATURE: u32 = feature::EXACT4;

    fn kernel_key(key: &TableKey) -> Option<Key4> {
        if let TableKey::Exact4(key) = key {
            Some(*key)
        } else {
            None
        }
    }

    fn table_key(key: &Key4) -> TableKey {
        TableKey::Exact4(*key)
    }
}

impl Table for Exact6 {
    type Key = Key6;
    const NAME: &str = names::EXACT6;
    const FEATURE: u32 = feature::EXACT6;

    fn kernel_key(key: &TableKey) -> Option<Key6> {
        if let TableKey::Exact6(key) = key {
            Some(*key)
        } else {
            None
        }
    }

    fn table_key(key: &Key6) -> TableKey {
        TableKey::Exact6(*key)
    }
}

impl Table for Prefix4 {
    type Key = TrieKey<PrefixData4>;
    const NAME: &str = names::PREFIX4;
    const FEATURE: u32 = feature::PREFIX4;

    fn kernel_key(key: &TableKey) -> Option<TrieKey<PrefixData4>> {
        if let TableKey::Prefix4(len, data) = key {
            Some(TrieKey::new(len + PREFIX4_FIXED_BITS, *data))
        } else {
            None
        }
    }

    fn table_key(key: &TrieKey<PrefixData4>) -> TableKey {
        TableKey::Prefix4(key.prefix_len() - PREFIX4_FIXED_BITS, key.data())
    }
}

impl Table for Prefix6 {
    type Key = TrieKey<PrefixData6>;
    const NAME: &str = names::PREFIX6;
    const FEATURE: u32 = feature::PREFIX6;

    fn kernel_key(key: &TableKey) -> Option<TrieKey<PrefixData6>> {
        if let TableKey::Prefix6(len, data) = key {
            Some(TrieKey::new(len + PREFIX6_FIXED_BITS, *data))
        } else {
            None
        }
    }

    fn table_key(key: &TrieKey<PrefixData6>) -> TableKey {
        TableKey::Prefix6(key.prefix_len() - PREFIX6_FIXED_BITS, key.data())
    }
}
