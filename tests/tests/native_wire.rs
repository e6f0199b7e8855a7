//! Bytes on the wire: what a packet is charged.

use std::net::{Ipv4Addr, Ipv6Addr};

use shaper_common::{NSEC_PER_SEC, pacing::Limit, rule::Rule};
use shaper_tests::{
    kernel::{Kernel, PASS, Settings, Skb},
    model::Policy,
    packet::{self, ethernet, ipv4, ipv6, tcp, udp},
};

const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
const INNER4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const INNER6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
/// `EtherType` of an Ethernet frame inside a tunnel.
const TEB: u16 = 0x6558;

fn kernel(overhead: u32) -> Kernel {
    let mut kernel = Kernel::load(Settings {
        overhead,
        ..Settings::default()
    });
    let limit = Limit::new(NSEC_PER_SEC, 0, NSEC_PER_SEC, None);
    kernel.install(&Policy {
        any: Some(Rule::limited(limit, 0)),
        ..Policy::default()
    });
    kernel.set_clock(NSEC_PER_SEC);
    kernel
}

/// Bytes that a packet is charged.
fn charged(kernel: &Kernel, frame: &[u8], skb: Skb) -> u64 {
    let before = kernel.bucket(0);
    assert_eq!(kernel.run(frame, skb).action, PASS);
    let after = kernel.bucket(0);
    let slot_bytes = after.last_departure_ticks - before.last_departure_ticks.max(64 * NSEC_PER_SEC);
    assert_eq!(
        slot_bytes,
        64 * (after.sent_bytes - before.sent_bytes),
        "counted what was charged"
    );
    after.sent_bytes - before.sent_bytes
}

/// What the kernel says of `frame` if it is to be segmented, payload from `header_len` on, with `counted_header_len`
/// bytes of headers counted for each segment but the first.
fn segmented(frame: &[u8], header_len: usize, gso_size: u32, counted_header_len: u32) -> (Skb, u64) {
    let payload_len = u32::try_from(frame.len() - header_len).unwrap();
    let gso_segs = payload_len.div_ceil(gso_size);
    let len = u32::try_from(frame.len()).unwrap();
    let wire_len = len + (gso_segs - 1) * counted_header_len;
    let truth = u64::from(len) + u64::from(gso_segs - 1) * header_len as u64;
    (
        Skb {
            wire_len,
            gso_segs,
            gso_size,
            ..Skb::default()
        },
        truth,
    )
}

#[test]
fn a_frame_is_charged_its_length() {
    let kernel = kernel(0);
    for len in [42, 60, 1514] {
        assert_eq!(
            charged(&kernel, &packet::udp_to(V4.into(), len - 42), Skb::default()),
            len as u64
        );
    }
}

#[test]
fn a_packet_to_be_segmented_is_charged_every_segments_headers() {
    let kernel = kernel(0);
    let tcp_frame = ethernet(0x0800, &ipv4(V4, 6, 0, &tcp(3, &[0; 3000])));
    let udp_frame = ethernet(0x86dd, &ipv6(V6, 17, 0, &udp(443, &[0; 3000])));
    for (frame, header_len) in [(tcp_frame, 66), (udp_frame, 62)] {
        let counted = u32::try_from(header_len).unwrap();
        let (skb, truth) = segmented(&frame, header_len, 1000, counted);
        assert_eq!(charged(&kernel, &frame, skb), truth);
    }
}

#[test]
fn overhead_is_charged_once_per_segment() {
    let kernel = kernel(24);
    let frame = packet::udp_to(V4.into(), 3000);
    assert_eq!(charged(&kernel, &frame, Skb::default()), 3042 + 24);
    let (skb, truth) = segmented(&frame, 42, 1000, 42);
    assert_eq!(charged(&kernel, &frame, skb), truth + 3 * 24);
    // A virtual machine does not say how many: 3042 bytes by 1000 make four.
    assert_eq!(
        charged(&kernel, &frame, Skb { gso_segs: 0, ..skb }),
        truth + 4 * 24
    );
    // More segments than one, and no size: nothing is known.
    assert_eq!(
        charged(
            &kernel,
            &frame,
            Skb {
                gso_segs: 0,
                gso_size: 0,
                ..skb
            }
        ),
        truth + 24
    );
}

#[test]
fn the_longest_wire_length_the_kernel_tells_is_charged_in_full() {
    let kernel = kernel(0);
    let frame = packet::udp_to(V4.into(), 1000);
    let skb = Skb {
        wire_len: 65_536,
        ..Skb::default()
    };
    assert_eq!(charged(&kernel, &frame, skb), 65_536);
}

#[test]
fn in_a_tunnel_inner_headers_count_whatever_the_kernel_says() {
    let kernel = kernel(0);
    for (name, frame, header_len) in tunnels() {
        // As 6.1 has it, with outer headers only, and as 6.12 has it.
        for counted in [42, u32::try_from(header_len).unwrap()] {
            let (skb, truth) = segmented(&frame, header_len, 1000, counted);
            assert_eq!(charged(&kernel, &frame, skb), truth, "{name}");
        }
    }
}

