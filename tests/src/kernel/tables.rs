//! The tables of a policy, as inner maps of the right size.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::AsFd as _,
};

use aya::{
    Pod,
    maps::{HashMap, IterableMap as _, LpmTrie, MapData, lpm_trie::Key},
};
use shaper_common::{
    header,
    rule::{Key4, Key6, PREFIX4_FIXED_BITS, PREFIX6_FIXED_BITS, PrefixData4, PrefixData6, Rule},
};

use super::raw;
use crate::model::Policy;

/// `BPF_F_NO_PREALLOC`: the kernel makes no trie without.
const NO_PREALLOC: u32 = 1;

pub(super) fn exact4(policy: &Policy) -> HashMap<MapData, Key4, Rule> {
    hash(&policy.exact4, key4)
}

pub(super) fn exact6(policy: &Policy) -> HashMap<MapData, Key6, Rule> {
    hash(&policy.exact6, |address| Key6 {
        service: 0,
        address: words(address),
    })
}

pub(super) fn prefix4(policy: &Policy) -> LpmTrie<MapData, PrefixData4, Rule> {
    trie(&policy.prefix4, |address, prefix_len| {
        Key::new(PREFIX4_FIXED_BITS + prefix_len, key4(address))
    })
}

pub(super) fn prefix6(policy: &Policy) -> LpmTrie<MapData, PrefixData6, Rule> {
    trie(&policy.prefix6, |address, prefix_len| {
        let data = PrefixData6 {
            zero: 0,
            service: 0,
            address: words(address),
        };
        Key::new(PREFIX6_FIXED_BITS + prefix_len, data)
    })
}

fn hash<A: Copy, K: Pod>(rules: &[(A, Rule)], key: impl Fn(A) -> K) -> HashMap<MapData, K, Rule> {
    let map = HashMap::create(size(rules.len()), 0).unwrap();
    let keys = rules.iter().map(|(address, _)| key(*address)).collect::<Vec<_>>();
    let values = rules.iter().map(|(_, rule)| *rule).collect::<Vec<_>>();
    raw::insert_all(map.map().fd().as_fd(), &keys, &values);
    map
}

fn trie<A: Copy, K: Pod>(
    rules: &[(A, u32, Rule)],
    key: impl Fn(A, u32) -> Key<K>,
) -> LpmTrie<MapData, K, Rule> {
    let mut map = LpmTrie::create(size(rules.len()), NO_PREALLOC).unwrap();
    for (address, prefix_len, rule) in rules {
        map.insert(&key(*address, *prefix_len), rule, 0).unwrap();
    }
    map
}

fn size(n_entries: usize) -> u32 {
    u32::try_from(n_entries).unwrap()
}

fn key4(address: Ipv4Addr) -> Key4 {
    Key4 {
        service: 0,
        address: address.octets(),
    }
}

fn words(address: Ipv6Addr) -> [u32; 4] {
    header::words(address.octets())
}
