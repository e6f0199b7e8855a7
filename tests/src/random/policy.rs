//! Random policies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use shaper_common::{
    bucket::CHUNK_BUCKETS,
    pacing::{Limit, MAX_RATE_BYTES_PER_SEC, MIN_RATE_BYTES_PER_SEC},
    packed::PackedLimit,
    rule::{Group, Rule, kind},
};

use super::Random;
use crate::model::{Policy, Port};

/// Ports that rules and frames meet at.
pub(super) const PORTS: [u16; 6] = [53, 80, 143, 443, 993, 65_535];

/// Numbers of services.
const SERVICES: [u32; 3] = [1, 2, 77];

/// A policy in which a few buckets are shared by many rules, so that they fill up.
#[must_use]
pub fn policy(random: &mut Random) -> Policy {
    let groups = groups(random);
    let n_groups = groups.len();
    let rule = |random: &mut Random| rule(random, n_groups);
    let has_services = random.one_in(2);
    Policy {
        exact4: (0..random.below(40))
            .map(|_| (near4(random), rule(random)))
            .collect(),
        exact6: (0..random.below(40))
            .map(|_| (near6(random), rule(random)))
            .collect(),
        prefix4: (0..random.below(8))
            .map(|_| {
                let (prefix, len) = any_prefix4(random);
                (prefix, len, rule(random))
            })
            .collect(),
        prefix6: (0..random.below(8))
            .map(|_| {
                let (prefix, len) = any_prefix6(random);
                (prefix, len, rule(random))
            })
            .collect(),
        any: random.one_in(2).then(|| rule(random)),
        for_service: (0..if has_services { random.below(30) } else { 0 })
            .map(|_| for_service(random, rule))
            .collect(),
        ports: if has_services { ports(random) } else { Vec::new() },
        groups,
    }
    .without_duplicates()
}

fn groups(random: &mut Random) -> Vec<Group> {
    (0..random.below(4))
        .map(|_| Group {
            limit: PackedLimit::new(limit(random)),
            bucket: bucket(random, 16..20),
            zero: 0,
        })
        .collect()
}

fn ports(random: &mut Random) -> Vec<(Port, u32)> {
    (0..=random.below(9))
        .map(|_| {
            let port = Port {
                is_udp: random.one_in(2),
                number: random.pick(&PORTS),
            };
            (port, random.pick(&SERVICES))
        })
        .collect()
}

fn for_service(random: &mut Random, rule: impl Fn(&mut Random) -> Rule) -> (u32, IpAddr, u32, Rule) {
    let service = random.pick(&SERVICES);
    let (destination, len) = match random.below(4) {
        0 => (IpAddr::V4(near4(random)), 32),
        1 => (IpAddr::V6(near6(random)), 128),
        2 => {
            let (prefix, len) = any_prefix4(random);
            (IpAddr::V4(prefix), len)
        }
        _ => {
            let (prefix, len) = any_prefix6(random);
            (IpAddr::V6(prefix), len)
        }
    };
    (service, destination, len, rule(random))
}

fn limit(random: &mut Random) -> Limit {
    let rate = random
        .magnitude(10..37)
        .clamp(MIN_RATE_BYTES_PER_SEC, MAX_RATE_BYTES_PER_SEC);
    let ecn_ns = (!random.one_in(4)).then(|| random.magnitude(0..25));
    Limit::new(rate, random.magnitude(0..30), random.magnitude(10..35), ecn_ns)
}

/// One of `numbers`, and now and then one that does not exist.
fn bucket(random: &mut Random, numbers: std::ops::Range<u32>) -> u32 {
    if random.one_in(50) {
        CHUNK_BUCKETS + random.below32(9)
    } else {
        numbers.start + random.below32(numbers.end - numbers.start)
    }
}

fn rule(random: &mut Random, n_groups: usize) -> Rule {
    let kind = match random.below(16) {
        0..2 => kind::EXEMPT,
        2 => kind::BLOCKED,
        _ => kind::LIMITED,
    };
    let has_clients = random.one_in(4);
    let lens = |random: &mut Random, lens: &[u8]| if has_clients { random.pick(lens) } else { 0 };
    // One more than there are: a group that does not exist.
    let group = if n_groups > 0 && random.one_in(3) {
        random.below32(u32::try_from(n_groups).unwrap() + 2)
    } else {
        0
    };
    Rule {
        kind,
        group,
        client_len4: lens(random, &[32, 32, 24, 17, 1, 0]),
        client_len6: lens(random, &[128, 64, 64, 57, 112, 1, 0]),
        shared_packets: if random.one_in(2) { random.below32(6) } else { 0 },
        ..Rule::limited(limit(random), bucket(random, 0..16))
    }
}

/// An address of a small neighbourhood, so that rules and frames meet.
pub(super) fn near4(random: &mut Random) -> Ipv4Addr {
    Ipv4Addr::new(
        10,
        random.pick(&[0, 1, 2, 128]),
        random.pick(&[0, 1, 255]),
        random.pick(&[0, 1, 2, 3, 4, 255]),
    )
}

pub(super) fn near6(random: &mut Random) -> Ipv6Addr {
    let low = random.pick(&[0, 1, 2, 3, 0xffff]);
    Ipv6Addr::new(
        0x2001,
        0xdb8,
        0,
        random.pick(&[0, 1, 0x8000]),
        0,
        random.pick(&[0, 1]),
        0,
        low,
    )
}

fn any_prefix4(random: &mut Random) -> (Ipv4Addr, u32) {
    let prefix_len = random.below32(33);
    (prefix4(near4(random), prefix_len), prefix_len)
}

fn any_prefix6(random: &mut Random) -> (Ipv6Addr, u32) {
    let prefix_len = random.below32(129);
    (prefix6(near6(random), prefix_len), prefix_len)
}

/// The first address of a prefix.
pub(super) fn prefix4(address: Ipv4Addr, prefix_len: u32) -> Ipv4Addr {
    let mask = u32::MAX.checked_shl(32 - prefix_len).unwrap_or(0);
    Ipv4Addr::from(u32::from(address) & mask)
}

/// The first address of a prefix.
pub(super) fn prefix6(address: Ipv6Addr, prefix_len: u32) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128 - prefix_len).unwrap_or(0);
    Ipv6Addr::from(u128::from(address) & mask)
}