#[test]
fn datagrams_that_an_application_tunnels_itself_are_charged_as_the_kernel_says() {
    let kernel = kernel(0);
    // Three datagrams of 1000 bytes to the port of VXLAN, each with an inner packet of its own.
    let inner = ethernet(0x0800, &ipv4(INNER4, 17, 0, &udp(9, &[0; 1000 - 8 - 14 - 28])));
    let datagram = [vxlan_header(), inner].concat();
    assert_eq!(datagram.len(), 1000);
    let frame = ethernet(0x0800, &ipv4(V4, 17, 0, &udp(4789, &datagram.repeat(3))));
    let (skb, truth) = segmented(&frame, 42, 1000, 42);
    assert_eq!(charged(&kernel, &frame, skb), truth);
}

#[test]
fn what_only_looks_like_a_tunnel_is_charged_as_the_kernel_says() {
    let kernel = kernel(0);
    let garbage = [0xa5; 3000];
    let frames = [
        ethernet(0x0800, &ipv4(V4, 17, 0, &udp(4789, &garbage))),
        ethernet(0x0800, &ipv4(V4, 17, 0, &udp(6081, &garbage))),
        ethernet(0x0800, &ipv4(V4, 47, 0, &garbage)),
        ethernet(0x0800, &ipv4(V4, 4, 0, &garbage)),
        ethernet(0x86dd, &ipv6(V6, 60, 0, &garbage)),
        // An inner protocol that nobody segments.
        ethernet(0x0800, &ipv4(V4, 4, 0, &ipv4(INNER4, 1, 0, &garbage))),
    ];
    for frame in frames {
        let (skb, truth) = segmented(&frame, 42, 1000, 42);
        assert_eq!(charged(&kernel, &frame, skb), truth);
    }
}

/// Frames of every tunnel that is known, with the bytes of headers that each of their segments carries.
fn tunnels() -> Vec<(&'static str, Vec<u8>, usize)> {
    const PAYLOAD: [u8; 3000] = [0; 3000];
    let inner_udp = ipv4(INNER4, 17, 0, &udp(9, &PAYLOAD));
    let inner_tcp = ipv4(INNER4, 6, 0, &tcp(3, &PAYLOAD));
    let inner_v6 = ipv6(INNER6, 6, 0, &tcp(0, &PAYLOAD));
    let geneve = |options: u8, protocol: u16| {
        let mut header = vec![options, 0];
        header.extend(protocol.to_be_bytes());
        header.extend(vec![0; 4 + usize::from(options) * 4]);
        header
    };
    let vxlan = |inner: &[u8]| udp(4789, &[&vxlan_header(), inner].concat());
    let ip_frame = |protocol, payload: &[u8]| ethernet(0x0800, &ipv4(V4, protocol, 0, payload));
    let limit_option = [[41, 0, 4, 1, 4, 1, 0, 0].as_slice(), &inner_v6].concat();
    let mut jumbo = inner_v6.clone();
    jumbo[4..6].copy_from_slice(&[0, 0]);
    vec![
        (
            "VXLAN, UDP",
            ip_frame(17, &vxlan(&ethernet(0x0800, &inner_udp))),
            34 + 16 + 14 + 28,
        ),
        (
            "VXLAN, TCP with options",
            ip_frame(17, &vxlan(&ethernet(0x0800, &inner_tcp))),
            34 + 16 + 14 + 52,
        ),
        (
            "VXLAN, IPv6",
            ip_frame(17, &vxlan(&ethernet(0x86dd, &inner_v6))),
            34 + 16 + 14 + 60,
        ),
        (
            "VXLAN, BIG TCP",
            ip_frame(17, &vxlan(&ethernet(0x86dd, &jumbo))),
            34 + 16 + 14 + 60,
        ),
        (
            "VXLAN, Linux's old port, over IPv6",
            ethernet(
                0x86dd,
                &ipv6(
                    V6,
                    17,
                    0,
                    &udp(8472, &[vxlan_header(), ethernet(0x0800, &inner_udp)].concat()),
                ),
            ),
            54 + 16 + 14 + 28,
        ),
        (
            "Geneve with options",
            ip_frame(
                17,
                &udp(6081, &[geneve(3, TEB), ethernet(0x0800, &inner_tcp)].concat()),
            ),
            34 + 16 + 12 + 14 + 52,
        ),
        (
            "Geneve, IP",
            ip_frame(17, &udp(6081, &[geneve(0, 0x0800), inner_udp.clone()].concat())),
            34 + 16 + 28,
        ),
        (
            "GRE",
            ip_frame(47, &[vec![0, 0, 8, 0], inner_tcp.clone()].concat()),
            34 + 4 + 52,
        ),
        (
            "GRE with checksum, key and sequence, Ethernet",
            ip_frame(
                47,
                &[
                    vec![0xb0, 0, 0x65, 0x58],
                    vec![0; 12],
                    ethernet(0x0800, &inner_udp),
                ]
                .concat(),
            ),
            34 + 16 + 14 + 28,
        ),
        ("IPIP", ip_frame(4, &inner_tcp), 34 + 52),
        ("SIT", ip_frame(41, &inner_v6), 34 + 60),
        (
            "IPv6 in IPv6 with an encapsulation limit",
            ethernet(0x86dd, &ipv6(V6, 60, 0, &limit_option)),
            54 + 8 + 60,
        ),
    ]
}

fn vxlan_header() -> Vec<u8> {
    vec![8, 0, 0, 0, 0, 0, 42, 0]
}
