//! Frames, byte by byte. Lengths and checksums are right, except where a test is about wrong ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of an Ethernet header.
const ETH_LEN: usize = 14;

/// ECN bits of a packet that can carry a mark.
pub const ECT0: u8 = 2;
/// ECN bits of a packet that carries one.
pub const CE: u8 = 3;

/// An Ethernet frame around `payload`, which starts with what `ether_type` says.
#[must_use]
pub fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    frame.extend(ether_type.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Puts a VLAN tag of type `tag_type` before what the frame holds.
#[must_use]
pub fn tagged(tag_type: u16, control: u16, frame: &[u8]) -> Vec<u8> {
    let mut tagged = frame[..ETH_LEN - 2].to_vec();
    tagged.extend(tag_type.to_be_bytes());
    tagged.extend(control.to_be_bytes());
    tagged.extend(&frame[ETH_LEN - 2..]);
    tagged
}

/// An IPv4 packet without options.
#[must_use]
pub fn ipv4(destination: Ipv4Addr, protocol: u8, ecn: u8, payload: &[u8]) -> Vec<u8> {
    let total_len = u16::try_from(20 + payload.len()).unwrap_or(0);
    let mut packet = vec![0x45, ecn];
    packet.extend(total_len.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1]);
    packet.extend(destination.octets());
    let checksum = header_checksum(&packet);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(payload);
    packet
}

/// An IPv6 packet; `next_header` says what the payload starts with.
#[must_use]
pub fn ipv6(destination: Ipv6Addr, next_header: u8, ecn: u8, payload: &[u8]) -> Vec<u8> {
    let payload_len = u16::try_from(payload.len()).unwrap_or(0);
    let mut packet = vec![0x60, ecn << 4, 0, 0];
    packet.extend(payload_len.to_be_bytes());
    packet.extend([next_header, 64]);
    packet.extend(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

/// A UDP datagram without checksum.
#[must_use]
pub fn udp(destination_port: u16, payload: &[u8]) -> Vec<u8> {
    udp_from(40_000, destination_port, payload)
}

/// The same from a port.
#[must_use]
pub fn udp_from(source_port: u16, destination_port: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).unwrap_or(0);
    let mut datagram = source_port.to_be_bytes().to_vec();
    datagram.extend(destination_port.to_be_bytes());
    datagram.extend(len.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

/// A TCP segment with `n_option_words` words of options.
#[must_use]
pub fn tcp(n_option_words: u8, payload: &[u8]) -> Vec<u8> {
    tcp_from(0, n_option_words, payload)
}

/// The same from a port.
#[must_use]
pub fn tcp_from(source_port: u16, n_option_words: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = source_port.to_be_bytes().to_vec();
    segment.extend([0; 10]);
    segment.extend([(5 + n_option_words) << 4, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(vec![1; usize::from(n_option_words) * 4]);
    segment.extend(payload);
    segment
}

/// A frame of UDP to `destination`, with `payload_len` bytes of payload.
#[must_use]
pub fn udp_to(destination: IpAddr, payload_len: usize) -> Vec<u8> {
    udp_with_ecn(destination, 0, payload_len)
}

/// The same with ECN bits.
#[must_use]
pub fn udp_with_ecn(destination: IpAddr, ecn: u8, payload_len: usize) -> Vec<u8> {
    let datagram = udp(9, &vec![0; payload_len]);
    match destination {
        IpAddr::V4(address) => ethernet(0x0800, &ipv4(address, 17, ecn, &datagram)),
        IpAddr::V6(address) => ethernet(0x86dd, &ipv6(address, 17, ecn, &datagram)),
    }
}

/// What keeps the link alive: DHCP's offer, or a neighbour's answer.
#[must_use]
pub fn link_control(destination: IpAddr, ecn: u8) -> Vec<u8> {
    match destination {
        IpAddr::V4(address) => {
            let mut datagram = udp(68, &[0; 300]);
            datagram[..2].copy_from_slice(&67_u16.to_be_bytes());
            ethernet(0x0800, &ipv4(address, 17, ecn, &datagram))
        }
        IpAddr::V6(address) => {
            let mut packet = ipv6(
                address,
                58,
                ecn,
                &[136, 0, 0, 0, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            );
            packet[7] = 255;
            ethernet(0x86dd, &packet)
        }
    }
}

/// An untagged IPv4 frame without options, with `n_words` words of options.
///
/// # Panics
///
/// If it holds something else.
#[must_use]
pub fn with_options(frame: &[u8], n_words: u8) -> Vec<u8> {
    assert_eq!(frame[ETH_LEN], 0x45);
    let (header, payload) = frame[ETH_LEN..].split_at(20);
    let options = vec![1; usize::from(n_words) * 4];
    let mut packet = [header, &options, payload].concat();
    packet[0] += n_words;
    let checksum = header_checksum(&packet);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    ethernet(0x0800, &packet)
}

/// ECN bits of an untagged Ethernet frame.
///
/// # Panics
///
/// If it holds no IP.
#[must_use]
pub fn ecn(frame: &[u8]) -> u8 {
    match frame[ETH_LEN] >> 4 {
        4 => frame[ETH_LEN + 1] & 3,
        6 => (frame[ETH_LEN + 1] >> 4) & 3,
        version => panic!("IP version {version}"),
    }
}

/// The checksum that an IPv4 packet's header should have.
///
/// # Panics
///
/// If the header is longer than the packet.
#[must_use]
pub fn header_checksum(packet: &[u8]) -> u16 {
    let mut header = packet[..usize::from(packet[0] & 0xf) * 4].to_vec();
    header[10..12].fill(0);
    checksum(&header)
}

/// The Internet checksum of a header whose own checksum is zero, or zero if it is right.
#[must_use]
pub fn checksum(header: &[u8]) -> u16 {
    let (words, _) = header.as_chunks::<2>();
    let sum: u32 = words
        .iter()
        .map(|word| u32::from(u16::from_be_bytes(*word)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap()
}
