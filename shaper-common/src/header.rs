//! Addresses in IP headers: where they stand, and which of them can be limited. Total: any bytes get an answer.
//!
//! Only base headers matter: fragments and extension headers carry the destination like any other packet.

/// `EtherType` of IPv4.
pub const ETH_P_IP: u16 = 0x0800;
/// `EtherType` of IPv6.
pub const ETH_P_IPV6: u16 = 0x86dd;
/// `EtherType` of a VLAN tag.
pub const ETH_P_8021Q: u16 = 0x8100;
/// `EtherType` of a provider's VLAN tag (`QinQ`).
pub const ETH_P_8021AD: u16 = 0x88a8;

/// Bytes of an Ethernet header.
pub const ETH_HEADER_LEN: u32 = 14;
/// Bytes of a VLAN tag.
pub const VLAN_TAG_LEN: u32 = 4;
/// Bytes of an IPv4 header without options.
pub const IPV4_HEADER_LEN: u32 = 20;
/// Bytes of the IPv6 base header.
pub const IPV6_HEADER_LEN: u32 = 40;
/// Where an IPv4 header holds the destination.
pub const IPV4_DESTINATION: u32 = 16;
/// Where an IPv6 header holds the destination.
pub const IPV6_DESTINATION: u32 = 24;

/// The version in an IP header's first byte.
#[inline]
#[must_use]
pub const fn version(first_byte: u8) -> u8 {
    first_byte >> 4
}

/// Whether an IPv4 destination is never limited: multicast, broadcast and reserved (224.0.0.0/3), loopback
/// (127.0.0.0/8), link-local (169.254.0.0/16) and "this network" (0.0.0.0/8).
///
/// A limit on these would cut the host off from DHCP, VRRP or routing protocols.
#[inline]
#[must_use]
pub const fn is_never_limited_v4(address: [u8; 4]) -> bool {
    matches!(address, [224..|127| 0, ..] | [169, 254, ..])
}

/// Whether an IPv6 destination is never limited: multicast (ff00::/8), link-local (fe80::/10), loopback and the
/// unspecified address. `words` are the address's four words as they stand in memory.
#[inline]
#[must_use]
pub const fn is_never_limited_v6(words: [u32; 4]) -> bool {
    let first = u32::from_be(words[0]);
    let is_multicast = first >> 24 == 0xff;
    let is_link_local = first >> 22 == 0xfe80 >> 6;
    let is_loopback_or_unspecified =
        first == 0 && words[1] == 0 && words[2] == 0 && u32::from_be(words[3]) <= 1;
    is_multicast || is_link_local || is_loopback_or_unspecified
}

/// `IPPROTO_UDP`.
pub const UDP: u8 = 17;
/// `IPPROTO_ICMPV6`.
pub const ICMPV6: u8 = 58;

/// Whether a packet keeps the link itself alive and is therefore never limited: neighbour discovery (RFC 4861, which
/// is never routed: its hop limit is 255) and DHCP for IPv6. `payload` is what follows the base header.
///
/// A neighbour's answer goes to an ordinary address: a limit on it would make the host unreachable.
#[inline]
#[must_use]
pub const fn is_link_control_v6(next_header: u8, hop_limit: u8, payload: [u8; 4]) -> bool {
    match next_header {
        ICMPV6 => hop_limit == 255 && matches!(payload[0], 133..=137),
        // Ports 546 and 547, client and server.
        UDP => matches!(payload, [2, 34, 2, 35] | [2, 35, 2, 34 | 35]),
        _ => false,
    }
}

/// Whether a packet is DHCP for IPv4, which is never limited. `payload` is what follows a header without options.
#[inline]
#[must_use]
pub const fn is_link_control_v4(protocol: u8, payload: [u8; 4]) -> bool {
    // Ports 67 and 68, server and client.
    protocol == UDP && matches!(payload, [0, 68, 0, 67] | [0, 67, 0, 67 | 68])
}

/// An IPv6 address as the four words its bytes make in memory.
#[inline]
#[must_use]
pub const fn words(octets: [u8; 16]) -> [u32; 4] {
    let (chunks, _) = octets.as_chunks::<4>();
    [
        u32::from_ne_bytes(chunks[0]),
        u32::from_ne_bytes(chunks[1]),
        u32::from_ne_bytes(chunks[2]),
        u32::from_ne_bytes(chunks[3]),
    ]
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn v4(text: &str) -> bool {
        is_never_limited_v4(text.parse::<Ipv4Addr>().unwrap().octets())
    }

    fn v6(text: &str) -> bool {
        is_never_limited_v6(words(text.parse::<Ipv6Addr>().unwrap().octets()))
    }

    #[test]
    fn multicast_broadcast_link_local_and_loopback_are_never_limited() {
        for text in [
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "127.0.0.1",
            "169.254.0.1",
            "0.0.0.0",
        ] {
            assert!(v4(text), "{text}");
        }
        for text in ["ff02::1:ff00:1", "ff00::", "fe80::1", "febf:ffff::1", "::1", "::"] {
            assert!(v6(text), "{text}");
        }
    }

    #[test]
    fn what_keeps_the_link_alive_is_told_from_what_looks_like_it() {
        assert!(is_link_control_v6(ICMPV6, 255, [136, 0, 1, 2]));
        assert!(is_link_control_v6(ICMPV6, 255, [133, 0, 1, 2]));
        assert!(!is_link_control_v6(ICMPV6, 255, [132, 0, 1, 2]));
        assert!(!is_link_control_v6(ICMPV6, 255, [138, 0, 1, 2]));
        assert!(!is_link_control_v6(ICMPV6, 254, [136, 0, 1, 2]));
        assert!(!is_link_control_v6(6, 255, [136, 0, 1, 2]));
        assert!(is_link_control_v6(UDP, 64, [2, 34, 2, 35]));
        assert!(!is_link_control_v6(UDP, 64, [2, 34, 2, 34]));
        assert!(is_link_control_v4(UDP, [0, 67, 0, 68]));
        assert!(!is_link_control_v4(6, [0, 67, 0, 68]));
        assert!(!is_link_control_v4(UDP, [0, 68, 0, 68]));
    }

    #[test]
    fn their_neighbours_are_ordinary() {
        for text in [
            "223.255.255.255",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.0.1",
            "169.255.0.0",
            "1.0.0.0",
        ] {
            assert!(!v4(text), "{text}");
        }
        for text in [
            "fec0::1",
            "fe7f::1",
            "feff::1",
            "fdff::1",
            "::2",
            "0:0:0:1::1",
            "2001:db8::1",
        ] {
            assert!(!v6(text), "{text}");
        }
    }
}
