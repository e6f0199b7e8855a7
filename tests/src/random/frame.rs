//! Random frames.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use shaper_common::{outcome::Outcome, port::MAX_EXTENSIONS};

use super::{
    Random,
    policy::{PORTS, near4, near6},
};
use crate::{
    model::{Packet, Policy, Port},
    packet,
};

/// A frame and what the program is to make of it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its bytes.
    pub frame: Vec<u8>,
    /// What they say.
    pub packet: Packet,
}

/// A random frame, most often to a destination that a rule of `policy` covers.
#[must_use]
pub fn frame(random: &mut Random, policy: &Policy, now_ns: u64) -> Sample {
    let destination = destination(random, policy);
    let ecn = u8::try_from(random.below(4)).unwrap();
    let is_link_control = random.one_in(20);
    let (frame, port) = if is_link_control {
        let frame = packet::link_control(destination, ecn);
        if destination.is_ipv4() && random.one_in(3) {
            (packet::with_options(&frame, random.byte() % 11), None)
        } else {
            (frame, None)
        }
    } else {
        ip(random, destination, ecn)
    };
    let mut sample = Sample {
        frame,
        packet: Packet {
            destination: Ok(destination),
            port,
            is_link_control,
            wire_len: 0,
            is_ect: ecn != 0,
            is_stampable: true,
            tstamp: tstamp(random, now_ns),
            priority: if random.one_in(4) { random.below32(64) } else { 0 },
        },
    };
    if random.one_in(10) {
        spoil(random, &mut sample);
    }
    tag(random, &mut sample);
    let len = u32::try_from(sample.frame.len()).unwrap();
    // A longer wire length without segments is what a packet looks like that was cut after it was counted.
    sample.packet.wire_len = if random.one_in(4) {
        (len + random.below32(65_000)).min(65_536)
    } else {
        len
    };
    sample
}

/// A frame of TCP, UDP or something else, and the source port if it can be seen.
fn ip(random: &mut Random, destination: IpAddr, ecn: u8) -> (Vec<u8>, Option<Port>) {
    let port = Port {
        is_udp: random.one_in(2),
        number: if random.one_in(8) {
            u16::from_le_bytes([random.byte(), random.byte()])
        } else {
            random.pick(&PORTS)
        },
    };
    let payload = vec![0; usize::try_from(random.magnitude(1..11)).unwrap()];
    let (mut protocol, mut transport) = if port.is_udp {
        (17, packet::udp_from(port.number, 9, &payload))
    } else {
        (6, packet::tcp_from(port.number, 0, &payload))
    };
    let mut port = Some(port);
    match random.below(20) {
        0 => {
            protocol = random.pick(&[1, 47, 50, 58, 132]);
            port = None;
        }
        1 => {
            transport.truncate(usize::try_from(random.below(5)).unwrap());
            port = port.filter(|_| transport.len() >= 2);
        }
        _ => {}
    }
    let (frame, has_port) = match destination {
        IpAddr::V4(address) => v4(random, address, protocol, ecn, &transport),
        IpAddr::V6(address) => v6(random, address, protocol, ecn, transport),
    };
    (frame, port.filter(|_| has_port))
}

/// An IPv4 frame, perhaps with options or a fragment; whether ports can be seen in it.
fn v4(random: &mut Random, to: Ipv4Addr, protocol: u8, ecn: u8, transport: &[u8]) -> (Vec<u8>, bool) {
    let n_option_words = if random.one_in(8) { random.below(11) } else { 0 };
    let options = vec![1; usize::try_from(4 * n_option_words).unwrap()];
    let mut packet = packet::ipv4(to, protocol, ecn, &[options.as_slice(), transport].concat());
    packet[0] += u8::try_from(n_option_words).unwrap();
    let (field, is_later) = if random.one_in(8) {
        random.pick(&[
            ([0x40, 0], false),
            ([0x20, 0], false),
            ([0x20, 1], true),
            ([0, 185], true),
            ([1, 0], true),
        ])
    } else {
        ([0, 0], false)
    };
    packet[6..8].copy_from_slice(&field);
    let sum = packet::header_checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    (packet::ethernet(0x0800, &packet), !is_later)
}

