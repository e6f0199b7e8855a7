//! What becomes of a packet that a rule limits: held, marked, dropped, stamped and counted.

use std::net::IpAddr;

use shaper_common::{
    NSEC_PER_SEC,
    bucket::{Bucket, CHUNK_BUCKETS},
    outcome::Outcome,
    pacing::{Limit, ticks},
    rule::Rule,
    stamp::FQ_HORIZON_NS,
};
use shaper_tests::{
    kernel::{DROP, Kernel, PASS, Ran, Settings, Skb},
    model::Policy,
    packet::{self, CE, ECT0},
};

const NOW_NS: u64 = 1_000 * NSEC_PER_SEC;
/// Receive time stamped by the wall clock in the year 2026.
const WALL_NS: u64 = 1_790_000_000_000_000_000;

/// One byte per nanosecond: lengths and times read alike.
const RULE: Rule = Rule::limited(Limit::new(NSEC_PER_SEC, 1_500, 10_000, Some(5_000)), 3);

/// A frame of 100 bytes to the destination that [`RULE`] limits.
fn frame() -> Vec<u8> {
    packet::udp_to(v4(), 58)
}

fn v4() -> IpAddr {
    "192.0.2.7".parse().unwrap()
}

fn v6() -> IpAddr {
    "2001:db8::7".parse().unwrap()
}

fn kernel() -> Kernel {
    let mut kernel = Kernel::load(Settings::default());
    kernel.install(&Policy {
        exact4: vec![("192.0.2.7".parse().unwrap(), RULE)],
        exact6: vec![("2001:db8::7".parse().unwrap(), RULE)],
        ..Policy::default()
    });
    kernel.set_clock(NOW_NS);
    kernel
}

/// Sends a frame to a bucket whose last packet departs `wait_ns` after now.
fn send(kernel: &Kernel, wait_ns: u64, frame: &[u8], skb: Skb) -> Ran {
    kernel.set_last_departure(3, ticks(NOW_NS + wait_ns));
    kernel.run(frame, skb)
}

#[test]
fn a_packet_within_the_rate_is_sent_at_once_and_left_unstamped() {
    let kernel = kernel();
    let ran = kernel.run(&frame(), Skb::default());
    assert_eq!((ran.action, ran.skb.tstamp), (PASS, 0));
    assert_eq!(kernel.bucket(3).last_departure_ticks, ticks(NOW_NS - 1_500 + 100));
    assert_eq!(kernel.total(Outcome::Conforming), 1);
}

#[test]
fn a_packet_beyond_the_rate_departs_when_the_one_before_it_has_had_its_time() {
    for destination in [v4(), v6()] {
        let kernel = kernel();
        let frame = packet::udp_to(destination, 58);
        let ran = send(&kernel, 1, &frame, Skb::default());
        assert_eq!((ran.action, ran.skb.tstamp), (PASS, NOW_NS + 1));
        let next = kernel.run(&frame, Skb::default());
        assert_eq!(next.skb.tstamp, NOW_NS + 1 + frame.len() as u64);
        assert_eq!(kernel.total(Outcome::Paced), 2);
        assert_eq!(kernel.total(Outcome::RawStamped), 0);
    }
}

#[test]
fn a_departure_is_never_rounded_to_before_its_time() {
    let kernel = kernel();
    kernel.set_last_departure(3, ticks(NOW_NS) + 1);
    assert_eq!(kernel.run(&frame(), Skb::default()).skb.tstamp, NOW_NS + 1);
}

#[test]
fn the_horizon_itself_is_still_sent() {
    let kernel = kernel();
    let ran = send(&kernel, 10_000, &frame(), Skb::default());
    assert_eq!((ran.action, ran.skb.tstamp), (PASS, NOW_NS + 10_000));
    assert_eq!(kernel.bucket(3).last_departure_ticks, ticks(NOW_NS + 10_100));
}

#[test]
fn beyond_the_horizon_a_packet_is_dropped_and_charges_nothing() {
    let kernel = kernel();
    kernel.set_last_departure(3, ticks(NOW_NS + 10_000) + 1);
    let ran = kernel.run(&frame(), Skb::default());
    assert_eq!((ran.action, ran.skb.tstamp), (DROP, 0));
    let expected = Bucket {
        last_departure_ticks: ticks(NOW_NS + 10_000) + 1,
        dropped_packets: 1,
        ..Bucket::default()
    };
    assert_eq!(kernel.bucket(3), expected);
    assert_eq!(kernel.total(Outcome::BeyondHorizon), 1);
}

#[test]
fn a_packet_that_waits_long_is_marked_if_it_can_carry_a_mark() {
    for destination in [v4(), v6()] {
        let kernel = kernel();
        let ect = packet::udp_with_ecn(destination, ECT0, 58);
        let not_ect = packet::udp_with_ecn(destination, 0, 58);
        assert_eq!(
            packet::ecn(&send(&kernel, 5_000, &ect, Skb::default()).frame),
            ECT0
        );
        assert_eq!(packet::ecn(&send(&kernel, 5_001, &ect, Skb::default()).frame), CE);
        assert_eq!(
            packet::ecn(&send(&kernel, 5_001, &not_ect, Skb::default()).frame),
            0
        );
        assert_eq!(kernel.bucket(3).marked_packets, 1);
        assert_eq!(kernel.total(Outcome::Marked), 1);
    }
}

#[test]
fn a_mark_leaves_the_header_checksum_right() {
    let ran = send(
        &kernel(),
        5_001,
        &packet::udp_with_ecn(v4(), ECT0, 58),
        Skb::default(),
    );
    assert_eq!(packet::checksum(&ran.frame[14..34]), 0);
}

