//! Services: rules for the server's own port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use shaper_common::{
    NSEC_PER_SEC,
    names::NO_LINK_HEADER,
    outcome::Outcome,
    pacing::Limit,
    rule::{Rule, kind},
};
use shaper_tests::{
    kernel::{Kernel, Settings, Skb},
    model::{Policy, Port},
    packet::{ethernet, ipv4, ipv6, tagged, tcp_from, udp_from},
};

const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
const LIMIT: Limit = Limit::new(NSEC_PER_SEC, 0, NSEC_PER_SEC, None);
const IMAP: u32 = 5;
const QUIC: u32 = 9;

fn rule(bucket: u32) -> Rule {
    Rule::limited(LIMIT, bucket)
}

fn exempt() -> Rule {
    Rule {
        kind: kind::EXEMPT,
        ..rule(0)
    }
}

/// Ports of two services.
fn ports() -> Vec<(Port, u32)> {
    let port = |is_udp, number| Port { is_udp, number };
    vec![
        (port(false, 143), IMAP),
        (port(false, 993), IMAP),
        (port(true, 443), QUIC),
        (port(true, 65_535), QUIC),
    ]
}

/// IMAP to [`V4`] and [`V6`] goes to bucket 1, all else to bucket 2.
fn policy() -> Policy {
    Policy {
        exact4: vec![(V4, rule(2))],
        exact6: vec![(V6, rule(2))],
        for_service: vec![
            (IMAP, IpAddr::V4(V4), 32, rule(1)),
            (IMAP, IpAddr::V6(V6), 128, rule(1)),
        ],
        ports: ports(),
        ..Policy::default()
    }
}

fn kernel_with(settings: Settings, policy: &Policy) -> Kernel {
    let mut kernel = Kernel::load(settings);
    kernel.set_clock(NSEC_PER_SEC);
    kernel.install(policy);
    kernel
}

fn kernel(policy: &Policy) -> Kernel {
    kernel_with(Settings::default(), policy)
}

/// The bucket that sends a frame, or why none does.
fn charged(kernel: &Kernel, frame: &[u8]) -> Result<u32, Outcome> {
    let sent = |kernel: &Kernel| (0..8).map(|n| kernel.bucket(n).sent_packets).collect::<Vec<_>>();
    let (before, totals) = (sent(kernel), kernel.totals());
    let _ = kernel.run(frame, Skb::default());
    let (after, totals_after) = (sent(kernel), kernel.totals());
    if let Some(bucket) = (0..8).find(|n| before[*n] != after[*n]) {
        return Ok(u32::try_from(bucket).unwrap());
    }
    let is_counted = |outcome: &&Outcome| totals[**outcome as usize] != totals_after[**outcome as usize];
    Err(*Outcome::ALL.iter().find(is_counted).unwrap())
}

fn tcp4(port: u16) -> Vec<u8> {
    ethernet(0x0800, &ipv4(V4, 6, 0, &tcp_from(port, 0, &[0; 40])))
}

fn tcp6(port: u16) -> Vec<u8> {
    ethernet(0x86dd, &ipv6(V6, 6, 0, &tcp_from(port, 0, &[0; 40])))
}

#[test]
fn the_servers_own_port_tells_services_apart_and_the_protocol_counts() {
    let kernel = kernel(&policy());
    for frame in [tcp4(143), tcp4(993), tcp6(143), tcp6(993)] {
        assert_eq!(charged(&kernel, &frame), Ok(1));
    }
    let udp = ethernet(0x0800, &ipv4(V4, 17, 0, &udp_from(143, 143, &[0; 40])));
    for frame in [tcp4(142), tcp4(443), tcp4(0), tcp4(65_535), tcp6(144), udp] {
        assert_eq!(charged(&kernel, &frame), Ok(2));
    }
}

#[test]
fn a_port_of_the_client_makes_no_service() {
    let kernel = kernel(&policy());
    let mut frame = tcp4(40_000);
    frame[36..38].copy_from_slice(&143_u16.to_be_bytes());
    assert_eq!(charged(&kernel, &frame), Ok(2));
}

#[test]
fn first_fragments_have_a_service_and_later_ones_have_none() {
    let kernel = kernel(&policy());
    for (field, bucket) in [([0x40, 0], 1), ([0x20, 0], 1), ([0x20, 1], 2), ([0, 185], 2)] {
        let mut frame = tcp4(143);
        frame[20..22].copy_from_slice(&field);
        assert_eq!(charged(&kernel, &frame), Ok(bucket), "{field:?}");
    }
    let transport = tcp_from(143, 0, &[0; 40]);
    for (field, bucket) in [([0, 1], 1), ([0, 0], 1), ([0, 9], 2), ([5, 0], 2)] {
        let header = [6, 0, field[0], field[1], 0, 0, 0, 7];
        let payload = [header.as_slice(), &transport].concat();
        let frame = ethernet(0x86dd, &ipv6(V6, 44, 0, &payload));
        assert_eq!(charged(&kernel, &frame), Ok(bucket), "{field:?}");
    }
}

#[test]
fn ports_are_found_behind_options_and_four_extension_headers() {
    let kernel = kernel(&policy());
    let transport = tcp_from(143, 0, &[0; 40]);
    for n_words in [1, 10] {
        let payload = [vec![1; n_words * 4], transport.clone()].concat();
        let mut packet = ipv4(V4, 6, 0, &payload);
        packet[0] += u8::try_from(n_words).unwrap();
        assert_eq!(charged(&kernel, &ethernet(0x0800, &packet)), Ok(1));
    }
    for n_extensions in 0..6 {
        let (mut next, mut payload) = (6, transport.clone());
        for _ in 0..n_extensions {
            payload = [&[next, 1], [0; 14].as_slice(), &payload].concat();
            next = 60;
        }
        let bucket = if n_extensions <= 4 { 1 } else { 2 };
        let frame = ethernet(0x86dd, &ipv6(V6, next, 0, &payload));
        assert_eq!(charged(&kernel, &frame), Ok(bucket), "{n_extensions}");
    }
}