/// An IPv6 frame, perhaps with extension headers; whether ports can be seen in it.
fn v6(random: &mut Random, to: Ipv6Addr, protocol: u8, ecn: u8, transport: Vec<u8>) -> (Vec<u8>, bool) {
    let n_extensions = if random.one_in(3) { random.below32(7) } else { 0 };
    let mut has_port = n_extensions <= MAX_EXTENSIONS;
    let (mut next, mut rest) = (protocol, transport);
    for _ in 0..n_extensions {
        let header = random.pick(&[0, 43, 44, 51, 60]);
        let extension = match header {
            44 => {
                let field = random.pick(&[[0, 0], [0, 1], [0, 8], [2, 1]]);
                has_port &= field[0] == 0 && field[1] < 8;
                vec![next, 0, field[0], field[1], 0, 0, 0, 1]
            }
            51 => [vec![next, 4], vec![0; 22]].concat(),
            _ => {
                let n_words = random.byte() % 4;
                [vec![next, n_words], vec![0; 6 + 8 * usize::from(n_words)]].concat()
            }
        };
        rest = [extension, rest].concat();
        next = header;
    }
    let frame = packet::ethernet(0x86dd, &packet::ipv6(to, next, ecn, &rest));
    (frame, has_port)
}

/// Puts tags before it, now and then.
fn tag(random: &mut Random, sample: &mut Sample) {
    let n_tags = if random.one_in(5) { random.below(4) } else { 0 };
    for _ in 0..n_tags {
        let control = u16::from_le_bytes([random.byte(), random.byte()]);
        sample.frame = packet::tagged(random.pick(&[0x8100, 0x88a8]), control, &sample.frame);
    }
    if n_tags > 0 {
        sample.packet.is_ect = false;
        sample.packet.is_stampable = false;
    }
    if n_tags > 2 {
        sample.packet.destination = Err(Outcome::Unparsable);
    }
}

fn destination(random: &mut Random, policy: &Policy) -> IpAddr {
    match random.below(10) {
        0..3 if !policy.exact4.is_empty() => {
            let index = usize::try_from(random.below(policy.exact4.len() as u64)).unwrap();
            IpAddr::V4(policy.exact4[index].0)
        }
        3..6 if !policy.exact6.is_empty() => {
            let index = usize::try_from(random.below(policy.exact6.len() as u64)).unwrap();
            IpAddr::V6(policy.exact6[index].0)
        }
        0..8 if random.one_in(2) => IpAddr::V4(near4(random)),
        0..8 => IpAddr::V6(near6(random)),
        8 if random.one_in(2) => IpAddr::V4(Ipv4Addr::from(u32::try_from(random.bits() >> 32).unwrap())),
        8 => IpAddr::V6(Ipv6Addr::from(
            u128::from(random.bits()) << 64 | u128::from(random.bits()),
        )),
        _ => random
            .pick(&[
                "224.0.0.1",
                "255.255.255.255",
                "127.0.0.1",
                "169.254.3.4",
                "ff02::1",
                "fe80::1",
                "::1",
                "::",
            ])
            .parse()
            .unwrap(),
    }
}

/// Mostly none; else past, near, beyond what `fq` accepts, or of the wall clock.
fn tstamp(random: &mut Random, now_ns: u64) -> u64 {
    match random.below(12) {
        0 => now_ns - random.magnitude(0..30),
        1 => now_ns + random.magnitude(0..40),
        2 => 1_790_000_000_000_000_000 + random.magnitude(0..40),
        _ => 0,
    }
}

/// Makes the frame something else than IP, or something that only claims to be.
fn spoil(random: &mut Random, sample: &mut Sample) {
    sample.packet.is_ect = false;
    if random.one_in(2) {
        sample.frame[12..14]
            .copy_from_slice(&random.pick(&[0x0806_u16, 0x88cc, 0x8847, 0x0801]).to_be_bytes());
        sample.packet.destination = Err(Outcome::NotIp);
        sample.packet.is_stampable = false;
    } else {
        let version = random.pick(&[0, 1, 5, 7, 15]);
        sample.frame[14] = (sample.frame[14] & 0xf) | (version << 4);
        sample.packet.destination = Err(Outcome::Unparsable);
    }
}
