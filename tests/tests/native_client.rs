//! A bucket for each client, and what happens when there are too many.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use shaper_common::{
    NSEC_PER_SEC,
    bucket::Bucket,
    client,
    outcome::Outcome,
    pacing::{Limit, ticks},
    rule::Rule,
};
use shaper_tests::{
    kernel::{DROP, Kernel, PASS, Settings, Skb},
    model::Policy,
    object, packet,
};

const NOW_NS: u64 = 1_000 * NSEC_PER_SEC;
/// The bucket of clients for whom there is no room.
const SHARED: u32 = 4;

/// A byte per nanosecond for each IPv4 address and each IPv6 /64.
const RULE: Rule = Rule {
    client_len4: 32,
    client_len6: 64,
    ..Rule::limited(Limit::new(NSEC_PER_SEC, 1_000, 10_000, None), SHARED)
};

fn kernel(rule: Rule, max_clients: u32) -> Kernel {
    let mut kernel = Kernel::load(Settings::default());
    kernel.install(&Policy {
        any: Some(rule),
        ..Policy::default()
    });
    kernel.replace_clients(max_clients);
    kernel.set_clock(NOW_NS);
    kernel
}

/// Sends 100 bytes.
fn send(kernel: &Kernel, to: IpAddr) -> (i32, u64) {
    let payload_len = if to.is_ipv4() { 58 } else { 38 };
    let ran = kernel.run(&packet::udp_to(to, payload_len), Skb::default());
    (ran.action, ran.skb.tstamp)
}

fn v4(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n))
}

fn v6(network: u16, host: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host))
}

/// The bucket of a client.
fn bucket_of(kernel: &Kernel, to: IpAddr) -> Bucket {
    let key = match to {
        IpAddr::V4(address) => client::key4(&RULE, u32::from_ne_bytes(address.octets())),
        IpAddr::V6(address) => client::key6(&RULE, shaper_common::header::words(address.octets())),
    };
    kernel.clients()[&key.unwrap()]
}

#[test]
fn each_client_has_a_bucket_of_his_own_and_the_rules_stays_untouched() {
    let kernel = kernel(RULE, 100);
    // Ten packets are the burst, the eleventh leaves at once too, and the next ones wait.
    for to in [v4(1), v4(2), v6(1, 1)] {
        for _ in 0..11 {
            assert_eq!(send(&kernel, to), (PASS, 0));
        }
        assert_eq!(send(&kernel, to), (PASS, NOW_NS + 100));
    }
    assert_eq!(kernel.clients().len(), 3);
    assert_eq!(kernel.bucket(SHARED), Bucket::default());
    assert_eq!(kernel.total(Outcome::ClientsFull), 0);
}

#[test]
fn a_bucket_just_made_is_like_one_that_was_idle() {
    let kernel = kernel(RULE, 100);
    assert_eq!(send(&kernel, v4(1)), (PASS, 0));
    let expected = Bucket {
        last_departure_ticks: ticks(NOW_NS - 1_000 + 100),
        sent_packets: 1,
        sent_bytes: 100,
        ..Bucket::default()
    };
    assert_eq!(bucket_of(&kernel, v4(1)), expected);
}

#[test]
fn hosts_of_one_network_are_one_client() {
    let kernel = kernel(RULE, 100);
    for host in 1..=5 {
        assert_eq!(send(&kernel, v6(1, host)), (PASS, 0));
    }
    assert_eq!(send(&kernel, v6(2, 1)), (PASS, 0));
    assert_eq!(kernel.clients().len(), 2);
    assert_eq!(bucket_of(&kernel, v6(1, 77)).sent_packets, 5);
}

#[test]
fn families_without_a_length_share_the_rules_bucket() {
    let rule = Rule {
        client_len6: 0,
        ..RULE
    };
    let kernel = kernel(rule, 100);
    let _ = (send(&kernel, v4(1)), send(&kernel, v6(1, 1)));
    assert_eq!(kernel.clients().len(), 1);
    assert_eq!(kernel.bucket(SHARED).sent_packets, 1);
    assert_eq!(kernel.total(Outcome::ClientsFull), 0);
}

