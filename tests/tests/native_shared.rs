//! Packets of a socket that serves several clients: few of one bucket may wait. Every packet of a test run is one.

use std::net::IpAddr;

use shaper_common::{
    NSEC_PER_SEC,
    bucket::Bucket,
    outcome::Outcome,
    pacing::{Limit, ticks},
    rule::{Group, Rule},
};
use shaper_tests::{
    kernel::{DROP, Kernel, PASS, Settings, Skb},
    model::Policy,
    packet,
};

const NOW_NS: u64 = 1_000 * NSEC_PER_SEC;

/// One byte per nanosecond: lengths and times read alike.
const RULE: Rule = Rule::limited(Limit::new(NSEC_PER_SEC, 0, 100_000, None), 3);

/// The group's bucket.
const GROUP_BUCKET: u32 = 5;

/// A frame of 100 bytes to the destination that is limited.
fn frame() -> Vec<u8> {
    let destination: IpAddr = "192.0.2.7".parse().unwrap();
    packet::udp_to(destination, 58)
}

fn kernel(shared_packets: u32, group: Option<Group>) -> Kernel {
    let mut kernel = Kernel::load(Settings::default());
    let rule = Rule {
        shared_packets,
        group: group.iter().len().try_into().unwrap(),
        ..RULE
    };
    kernel.install(&Policy {
        exact4: vec![("192.0.2.7".parse().unwrap(), rule)],
        groups: group.into_iter().collect(),
        ..Policy::default()
    });
    kernel.set_clock(NOW_NS);
    kernel
}

#[test]
fn four_wait_at_a_time_and_a_fifth_is_dropped_and_charges_nothing() {
    let kernel = kernel(4, None);
    let start = ticks(NOW_NS + 8_000);
    kernel.set_last_departure(3, start);
    let actions = [0; 6].map(|_| kernel.run(&frame(), Skb::default()).action);
    assert_eq!(actions, [PASS, PASS, PASS, PASS, DROP, DROP]);
    let bucket = kernel.bucket(3);
    assert_eq!(bucket.last_departure_ticks, start + ticks(400));
    assert_eq!((bucket.paced_packets, bucket.dropped_packets), (4, 2));
    assert_eq!(kernel.total(Outcome::SharedFull), 2);
    assert_eq!(kernel.total(Outcome::BeyondHorizon), 0);
    // When the first has left, another may.
    kernel.set_clock(NOW_NS + 8_001);
    assert_eq!(kernel.run(&frame(), Skb::default()).action, PASS);
}

#[test]
fn what_need_not_wait_is_sent_however_many_wait_elsewhere() {
    let kernel = kernel(1, None);
    kernel.set_last_departure(3, ticks(NOW_NS + 8_000));
    assert_eq!(kernel.run(&frame(), Skb::default()).action, PASS);
    assert_eq!(kernel.run(&frame(), Skb::default()).action, DROP);
    kernel.set_last_departure(3, ticks(NOW_NS));
    assert_eq!(kernel.run(&frame(), Skb::default()).action, PASS);
    assert_eq!(kernel.total(Outcome::Conforming), 1);
}

#[test]
fn a_flood_gets_its_rate() {
    const N_OFFERED: u64 = 4_000;
    let kernel = kernel(4, None);
    let mut now_ns = NOW_NS;
    for _ in 0..N_OFFERED {
        now_ns += 25;
        kernel.set_clock(now_ns);
        let _ = kernel.run(&frame(), Skb::default());
    }
    let bucket = kernel.bucket(3);
    assert!(
        (N_OFFERED / 4..=N_OFFERED / 4 + 8).contains(&bucket.sent_packets),
        "{bucket:?}"
    );
    assert_eq!(bucket.sent_packets + bucket.dropped_packets, N_OFFERED);
    assert!(
        bucket.last_departure_ticks - ticks(now_ns) < ticks(800),
        "the queue is long"
    );
}

#[test]
fn a_group_makes_its_members_packets_wait_as_few_at_a_time() {
    let group = Group {
        limit: RULE.limit,
        bucket: GROUP_BUCKET,
        zero: 0,
    };
    let kernel = kernel(2, Some(group));
    let start = ticks(NOW_NS + 8_000);
    kernel.set_last_departure(GROUP_BUCKET, start);
    let actions = [0; 3].map(|_| kernel.run(&frame(), Skb::default()).action);
    assert_eq!(actions, [PASS, PASS, DROP]);
    let [own, group] = [3, GROUP_BUCKET].map(|number| kernel.bucket(number));
    assert_eq!(
        own.last_departure_ticks,
        ticks(NOW_NS + 200),
        "both are charged or neither"
    );
    assert_eq!(group.last_departure_ticks, start + ticks(200));
    assert_eq!([own.dropped_packets, group.dropped_packets], [1, 1]);
}

#[test]
fn without_such_a_limit_the_horizon_is_the_only_one() {
    let kernel = kernel(0, None);
    kernel.set_last_departure(3, ticks(NOW_NS + 8_000));
    for _ in 0..100 {
        assert_eq!(kernel.run(&frame(), Skb::default()).action, PASS);
    }
    let bucket = kernel.bucket(3);
    assert_eq!(
        bucket,
        Bucket {
            shared_ticks: 0,
            ..bucket
        }
    );
}
