//! The policies that are measured. `hit` is an IPv4 and an IPv6 address that each has a rule for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use shaper_common::rule::{Group, Rule};
use shaper_tests::model::{Policy, Port};

/// The bucket of the group.
pub(crate) const GROUP_BUCKET: u32 = 1;

fn families(hit: [IpAddr; 2]) -> (Ipv4Addr, Ipv6Addr) {
    let [IpAddr::V4(v4), IpAddr::V6(v6)] = hit else {
        unreachable!("one address of each family");
    };
    (v4, v6)
}

/// So many exact rules for each family, the first of them for `hit`.
pub(crate) fn exact(n_entries: u32, hit: [IpAddr; 2], rule: Rule) -> Policy {
    let (v4, v6) = families(hit);
    Policy {
        exact4: (0..n_entries)
            .map(|n| (Ipv4Addr::from(u32::from(v4) + n), rule))
            .collect(),
        exact6: (0..n_entries)
            .map(|n| (Ipv6Addr::from(u128::from(v6) + u128::from(n)), rule))
            .collect(),
        ..Policy::default()
    }
}

/// A rule for `hit` and nothing else.
pub(crate) fn only(hit: [IpAddr; 2], rule: Rule) -> Policy {
    exact(1, hit, rule)
}

/// So many neighbouring prefixes, of 24 bits and of 56, the first of them around `hit`.
pub(crate) fn prefixes(n_entries: u32, hit: [IpAddr; 2], rule: Rule) -> Policy {
    let (v4, v6) = families(hit);
    Policy {
        prefix4: (0..n_entries)
            .map(|n| (Ipv4Addr::from(u32::from(v4) + (n << 8)), 24, rule))
            .collect(),
        prefix6: (0..n_entries)
            .map(|n| (Ipv6Addr::from(u128::from(v6) + (u128::from(n) << 72)), 56, rule))
            .collect(),
        ..Policy::default()
    }
}

/// A rule for `hit` and service 1 and one for `hit` and every service; the packets' port belongs to `service`.
pub(crate) fn of_service(service: u32, hit: [IpAddr; 2], rule: Rule) -> Policy {
    let (v4, v6) = families(hit);
    let port = Port {
        is_udp: true,
        number: 40_000,
    };
    Policy {
        for_service: vec![(1, IpAddr::V4(v4), 32, rule), (1, IpAddr::V6(v6), 128, rule)],
        ports: vec![(port, service)],
        ..only(hit, rule)
    }
}

/// A rule for `hit` in a group with the same limit.
pub(crate) fn in_group(hit: [IpAddr; 2], rule: Rule) -> Policy {
    Policy {
        groups: vec![Group {
            limit: rule.limit,
            bucket: GROUP_BUCKET,
            zero: 0,
        }],
        ..only(hit, Rule { group: 1, ..rule })
    }
}

/// A rule for `hit` with a bucket per client.
pub(crate) fn per_client(hit: [IpAddr; 2], rule: Rule) -> Policy {
    let rule = Rule {
        client_len4: 32,
        client_len6: 64,
        ..rule
    };
    only(hit, rule)
}
