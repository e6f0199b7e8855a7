//! Packets that keep the link alive: never limited, whomever they go to.

use shaper_common::header::{IPV4_HEADER_LEN, IPV6_HEADER_LEN, is_link_control_v4, is_link_control_v6};

use crate::{
    destination::{is_tagged, link_header_len},
    skb::{Linear, Skb},
};

/// Bytes looked at behind the base header: two ports, or an ICMP type.
const PAYLOAD_LEN: u32 = 4;

/// First byte of an IPv4 header without options: version and length.
pub(crate) const NO_OPTIONS: u8 = 0x45;

/// Whether a packet is one of them.
#[inline(always)]
pub(crate) fn is_link_control(skb: Skb, is_v4: bool) -> bool {
    if is_v4 {
        is_v4_control(skb)
    } else {
        is_v6_control(skb)
    }
}

/// Whether an IPv4 packet is one of them. Looked for where it stands in an ordinary frame, and nowhere else: devices
/// without a link header have no neighbours.
#[inline(always)]
fn is_v4_control(skb: Skb) -> bool {
    const AT: usize = IPV4_HEADER_LEN as usize;
    let Some(header) = ordinary(skb, IPV4_HEADER_LEN) else {
        return false;
    };
    // SAFETY: a base header's bytes and four more are there.
    let (first, protocol, payload) = unsafe { (header.byte::<0>(), header.byte::<9>(), header.word::<AT>()) };
    is_link_control_v4(protocol, payload.to_ne_bytes()) && first == NO_OPTIONS
}

/// Whether an IPv6 packet is one of them.
#[inline(always)]
fn is_v6_control(skb: Skb) -> bool {
    const AT: usize = IPV6_HEADER_LEN as usize;
    let Some(header) = ordinary(skb, IPV6_HEADER_LEN) else {
        return false;
    };
    // SAFETY: a base header's bytes and four more are there.
    let (next_header, hop_limit, payload) =
        unsafe { (header.byte::<6>(), header.byte::<7>(), header.word::<AT>()) };
    is_link_control_v6(next_header, hop_limit, payload.to_ne_bytes())
}

/// A base header and what follows it, if they stand right behind the link header.
#[inline(always)]
pub(crate) fn ordinary(skb: Skb, header_len: u32) -> Option<Linear> {
    if is_tagged(skb) {
        return None;
    }
    skb.linear(link_header_len()?, (header_len + PAYLOAD_LEN) as usize)
}
