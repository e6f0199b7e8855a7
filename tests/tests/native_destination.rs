//! Finding the destination in whatever stands on the wire.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use shaper_common::{NSEC_PER_SEC, names::NO_LINK_HEADER, outcome::Outcome, pacing::Limit, rule::Rule};
use shaper_tests::{
    kernel::{Kernel, PASS, Settings, Skb},
    model::Policy,
    packet,
};

const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, 7);
const VLAN: u16 = 0x8100;
const QINQ: u16 = 0x88a8;

/// A kernel in which nothing but [`V4`] and [`V6`] is limited.
fn kernel(link_header_len: u32) -> Kernel {
    let mut kernel = Kernel::load(Settings {
        link_header_len,
        ..Settings::default()
    });
    let limit = Limit::new(NSEC_PER_SEC, 0, NSEC_PER_SEC, None);
    let rule = |bucket| Rule::limited(limit, bucket);
    kernel.install(&Policy {
        exact4: vec![(V4, rule(4))],
        exact6: vec![(V6, rule(6))],
        ..Policy::default()
    });
    kernel.set_clock(NSEC_PER_SEC);
    kernel
}

/// Which outcome a frame has.
fn outcome(kernel: &Kernel, frame: &[u8]) -> Outcome {
    let before = kernel.totals();
    assert_eq!(kernel.run(frame, Skb::default()).action, PASS);
    let after = kernel.totals();
    *Outcome::ALL
        .iter()
        .find(|outcome| after[**outcome as usize] != before[**outcome as usize])
        .unwrap()
}

fn assert_found(kernel: &Kernel, frame: &[u8], bucket: u32) {
    let before = kernel.bucket(bucket).sent_packets;
    assert_eq!(kernel.run(frame, Skb::default()).action, PASS);
    assert_eq!(kernel.bucket(bucket).sent_packets, before + 1, "{frame:02x?}");
}

#[test]
fn behind_an_ethernet_header() {
    let kernel = kernel(14);
    assert_found(&kernel, &packet::udp_to(IpAddr::V4(V4), 0), 4);
    assert_found(&kernel, &packet::udp_to(IpAddr::V6(V6), 0), 6);
}

#[test]
fn by_the_network_header_where_the_link_has_none() {
    let kernel = kernel(NO_LINK_HEADER);
    assert_found(&kernel, &packet::udp_to(IpAddr::V4(V4), 0), 4);
    assert_found(&kernel, &packet::udp_to(IpAddr::V6(V6), 0), 6);
}

#[test]
fn by_the_network_header_where_the_link_header_has_another_length() {
    let kernel = kernel(20);
    assert_found(&kernel, &packet::udp_to(IpAddr::V4(V4), 26), 4);
    assert_found(&kernel, &packet::udp_to(IpAddr::V6(V6), 26), 6);
}

#[test]
fn behind_one_tag_and_behind_two_whatever_is_in_them() {
    let kernel = kernel(14);
    // Control information whose first byte looks like IP version 0, 4, 6 and 15.
    for control in [5, 0x4005, 0x6005, 0xf005] {
        for (destination, bucket) in [(IpAddr::V4(V4), 4), (IpAddr::V6(V6), 6)] {
            let plain = packet::udp_to(destination, 0);
            let single = packet::tagged(VLAN, control, &plain);
            assert_found(&kernel, &single, bucket);
            assert_found(&kernel, &packet::tagged(QINQ, control, &plain), bucket);
            assert_found(&kernel, &packet::tagged(QINQ, control, &single), bucket);
            assert_found(&kernel, &packet::tagged(VLAN, control, &single), bucket);
        }
    }
}

#[test]
fn behind_three_tags_nobody_looks() {
    let kernel = kernel(14);
    let mut frame = packet::udp_to(IpAddr::V4(V4), 0);
    for _ in 0..3 {
        frame = packet::tagged(VLAN, 5, &frame);
    }
    assert_eq!(outcome(&kernel, &frame), Outcome::Unparsable);
}

#[test]
fn a_tag_without_a_link_header_cannot_be_parsed() {
    let frame = packet::tagged(VLAN, 5, &packet::udp_to(IpAddr::V4(V4), 0));
    assert_eq!(outcome(&kernel(NO_LINK_HEADER), &frame), Outcome::Unparsable);
}

#[test]
fn a_header_that_is_cut_short_is_counted_and_passed() {
    let kernel = kernel(14);
    // An address that is there is found: what follows it does not matter, nor where the frame ends after it.
    for (destination, bucket, needed) in [(IpAddr::V4(V4), 4, 18 + 20), (IpAddr::V6(V6), 6, 18 + 40)] {
        let frame = packet::tagged(VLAN, 5, &packet::udp_to(destination, 0));
        assert_found(&kernel, &frame[..needed], bucket);
        for len in [14, 16, 17, 18, 19, 20, 30, needed - 1] {
            assert_eq!(
                outcome(&kernel, &frame[..len]),
                Outcome::Unparsable,
                "{destination}, {len} bytes"
            );
        }
    }
}