#[test]
fn ports_are_found_behind_tags_and_where_the_link_has_no_header() {
    for link_header_len in [14, NO_LINK_HEADER, 20] {
        let settings = Settings {
            link_header_len,
            ..Settings::default()
        };
        let kernel = kernel_with(settings, &policy());
        for (port, bucket) in [(143, 1), (144, 2)] {
            assert_eq!(charged(&kernel, &tcp4(port)), Ok(bucket));
            assert_eq!(charged(&kernel, &tcp6(port)), Ok(bucket));
        }
    }
    let kernel = kernel(&policy());
    for (port, bucket) in [(143, 1), (144, 2)] {
        for frame in [tcp4(port), tcp6(port)] {
            let once = tagged(0x8100, 0x6005, &frame);
            assert_eq!(charged(&kernel, &once), Ok(bucket));
            assert_eq!(charged(&kernel, &tagged(0x88a8, 5, &once)), Ok(bucket));
        }
    }
}

#[test]
fn without_ports_to_be_seen_the_rule_for_every_service_counts() {
    let kernel = kernel(&policy());
    // Two bytes are the port; one is not.
    for (len, bucket) in [(0, 2), (1, 2), (2, 1), (3, 1)] {
        let transport = &tcp_from(143, 0, &[])[..len];
        let frame = ethernet(0x0800, &ipv4(V4, 6, 0, transport));
        assert_eq!(charged(&kernel, &frame), Ok(bucket), "{len}");
    }
    // GRE, ESP, SCTP.
    for protocol in [47, 50, 132] {
        let frame = ethernet(0x0800, &ipv4(V4, protocol, 0, &tcp_from(143, 0, &[])));
        assert_eq!(charged(&kernel, &frame), Ok(2));
    }
}

#[test]
fn an_address_with_a_rule_for_one_service_alone_is_otherwise_unlimited() {
    let mut policy = policy();
    policy.exact4.clear();
    policy.exact6.clear();
    let kernel = kernel(&policy);
    assert_eq!(charged(&kernel, &tcp4(143)), Ok(1));
    assert_eq!(charged(&kernel, &tcp4(144)), Err(Outcome::Unlimited));
    assert_eq!(charged(&kernel, &tcp6(144)), Err(Outcome::Unlimited));
}

#[test]
fn the_longer_prefix_counts_and_at_equal_length_the_service() {
    let net = |text: &str| text.parse::<IpAddr>().unwrap();
    let mut policy = Policy {
        prefix4: vec![("192.0.2.0".parse().unwrap(), 24, rule(2))],
        prefix6: vec![("2001:db8::".parse().unwrap(), 32, rule(2))],
        ports: ports(),
        ..Policy::default()
    };
    for (len4, len6, bucket) in [(23, 31, 2), (24, 32, 1), (25, 33, 1)] {
        policy.for_service = vec![
            (IMAP, net("192.0.2.0"), len4, rule(1)),
            (IMAP, net("2001:db8::"), len6, rule(1)),
        ];
        let kernel = kernel(&policy);
        assert_eq!(charged(&kernel, &tcp4(143)), Ok(bucket), "{len4}");
        assert_eq!(charged(&kernel, &tcp6(143)), Ok(bucket), "{len6}");
        assert_eq!(charged(&kernel, &tcp4(144)), Ok(2));
    }
}

#[test]
fn of_prefixes_as_long_a_service_beats_even_what_is_never_limited() {
    let net: IpAddr = "192.0.2.0".parse().unwrap();
    let mut policy = Policy {
        prefix4: vec![("192.0.2.0".parse().unwrap(), 24, exempt())],
        ports: ports(),
        ..Policy::default()
    };
    for (len, expected) in [(23, Err(Outcome::Exempt)), (24, Ok(1)), (25, Ok(1))] {
        policy.for_service = vec![(IMAP, net, len, rule(1))];
        assert_eq!(charged(&kernel(&policy), &tcp4(143)), expected, "{len}");
    }
}

#[test]
fn a_rule_for_all_the_rest_may_be_for_one_service() {
    let everything = |address: IpAddr| (QUIC, address, 0, rule(1));
    let quic = ethernet(0x0800, &ipv4(V4, 17, 0, &udp_from(443, 9, &[0; 40])));
    let quic6 = ethernet(0x86dd, &ipv6(V6, 17, 0, &udp_from(65_535, 9, &[0; 40])));
    let mut policy = Policy {
        for_service: vec![
            everything(Ipv4Addr::UNSPECIFIED.into()),
            everything(Ipv6Addr::UNSPECIFIED.into()),
        ],
        ports: ports(),
        ..Policy::default()
    };
    let alone = kernel(&policy);
    assert_eq!(charged(&alone, &quic), Ok(1));
    assert_eq!(charged(&alone, &quic6), Ok(1));
    assert_eq!(charged(&alone, &tcp4(443)), Err(Outcome::Unlimited));
    policy.any = Some(rule(2));
    let beside = kernel(&policy);
    assert_eq!(charged(&beside, &quic), Ok(1));
    assert_eq!(charged(&beside, &tcp4(443)), Ok(2));
    policy.any = Some(exempt());
    let beside = kernel(&policy);
    assert_eq!(charged(&beside, &quic), Ok(1));
    assert_eq!(charged(&beside, &tcp4(443)), Err(Outcome::Exempt));
}