#[test]
fn a_tagged_frame_is_held_but_never_marked() {
    let kernel = kernel();
    for destination in [v4(), v6()] {
        let frame = packet::tagged(0x8100, 5, &packet::udp_with_ecn(destination, ECT0, 58));
        let ran = send(&kernel, 5_001, &frame, Skb::default());
        assert_eq!((ran.action, ran.skb.tstamp), (PASS, NOW_NS + 5_001));
        assert_eq!(ran.frame, frame);
    }
    assert_eq!(kernel.total(Outcome::Marked), 0);
    assert_eq!(kernel.total(Outcome::RawStamped), 2);
}

#[test]
fn what_is_sent_is_counted_in_its_bucket() {
    let kernel = kernel();
    let _ = send(&kernel, 0, &frame(), Skb::default());
    let _ = kernel.run(&frame(), Skb::default());
    let expected = Bucket {
        last_departure_ticks: ticks(NOW_NS + 200),
        sent_bytes: 200,
        sent_packets: 2,
        paced_packets: 1,
        ..Bucket::default()
    };
    assert_eq!(kernel.bucket(3), expected);
    assert_eq!(kernel.bucket(2), Bucket::default());
    assert_eq!(kernel.bucket(4), Bucket::default());
}

#[test]
fn the_later_of_two_departures_counts_and_the_other_is_not_charged() {
    let kernel = kernel();
    for (existing_ns, expected_ns) in [
        (0, 50),
        (49, 50),
        (50, 50),
        (200, 200),
        (FQ_HORIZON_NS, FQ_HORIZON_NS),
    ] {
        let skb = Skb {
            tstamp: NOW_NS + existing_ns,
            ..Skb::default()
        };
        let ran = send(&kernel, 50, &frame(), skb);
        assert_eq!(
            (ran.action, ran.skb.tstamp),
            (PASS, NOW_NS + expected_ns),
            "{existing_ns}"
        );
        assert_eq!(
            kernel.bucket(3).last_departure_ticks,
            ticks(NOW_NS + 150),
            "{existing_ns}"
        );
    }
    assert_eq!(kernel.total(Outcome::Restamped), 0);
}

#[test]
fn a_stamp_that_fq_would_drop_is_replaced() {
    let kernel = kernel();
    for existing_ns in [WALL_NS, NOW_NS + FQ_HORIZON_NS + 1] {
        let skb = Skb {
            tstamp: existing_ns,
            ..Skb::default()
        };
        assert_eq!(send(&kernel, 50, &frame(), skb).skb.tstamp, NOW_NS + 50);
        assert_eq!(send(&kernel, 0, &frame(), skb).skb.tstamp, NOW_NS);
    }
    assert_eq!(kernel.total(Outcome::Restamped), 4);
}

#[test]
fn a_packet_that_need_not_wait_keeps_its_plausible_stamp() {
    let kernel = kernel();
    for existing_ns in [1, NOW_NS - 1, NOW_NS, NOW_NS + 7] {
        let skb = Skb {
            tstamp: existing_ns,
            ..Skb::default()
        };
        assert_eq!(send(&kernel, 0, &frame(), skb).skb.tstamp, existing_ns);
    }
}

#[test]
fn a_paced_packet_loses_the_priority_that_lets_it_skip_the_queue() {
    let kernel = kernel();
    for (priority, expected) in [(7, 6), (23, 22), (6, 6), (8, 8), (0, 0), (0x1_0007, 0x1_0006)] {
        let skb = Skb {
            priority,
            ..Skb::default()
        };
        assert_eq!(send(&kernel, 1, &frame(), skb).skb.priority, expected);
        assert_eq!(
            send(&kernel, 0, &frame(), skb).skb.priority,
            priority,
            "within the rate"
        );
    }
}

#[test]
fn a_bucket_that_does_not_exist_limits_nothing() {
    let mut kernel = kernel();
    for bucket in [CHUNK_BUCKETS, u32::MAX] {
        let rule = Rule { bucket, ..RULE };
        kernel.install(&Policy {
            any: Some(rule),
            ..Policy::default()
        });
        assert_eq!(kernel.run(&frame(), Skb::default()).action, PASS);
    }
    assert_eq!(kernel.total(Outcome::NoBucket), 2);
}

#[test]
fn the_last_bucket_of_a_chunk_is_charged_like_the_first() {
    let mut kernel = kernel();
    for bucket in [0, CHUNK_BUCKETS - 1] {
        kernel.install(&Policy {
            any: Some(Rule { bucket, ..RULE }),
            ..Policy::default()
        });
        let _ = kernel.run(&frame(), Skb::default());
        assert_eq!(kernel.bucket(bucket).sent_packets, 1);
    }
}

#[test]
fn the_kernels_own_clock_is_monotonic_time() {
    let mut kernel = Kernel::load(Settings {
        fake_clock: false,
        ..Settings::default()
    });
    kernel.install(&Policy {
        any: Some(RULE),
        ..Policy::default()
    });
    let before_ns = monotonic_ns();
    let _ = kernel.run(&frame(), Skb::default());
    let charged_ns = kernel.bucket(3).last_departure_ticks / 64;
    assert!((before_ns - 1_400..=monotonic_ns() - 1_400).contains(&charged_ns));
}

fn monotonic_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes the struct it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    u64::try_from(time.tv_sec).unwrap() * NSEC_PER_SEC + u64::try_from(time.tv_nsec).unwrap()
}