#[test]
fn two_rules_have_different_clients_at_one_address() {
    let mut kernel = kernel(RULE, 100);
    let _ = send(&kernel, v4(1));
    kernel.install(&Policy {
        any: Some(Rule { bucket: 5, ..RULE }),
        ..Policy::default()
    });
    let _ = send(&kernel, v4(1));
    assert_eq!(kernel.clients().len(), 2);
}

#[test]
fn a_drop_is_counted_in_the_clients_bucket_and_charges_nothing() {
    let kernel = kernel(RULE, 100);
    let n_sent = 11 + 100;
    for _ in 0..n_sent {
        assert_eq!(send(&kernel, v4(1)).0, PASS);
    }
    let before = bucket_of(&kernel, v4(1));
    assert_eq!(send(&kernel, v4(1)), (DROP, 0));
    let expected = Bucket {
        dropped_packets: 1,
        ..before
    };
    assert_eq!(bucket_of(&kernel, v4(1)), expected);
}

#[test]
fn clients_for_whom_there_is_no_room_share_the_rules_bucket_and_are_counted() {
    let kernel = kernel(RULE, 2);
    for n in 1..=4 {
        assert_eq!(send(&kernel, v4(n)), (PASS, 0));
    }
    assert_eq!(kernel.clients().len(), 2);
    assert_eq!(kernel.bucket(SHARED).sent_packets, 2);
    assert_eq!(kernel.total(Outcome::ClientsFull), 2);
    // Those who have one keep it.
    assert_eq!(send(&kernel, v4(1)), (PASS, 0));
    assert_eq!(bucket_of(&kernel, v4(1)).sent_packets, 2);
}

#[test]
fn without_a_map_of_clients_all_share_the_rules_bucket() {
    let mut kernel = Kernel::load(Settings::default());
    kernel.install(&Policy {
        any: Some(RULE),
        ..Policy::default()
    });
    kernel.set_clock(NOW_NS);
    assert_eq!(send(&kernel, v4(1)), (PASS, 0));
    assert_eq!(kernel.bucket(SHARED).sent_packets, 1);
    assert_eq!(kernel.total(Outcome::ClientsFull), 1);
}

/// Whoever sends to ten times as many addresses as there is room for neither raises the rate of a client who is
/// limited already, nor gets more than one rate for all he could find no room for.
#[test]
fn a_sprayed_range_raises_no_limited_clients_rate() {
    let max_clients = if object::in_lab() { 100 } else { 1_000 };
    let kernel = kernel(RULE, max_clients);
    let victim = v6(7, 7);
    let (mut n_victim, mut n_sprayed) = (0, 0);
    let start_ns = NOW_NS;
    let mut now_ns = start_ns;
    for n in 0..10 * max_clients {
        // Every client is offered twice what he may send: 200 bytes in 100 ns.
        now_ns += 100;
        kernel.set_clock(now_ns);
        for _ in 0..2 {
            n_victim += u64::from(send(&kernel, victim).0 == PASS);
        }
        n_sprayed += u64::from(send(&kernel, v4(n)).0 == PASS);
    }
    let elapsed_ns = now_ns - start_ns;
    // Burst and horizon are what may be under way beyond the rate; one packet is admitted whatever its size.
    let allowed = (elapsed_ns + 1_000 + 10_000) / 100 + 1;
    assert!(n_victim <= allowed, "{n_victim} of {allowed}");
    assert!(n_victim + 2 >= allowed, "{n_victim} of {allowed}");
    assert_eq!(kernel.clients().len(), max_clients as usize);
    let shared = kernel.bucket(SHARED);
    assert_eq!(
        kernel.total(Outcome::ClientsFull),
        shared.sent_packets + shared.dropped_packets
    );
    assert!(shared.sent_packets <= allowed);
    assert_eq!(n_sprayed, u64::from(max_clients) - 1 + shared.sent_packets);
}
