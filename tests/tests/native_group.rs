//! Groups: a second limit that rules share.

use std::net::{IpAddr, Ipv4Addr};

use shaper_common::{
    NSEC_PER_SEC,
    bucket::{Bucket, CHUNK_BUCKETS},
    outcome::Outcome,
    pacing::{Limit, ticks},
    packed::PackedLimit,
    rule::{Group, Rule},
};
use shaper_tests::{
    kernel::{DROP, Kernel, PASS, Ran, Settings, Skb},
    model::Policy,
    packet::{self, CE, ECT0},
};

const NOW_NS: u64 = 1_000 * NSEC_PER_SEC;
/// One byte per nanosecond: lengths and times read alike.
const LIMIT: Limit = Limit::new(NSEC_PER_SEC, 0, 10_000, None);
/// Half of that.
const GROUP_LIMIT: Limit = Limit::new(NSEC_PER_SEC / 2, 0, 10_000, Some(5_000));
/// The group's bucket.
const ALL: u32 = 9;
/// Bytes of a frame.
const LEN: u64 = 100;

fn member(bucket: u32) -> Rule {
    Rule {
        group: 1,
        ..Rule::limited(LIMIT, bucket)
    }
}

fn v4(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, last)
}

/// Destinations 1 and 2 with buckets of these numbers, and IPv6 with bucket 3, in one group.
fn policy() -> Policy {
    Policy {
        exact4: vec![(v4(1), member(1)), (v4(2), member(2))],
        exact6: vec![("2001:db8::7".parse().unwrap(), member(3))],
        groups: vec![Group {
            limit: PackedLimit::new(GROUP_LIMIT),
            bucket: ALL,
            zero: 0,
        }],
        ..Policy::default()
    }
}

fn kernel(settings: Settings, policy: &Policy) -> Kernel {
    let mut kernel = Kernel::load(settings);
    kernel.install(policy);
    kernel.set_clock(NOW_NS);
    for bucket in [1, 2, 3, ALL] {
        kernel.set_last_departure(bucket, ticks(NOW_NS));
    }
    kernel
}

fn frame(last: u8) -> Vec<u8> {
    packet::udp_with_ecn(IpAddr::V4(v4(last)), ECT0, 58)
}

fn send(kernel: &Kernel, last: u8) -> Ran {
    kernel.run(&frame(last), Skb::default())
}

#[test]
fn the_later_of_two_departures_counts() {
    let kernel = kernel(Settings::default(), &policy());
    // The group takes 200 ns for what a member takes 100 ns for.
    for (n, last) in [(0, 1), (1, 2), (2, 1), (3, 1)] {
        let expected_ns = if n == 0 { 0 } else { NOW_NS + n * 2 * LEN };
        assert_eq!(send(&kernel, last).skb.tstamp, expected_ns, "{n}");
    }
    let v6 = packet::udp_to("2001:db8::7".parse().unwrap(), 38);
    assert_eq!(v6.len() as u64, LEN);
    assert_eq!(kernel.run(&v6, Skb::default()).skb.tstamp, NOW_NS + 4 * 2 * LEN);
    // A member that is further ahead than the group.
    kernel.set_last_departure(2, ticks(NOW_NS + 7_000));
    assert_eq!(send(&kernel, 2).skb.tstamp, NOW_NS + 7_000);
    assert_eq!(kernel.total(Outcome::Paced), 5);
}

#[test]
fn both_are_charged_and_count_what_is_sent() {
    let kernel = kernel(Settings::default(), &policy());
    let _ = (send(&kernel, 1), send(&kernel, 2));
    let charged = |n_packets, n_paced, slot_ns| Bucket {
        last_departure_ticks: ticks(NOW_NS + slot_ns),
        sent_packets: n_packets,
        sent_bytes: n_packets * LEN,
        paced_packets: n_paced,
        ..Bucket::default()
    };
    assert_eq!(kernel.bucket(1), charged(1, 0, LEN));
    // It waited for the group's sake, not for its own bucket's.
    assert_eq!(kernel.bucket(2), charged(1, 1, LEN));
    assert_eq!(kernel.bucket(ALL), charged(2, 1, 4 * LEN));
}

