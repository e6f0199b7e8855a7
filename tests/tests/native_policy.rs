//! From a destination to its rule, through the slot in force.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use shaper_common::{
    NSEC_PER_SEC,
    outcome::Outcome,
    pacing::Limit,
    rule::{Rule, feature, kind},
};
use shaper_tests::{
    kernel::{Kernel, PASS, Settings, Skb},
    model::Policy,
    packet,
};

const EXEMPT: Rule = Rule {
    kind: kind::EXEMPT,
    ..Rule::limited(LIMIT, 99)
};
const LIMIT: Limit = Limit::new(NSEC_PER_SEC, 0, NSEC_PER_SEC, None);

fn rule(bucket: u32) -> Rule {
    Rule::limited(LIMIT, bucket)
}

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn kernel(policy: &Policy) -> Kernel {
    let mut kernel = Kernel::load(Settings::default());
    kernel.set_clock(NSEC_PER_SEC);
    kernel.install(policy);
    kernel
}

/// The bucket that a packet to `destination` is charged to, or why it is charged to none.
fn charged(kernel: &Kernel, destination: &str) -> Result<u32, Outcome> {
    let before = kernel.totals();
    let sent = |kernel: &Kernel| {
        (0..100)
            .map(|bucket| kernel.bucket(bucket).sent_packets)
            .collect::<Vec<_>>()
    };
    let sent_before = sent(kernel);
    let destination: IpAddr = destination.parse().unwrap();
    assert_eq!(
        kernel.run(&packet::udp_to(destination, 0), Skb::default()).action,
        PASS
    );
    let sent_after = sent(kernel);
    if let Some(bucket) = (0..100).find(|bucket| sent_after[*bucket] != sent_before[*bucket]) {
        return Ok(u32::try_from(bucket).unwrap());
    }
    let after = kernel.totals();
    let outcome = Outcome::ALL
        .iter()
        .find(|outcome| after[**outcome as usize] != before[**outcome as usize]);
    Err(*outcome.unwrap())
}

#[test]
fn without_a_policy_nothing_is_limited() {
    let kernel = Kernel::load(Settings::default());
    for destination in ["192.0.2.7", "2001:db8::7", "224.0.0.1", "ff02::1"] {
        assert_eq!(charged(&kernel, destination), Err(Outcome::Unlimited));
    }
}

#[test]
fn an_exact_rule_covers_one_destination_and_no_other() {
    let kernel = kernel(&Policy {
        exact4: vec![(v4("192.0.2.7"), rule(4))],
        exact6: vec![(v6("2001:db8::7"), rule(6))],
        ..Policy::default()
    });
    assert_eq!(charged(&kernel, "192.0.2.7"), Ok(4));
    assert_eq!(charged(&kernel, "2001:db8::7"), Ok(6));
    for other in [
        "192.0.2.6",
        "192.0.3.7",
        "7.2.0.192",
        "2001:db8::6",
        "2001:db8:1::7",
        "2001:db9::7",
    ] {
        assert_eq!(charged(&kernel, other), Err(Outcome::Unlimited));
    }
}

#[test]
fn the_longest_prefix_counts_and_an_exact_rule_beats_it() {
    let kernel = kernel(&Policy {
        exact4: vec![(v4("10.1.2.3"), rule(1))],
        exact6: vec![(v6("2001:db8::1"), rule(5))],
        prefix4: vec![
            (v4("10.1.2.0"), 24, rule(2)),
            (v4("10.0.0.0"), 8, rule(3)),
            (v4("0.0.0.0"), 0, rule(4)),
        ],
        prefix6: vec![
            (v6("2001:db8::"), 64, rule(6)),
            (v6("2001:db8::"), 32, rule(7)),
            (v6("2001:db8:0:0:8000::"), 65, rule(9)),
            (v6("::"), 0, rule(8)),
        ],
        any: Some(rule(10)),
        ..Policy::default()
    });
    let expected = [
        ("10.1.2.3", 1),
        ("10.1.2.4", 2),
        ("10.1.3.3", 3),
        ("11.1.2.3", 4),
        ("2001:db8::1", 5),
        ("2001:db8::2", 6),
        ("2001:db8:0:0:8000::1", 9),
        ("2001:db8:0:1::", 7),
        ("2001:db9::", 8),
    ];
    for (destination, bucket) in expected {
        assert_eq!(charged(&kernel, destination), Ok(bucket), "{destination}");
    }
}

#[test]
fn prefixes_of_one_family_leave_the_other_to_the_rule_for_all_the_rest() {
    let kernel = kernel(&Policy {
        prefix4: vec![(v4("10.0.0.0"), 8, rule(1))],
        any: Some(rule(2)),
        ..Policy::default()
    });
    assert_eq!(charged(&kernel, "10.0.0.1"), Ok(1));
    assert_eq!(charged(&kernel, "11.0.0.1"), Ok(2));
    assert_eq!(charged(&kernel, "2001:db8::1"), Ok(2));
}