#[test]
fn a_protocol_that_the_header_denies_cannot_be_parsed() {
    let kernel = kernel(14);
    let v4 = packet::ipv4(V4, 17, 0, &[0; 40]);
    let v6 = packet::ipv6(V6, 17, 0, &[0; 40]);
    for (ether_type, payload) in [
        (0x0800, &v6),
        (0x86dd, &v4),
        (0x0800, &vec![0; 60]),
        (0x86dd, &vec![0xff; 60]),
    ] {
        assert_eq!(
            outcome(&kernel, &packet::ethernet(ether_type, payload)),
            Outcome::Unparsable
        );
        let tagged = packet::tagged(VLAN, 5, &packet::ethernet(ether_type, payload));
        assert_eq!(outcome(&kernel, &tagged), Outcome::Unparsable);
    }
}

#[test]
fn whatever_is_not_ip_passes() {
    let kernel = kernel(14);
    // ARP, LLDP, 802.1X, PPPoE, MPLS.
    for ether_type in [0x0806, 0x88cc, 0x888e, 0x8864, 0x8847] {
        let frame = packet::ethernet(ether_type, &packet::ipv4(V4, 17, 0, &[0; 40]));
        assert_eq!(outcome(&kernel, &frame), Outcome::NotIp);
        assert_eq!(outcome(&kernel, &packet::tagged(VLAN, 5, &frame)), Outcome::NotIp);
    }
}

#[test]
fn extension_headers_options_and_fragments_carry_the_destination_too() {
    let kernel = kernel(14);
    let hop_by_hop = packet::ipv6(V6, 0, 0, &[17, 0, 1, 4, 0, 0, 0, 0, 0, 9, 0, 9, 0, 8, 0, 0]);
    assert_found(&kernel, &packet::ethernet(0x86dd, &hop_by_hop), 6);
    let fragment = packet::ipv6(V6, 44, 0, &[17, 0, 0x10, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    assert_found(&kernel, &packet::ethernet(0x86dd, &fragment), 6);

    let mut options = packet::ipv4(V4, 17, 0, &[1; 48]);
    options[0] = 0x4a;
    assert_found(&kernel, &packet::ethernet(0x0800, &options), 4);
    let mut later_fragment = packet::ipv4(V4, 17, 0, &[0; 48]);
    later_fragment[7] = 8;
    assert_found(&kernel, &packet::ethernet(0x0800, &later_fragment), 4);
}

#[test]
fn lengths_in_the_header_are_not_believed() {
    let kernel = kernel(14);
    let mut frame = packet::udp_to(IpAddr::V4(V4), 58);
    frame[16..18].copy_from_slice(&[0, 0]);
    assert_found(&kernel, &frame, 4);
    assert_eq!(kernel.bucket(4).sent_bytes, 100);
}

#[test]
fn what_keeps_the_link_alive_is_never_limited() {
    let kernel = kernel(14);
    for address in [IpAddr::V4(V4), IpAddr::V6(V6)] {
        assert_eq!(
            outcome(&kernel, &packet::link_control(address, 0)),
            Outcome::NeverLimited
        );
        assert_ne!(
            outcome(&kernel, &packet::udp_to(address, 20)),
            Outcome::NeverLimited
        );
    }
    // Wherever its header stands.
    let without_link_header = self::kernel(NO_LINK_HEADER);
    for address in [IpAddr::V4(V4), IpAddr::V6(V6)] {
        for (frame, is_control) in [
            (packet::link_control(address, 0), true),
            (packet::udp_to(address, 20), false),
        ] {
            let once = packet::tagged(VLAN, 0x6005, &frame);
            let twice = packet::tagged(QINQ, 5, &once);
            for (kernel, frame) in [
                (&kernel, &once),
                (&kernel, &twice),
                (&without_link_header, &frame),
            ] {
                let is_unlimited = outcome(kernel, frame) == Outcome::NeverLimited;
                assert_eq!(is_unlimited, is_control, "{frame:02x?}");
            }
        }
    }
    for n_words in [1, 10] {
        let dhcp = packet::with_options(&packet::link_control(IpAddr::V4(V4), 0), n_words);
        assert_eq!(outcome(&kernel, &dhcp), Outcome::NeverLimited, "{n_words}");
        let other = packet::with_options(&packet::udp_to(IpAddr::V4(V4), 20), n_words);
        assert_found(&kernel, &other, 4);
    }
    // A neighbour's answer that was routed is none.
    let mut routed = packet::link_control(IpAddr::V6(V6), 0);
    routed[14 + 7] = 254;
    assert_ne!(outcome(&kernel, &routed), Outcome::NeverLimited);
}
