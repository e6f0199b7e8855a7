//! The server's own port, which tells services apart: the source port of TCP and UDP.
//!
//! Later fragments carry no ports, and other protocols have none: they belong to no service, as does a packet with
//! more than [`MAX_EXTENSIONS`] extension headers before its ports.

use crate::{header::UDP, rule::port_index};

/// `IPPROTO_TCP`.
pub const TCP: u8 = 6;

/// `IPPROTO_FRAGMENT`.
pub const FRAGMENT: u8 = 44;

/// Most IPv6 extension headers that are walked.
pub const MAX_EXTENSIONS: u32 = 4;

/// Whether a protocol starts with two ports, the source first.
#[inline]
#[must_use]
pub const fn has_ports(protocol: u8) -> bool {
    protocol == TCP || protocol == UDP
}

/// Index in the table of services; `port` as its bytes in the packet.
#[inline]
#[must_use]
pub const fn index(protocol: u8, port: [u8; 2]) -> u32 {
    port_index(protocol == UDP, u16::from_be_bytes(port))
}

/// Whether an IPv4 packet is a fragment other than the first; `field` is flags and offset, bytes 6 and 7 of the header.
#[inline]
#[must_use]
pub const fn is_later_fragment_v4(field: [u8; 2]) -> bool {
    u16::from_be_bytes(field) & 0x1fff != 0
}

/// The same for IPv6; `field` is bytes 2 and 3 of the fragment header.
#[inline]
#[must_use]
pub const fn is_later_fragment_v6(field: [u8; 2]) -> bool {
    u16::from_be_bytes(field) & 0xfff8 != 0
}

/// Bytes of an IPv6 extension header whose second byte is `len`, if it is one that ports may follow.
#[inline]
#[must_use]
pub const fn extension_len(next_header: u8, len: u8) -> Option<u32> {
    match next_header {
        // Hop-by-hop options, routing, options for the destination.
        0 | 43 | 60 => Some((len as u32 + 1) * 8),
        FRAGMENT => Some(8),
        // The authentication header counts differently.
        51 => Some((len as u32 + 2) * 4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_told_apart_by_its_protocol() {
        assert_eq!(index(TCP, [1, 187]), 443);
        assert_eq!(index(UDP, [1, 187]), 65_536 + 443);
        assert_eq!(index(UDP, [255, 255]) + 1, crate::rule::N_PORTS);
        assert!(has_ports(TCP) && has_ports(UDP) && !has_ports(1) && !has_ports(132));
    }

    #[test]
    fn only_the_first_fragment_has_ports() {
        for (field, is_later) in [
            ([0, 0], false),
            ([0x40, 0], false),
            ([0x20, 0], false),
            ([0x20, 1], true),
            ([1, 0], true),
        ] {
            assert_eq!(is_later_fragment_v4(field), is_later);
        }
        for (field, is_later) in [
            ([0, 0], false),
            ([0, 1], false),
            ([0, 6], false),
            ([0, 8], true),
            ([1, 0], true),
        ] {
            assert_eq!(is_later_fragment_v6(field), is_later);
        }
    }

    #[test]
    fn extension_headers_say_how_long_they_are() {
        assert_eq!(extension_len(0, 0), Some(8));
        assert_eq!(extension_len(43, 2), Some(24));
        assert_eq!(extension_len(60, 255), Some(2048));
        assert_eq!(extension_len(FRAGMENT, 99), Some(8));
        assert_eq!(extension_len(51, 4), Some(24));
        assert_eq!(extension_len(TCP, 0), None);
        assert_eq!(extension_len(59, 0), None);
    }
}