#[test]
fn an_exempt_destination_prefix_or_rest_passes() {
    let mut kernel = kernel(&Policy {
        exact4: vec![(v4("10.1.2.3"), EXEMPT), (v4("10.9.9.9"), rule(1))],
        exact6: vec![(v6("2001:db8::1"), EXEMPT)],
        prefix4: vec![(v4("10.0.0.0"), 8, EXEMPT)],
        prefix6: vec![(v6("2001:db9::"), 32, EXEMPT)],
        any: Some(rule(2)),
        ..Policy::default()
    });
    for destination in ["10.1.2.3", "10.2.2.2", "2001:db8::1", "2001:db9::1"] {
        assert_eq!(
            charged(&kernel, destination),
            Err(Outcome::Exempt),
            "{destination}"
        );
    }
    assert_eq!(charged(&kernel, "10.9.9.9"), Ok(1));
    assert_eq!(charged(&kernel, "11.0.0.1"), Ok(2));
    kernel.install(&Policy {
        any: Some(EXEMPT),
        ..Policy::default()
    });
    assert_eq!(charged(&kernel, "11.0.0.1"), Err(Outcome::Exempt));
}

#[test]
fn multicast_broadcast_link_local_and_loopback_are_limited_by_no_prefix_and_no_rest() {
    let kernel = kernel(&Policy {
        exact4: vec![(v4("224.0.0.9"), rule(1))],
        prefix4: vec![(v4("0.0.0.0"), 0, rule(2))],
        prefix6: vec![(v6("::"), 0, rule(3))],
        any: Some(rule(4)),
        ..Policy::default()
    });
    for destination in [
        "224.0.0.1",
        "239.1.2.3",
        "240.0.0.1",
        "255.255.255.255",
        "127.0.0.1",
        "169.254.1.1",
        "0.0.0.0",
        "ff02::1",
        "ff02::1:ff00:7",
        "fe80::1",
        "febf::1",
        "::1",
        "::",
    ] {
        assert_eq!(
            charged(&kernel, destination),
            Err(Outcome::NeverLimited),
            "{destination}"
        );
    }
    for (destination, bucket) in [
        ("223.255.255.255", 2),
        ("169.253.1.1", 2),
        ("fec0::1", 3),
        ("::2", 3),
    ] {
        assert_eq!(charged(&kernel, destination), Ok(bucket), "{destination}");
    }
    // Whoever names one address means it.
    assert_eq!(charged(&kernel, "224.0.0.9"), Ok(1));
}

#[test]
fn the_filter_is_believed_when_the_policy_says_that_it_is_complete() {
    let policy = Policy {
        exact4: vec![(v4("10.0.0.1"), rule(1))],
        exact6: vec![(v6("2001:db8::1"), rule(2))],
        prefix4: vec![(v4("10.0.0.0"), 8, rule(3))],
        ..Policy::default()
    };
    let mut kernel = kernel(&policy);
    kernel.clear_filter(0);
    // A clear bit proves that there is no exact rule, and says nothing of prefixes.
    assert_eq!(charged(&kernel, "10.0.0.1"), Ok(3));
    assert_eq!(charged(&kernel, "2001:db8::1"), Err(Outcome::Unlimited));
    kernel.put_in_force(0, policy.features() & !feature::FILTER);
    assert_eq!(charged(&kernel, "10.0.0.1"), Ok(1));
    assert_eq!(charged(&kernel, "2001:db8::1"), Ok(2));
}

#[test]
fn one_write_puts_another_policy_in_force_and_keeps_every_bucket() {
    let first = Policy {
        exact4: vec![(v4("10.0.0.1"), rule(1))],
        prefix6: vec![(v6("2001:db8::"), 32, rule(3))],
        ..Policy::default()
    };
    let mut kernel = kernel(&first);
    assert_eq!(charged(&kernel, "10.0.0.1"), Ok(1));
    let charged_before = kernel.bucket(1);

    kernel.fill(
        1,
        &Policy {
            exact4: vec![(v4("10.0.0.1"), rule(2))],
            any: Some(rule(4)),
            ..Policy::default()
        },
    );
    assert_eq!(
        charged(&kernel, "10.0.0.2"),
        Err(Outcome::Unlimited),
        "the idle slot is not in force"
    );
    kernel.activate(1);
    assert_eq!(charged(&kernel, "10.0.0.1"), Ok(2));
    assert_eq!(charged(&kernel, "10.0.0.2"), Ok(4));
    assert_eq!(charged(&kernel, "2001:db8::1"), Ok(4));
    assert_eq!(kernel.bucket(1), charged_before);

    kernel.activate(0);
    assert_eq!(charged(&kernel, "10.0.0.1"), Ok(1));
    assert_eq!(charged(&kernel, "2001:db8::1"), Ok(3));
}