#[test]
fn beyond_either_horizon_neither_is_charged_and_both_count_the_drop() {
    for (own_ns, group_ns) in [(0, 10_001), (10_001, 0), (10_001, 10_001)] {
        let kernel = kernel(Settings::default(), &policy());
        kernel.set_last_departure(1, ticks(NOW_NS + own_ns));
        kernel.set_last_departure(ALL, ticks(NOW_NS + group_ns));
        let ran = send(&kernel, 1);
        assert_eq!((ran.action, ran.skb.tstamp), (DROP, 0));
        let dropped = |ahead_ns| Bucket {
            last_departure_ticks: ticks(NOW_NS + ahead_ns),
            dropped_packets: 1,
            ..Bucket::default()
        };
        assert_eq!(kernel.bucket(1), dropped(own_ns));
        assert_eq!(kernel.bucket(ALL), dropped(group_ns));
        assert_eq!(kernel.total(Outcome::BeyondHorizon), 1);
    }
}

#[test]
fn a_packet_is_marked_if_the_group_asks_or_the_member() {
    let marking = Limit::new(NSEC_PER_SEC, 0, 10_000, Some(5_000));
    let silent = Limit::new(NSEC_PER_SEC, 0, 10_000, None);
    for (own, group, is_marked) in [
        (silent, marking, true),
        (marking, silent, true),
        (marking, marking, true),
        (silent, silent, false),
    ] {
        let mut policy = policy();
        policy.exact4[0].1.limit = PackedLimit::new(own);
        policy.groups[0].limit = PackedLimit::new(group);
        let kernel = kernel(Settings::default(), &policy);
        kernel.set_last_departure(1, ticks(NOW_NS + 5_001));
        kernel.set_last_departure(ALL, ticks(NOW_NS + 5_001));
        let ecn = if is_marked { CE } else { ECT0 };
        assert_eq!(packet::ecn(&send(&kernel, 1).frame), ecn);
        for bucket in [1, ALL] {
            assert_eq!(kernel.bucket(bucket).marked_packets, u64::from(is_marked));
        }
        assert_eq!(kernel.total(Outcome::Marked), u64::from(is_marked));
    }
}

#[test]
fn the_fallback_loses_neither_charge() {
    let settings = Settings {
        force_fallback: true,
        ..Settings::default()
    };
    let kernel = kernel(settings, &policy());
    for n in 0..5_u64 {
        let expected_ns = if n == 0 { 0 } else { NOW_NS + n * 2 * LEN };
        assert_eq!(send(&kernel, 1).skb.tstamp, expected_ns);
    }
    assert_eq!(kernel.bucket(1).last_departure_ticks, ticks(NOW_NS + 5 * LEN));
    assert_eq!(
        kernel.bucket(ALL).last_departure_ticks,
        ticks(NOW_NS + 5 * 2 * LEN)
    );
}

#[test]
fn a_group_that_does_not_exist_leaves_the_rules_own_limit() {
    let mut policy = policy();
    policy.exact4[0].1.group = 2;
    policy.groups[0].bucket = CHUNK_BUCKETS;
    let kernel = kernel(Settings::default(), &policy);
    for last in [1, 2] {
        assert_eq!(send(&kernel, last).skb.tstamp, 0);
        assert_eq!(send(&kernel, last).skb.tstamp, NOW_NS + LEN);
    }
    assert_eq!(kernel.bucket(ALL).sent_packets, 0);
}

#[test]
fn policed_a_packet_that_would_wait_for_either_is_dropped_and_nothing_is_stamped() {
    let settings = Settings {
        police: true,
        ..Settings::default()
    };
    let kernel = kernel(settings, &policy());
    // Stamped by the wall clock: without `fq` nobody minds.
    let skb = Skb {
        tstamp: 1_790_000_000_000_000_000,
        ..Skb::default()
    };
    let first = kernel.run(&frame(1), skb);
    assert_eq!((first.action, first.skb.tstamp), (PASS, skb.tstamp));
    // Its own bucket is idle, the group's is not.
    let (own, group) = (kernel.bucket(2), kernel.bucket(ALL));
    let second = kernel.run(&frame(2), skb);
    assert_eq!((second.action, second.skb.tstamp), (DROP, skb.tstamp));
    assert_eq!(kernel.bucket(2).last_departure_ticks, own.last_departure_ticks);
    assert_eq!(
        kernel.bucket(ALL).last_departure_ticks,
        group.last_departure_ticks
    );
    // Both are idle again.
    kernel.set_clock(NOW_NS + 2 * LEN);
    assert_eq!(send(&kernel, 2).action, PASS);
    assert_eq!(kernel.total(Outcome::Paced), 0);
    assert_eq!(kernel.total(Outcome::Restamped), 0);
    assert_eq!(kernel.total(Outcome::BeyondHorizon), 1);
}
