//! The tables of a policy, as inner maps of the right size.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsFd as _,
};

use aya::{
    Pod,
    maps::{Array, HashMap, IterableMap as _, LpmTrie, MapData, lpm_trie::Key},
};
use shaper_common::{
    bucket::Bucket,
    filter, header,
    names::{INNER_MAP, NO_PREALLOC},
    rule::{
        ClientKey, Group, Key4, Key6, N_PORTS, PREFIX4_FIXED_BITS, PREFIX6_FIXED_BITS, PrefixData4,
        PrefixData6, Rule, port_index,
    },
};

use super::raw;
use crate::model::Policy;

pub(super) fn exact4(policy: &Policy) -> Option<HashMap<MapData, Key4, Rule>> {
    hash(
        policy
            .exact()
            .filter_map(|(service, address, rule)| match address {
                IpAddr::V4(address) => Some((key4(service, address), rule)),
                IpAddr::V6(_) => None,
            }),
    )
}

pub(super) fn exact6(policy: &Policy) -> Option<HashMap<MapData, Key6, Rule>> {
    hash(
        policy
            .exact()
            .filter_map(|(service, address, rule)| match address {
                IpAddr::V4(_) => None,
                IpAddr::V6(address) => Some((key6(service, address), rule)),
            }),
    )
}

pub(super) fn prefix4(policy: &Policy) -> Option<LpmTrie<MapData, PrefixData4, Rule>> {
    trie(
        policy
            .prefixes()
            .filter_map(|(service, address, prefix_len, rule)| match address {
                IpAddr::V4(address) => {
                    let key = Key::new(PREFIX4_FIXED_BITS + prefix_len, key4(service, address));
                    Some((key, with_len(rule, prefix_len)))
                }
                IpAddr::V6(_) => None,
            }),
    )
}

pub(super) fn prefix6(policy: &Policy) -> Option<LpmTrie<MapData, PrefixData6, Rule>> {
    trie(
        policy
            .prefixes()
            .filter_map(|(service, address, prefix_len, rule)| match address {
                IpAddr::V4(_) => None,
                IpAddr::V6(address) => {
                    let data = PrefixData6 {
                        zero: 0,
                        service,
                        address: words(address),
                    };
                    let key = Key::new(PREFIX6_FIXED_BITS + prefix_len, data);
                    Some((key, with_len(rule, prefix_len)))
                }
            }),
    )
}

/// The bits of the filter that a policy's exact destinations set.
pub(super) fn filter_bits(policy: &Policy) -> impl Iterator<Item = u32> + '_ {
    policy.exact().map(|(_, address, _)| match address {
        IpAddr::V4(address) => filter::bit4(u32::from_ne_bytes(address.octets())),
        IpAddr::V6(address) => filter::bit6(words(address)),
    })
}

pub(super) fn groups(policy: &Policy) -> Array<MapData, Group> {
    let mut map = Array::create(size(policy.groups.len()).max(1), INNER_MAP).unwrap();
    for (index, group) in policy.groups.iter().enumerate() {
        map.set(size(index), *group, 0).unwrap();
    }
    map
}

pub(super) fn services(policy: &Policy) -> Array<MapData, u32> {
    let mut map = Array::create(N_PORTS, INNER_MAP).unwrap();
    for (port, service) in &policy.ports {
        map.set(port_index(port.is_udp, port.number), *service, 0)
            .unwrap();
    }
    map
}

pub(super) fn clients(max_clients: u32) -> HashMap<MapData, ClientKey, Bucket> {
    HashMap::create(max_clients, NO_PREALLOC).unwrap()
}

fn hash<K: Pod>(rules: impl Iterator<Item = (K, Rule)>) -> Option<HashMap<MapData, K, Rule>> {
    let (keys, values): (Vec<_>, Vec<_>) = rules.unzip();
    if keys.is_empty() {
        return None;
    }
    let map = HashMap::create(size(keys.len()), 0).unwrap();
    raw::insert_all(map.map().fd().as_fd(), &keys, &values);
    Some(map)
}

fn trie<K: Pod>(rules: impl Iterator<Item = (Key<K>, Rule)>) -> Option<LpmTrie<MapData, K, Rule>> {
    let rules = rules.collect::<Vec<_>>();
    if rules.is_empty() {
        return None;
    }
    let mut map = LpmTrie::create(size(rules.len()), NO_PREALLOC).unwrap();
    for (key, rule) in &rules {
        map.insert(key, rule, 0).unwrap();
    }
    Some(map)
}

fn with_len(rule: Rule, prefix_len: u32) -> Rule {
    Rule {
        prefix_len: u8::try_from(prefix_len).unwrap(),
        ..rule
    }
}

fn size(n_entries: usize) -> u32 {
    u32::try_from(n_entries).unwrap()
}

pub(super) fn key6(service: u32, address: Ipv6Addr) -> Key6 {
    Key6 {
        service,
        address: words(address),
    }
}

pub(super) fn key4(service: u32, address: Ipv4Addr) -> Key4 {
    Key4 {
        service,
        address: address.octets(),
    }
}

fn words(address: Ipv6Addr) -> [u32; 4] {
    header::words(address.octets())
}
