//! Headers of a tunnel's segments.
//!
//! Linux 6.1 counts the wire length of a packet that is still to be segmented inside a tunnel with the outer
//! headers only (`qdisc_pkt_len_init`); 6.12 counts the inner ones too. Here they are read, on all kernels alike.

#![expect(
    clippy::cast_possible_truncation,
    reason = "lengths of headers and offsets in them"
)]

use core::mem::offset_of;

use aya_ebpf::bindings::__sk_buff;
use network_types::{
    eth::EthHdr,
    geneve::GeneveHdr,
    ip::{IpProto, Ipv4Hdr, Ipv6Hdr},
    udp::UdpHdr,
    vxlan::VxlanHdr,
};
use shaper_common::header::{ETH_P_IP, ETH_P_IPV6, version};

use crate::{
    destination::LINK_HEADER_LEN,
    skb::{Origin, Skb},
};

/// `EtherType` of an Ethernet frame inside a tunnel.
const ETH_P_TEB: u16 = 0x6558;

/// Destination ports of VXLAN: IANA's, and Linux's own from before.
const VXLAN_PORTS: [u16; 2] = [4789, 8472];
/// Destination port of Geneve.
const GENEVE_PORT: u16 = 6081;

/// Bytes of a GRE header without its optional words.
const GRE_HEADER_LEN: u32 = 4;
/// Flags of a GRE header: checksum, key and sequence number follow, a word each.
const GRE_OPTIONAL_WORDS: u16 = 0xb000;

/// An IP header.
#[derive(Clone, Copy)]
struct Ip {
    /// Where the next header starts.
    payload: u32,
    /// What that is.
    protocol: u8,
    /// Where the packet ends, by its own account; `u32::MAX` if it is too long to say.
    end: u32,
}

/// Bytes of headers that each segment carries, link header included; zero if this is not a tunnel's packet.
#[inline(always)]
pub(crate) fn header_len(skb: Skb) -> u32 {
    shaper_headers(skb.raw())
}

/// The same, visible from outside: the kernel verifies it once, and not for each way to it.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text")]
#[inline(never)]
extern "C" fn shaper_headers(skb: *mut __sk_buff) -> u32 {
    match inner_payload(Skb::from_raw(skb)) {
        Some(payload) => payload.wrapping_add(LINK_HEADER_LEN.load()),
        None => 0,
    }
}

/// Where the segmented payload starts, counted from the outer IP header.
#[inline(always)]
fn inner_payload(skb: Skb) -> Option<u32> {
    let outer = ip(skb, 0)?;
    let inner_offset = inside(skb, outer)?;
    let inner = ip(skb, inner_offset)?;
    // An application may have datagrams segmented that hold a whole tunnelled packet each. Here, one packet
    // spans all segments.
    if inner.end <= outer.payload + UdpHdr::LEN as u32 + skb.gso_size() {
        return None;
    }
    if inner.protocol == IpProto::Udp as u8 {
        Some(inner.payload + UdpHdr::LEN as u32)
    } else if inner.protocol == IpProto::Tcp as u8 {
        // The data offset, in words, is the upper half of byte 12.
        Some(inner.payload + u32::from(load::<u8>(skb, inner.payload + 12)? >> 4) * 4)
    } else {
        None
    }
}

/// Where the inner IP header starts.
#[inline(always)]
fn inside(skb: Skb, outer: Ip) -> Option<u32> {
    let offset = outer.payload;
    let protocol = outer.protocol;
    if protocol == IpProto::Ipv4 as u8 || protocol == IpProto::Ipv6 as u8 {
        return Some(offset);
    }
    let (payload, ether_type) = if protocol == IpProto::Gre as u8 {
        let flags = load_be(skb, offset)?;
        let words = (flags & GRE_OPTIONAL_WORDS).count_ones();
        (offset + GRE_HEADER_LEN + words * 4, load_be(skb, offset + 2)?)
    } else if protocol == IpProto::Udp as u8 {
        let port = load_be(skb, offset + offset_of!(UdpHdr, dst) as u32)?;
        let header = offset + UdpHdr::LEN as u32;
        if VXLAN_PORTS.contains(&port) {
            (header + VxlanHdr::LEN as u32, ETH_P_TEB)
        } else if port == GENEVE_PORT {
            let geneve: GeneveHdr = load(skb, header)?;
            let options_len = u32::from(geneve.opt_len()) * 4;
            (
                header + GeneveHdr::LEN as u32 + options_len,
                geneve.protocol_type(),
            )
        } else {
            return None;
        }
    } else {
        return None;
    };
    match ether_type {
        ETH_P_IP | ETH_P_IPV6 => Some(payload),
        ETH_P_TEB => Some(payload + EthHdr::LEN as u32),
        _ => None,
    }
}

/// The IP header at `offset`.
#[inline(always)]
fn ip(skb: Skb, offset: u32) -> Option<Ip> {
    match version(load(skb, offset)?) {
        4 => {
            let header: Ipv4Hdr = load(skb, offset)?;
            Some(Ip {
                payload: offset + u32::from(header.vihl & 0xf) * 4,
                protocol: header.proto,
                end: end(offset, header.tot_len()),
            })
        }
        6 => {
            let payload_len = load_be(skb, offset + offset_of!(Ipv6Hdr, payload_len) as u32)?;
            let mut protocol: u8 = load(skb, offset + offset_of!(Ipv6Hdr, next_hdr) as u32)?;
            let mut payload = offset + Ipv6Hdr::LEN as u32;
            let end = end(payload, payload_len);
            // A tunnel puts its encapsulation limit here, and 6.1 the length of a packet beyond 64 KiB.
            if protocol == IpProto::Ipv6Opts as u8 || protocol == IpProto::HopOpt as u8 {
                let [next, words]: [u8; 2] = load(skb, payload)?;
                protocol = next;
                payload += (u32::from(words) + 1) * 8;
            }
            Some(Ip {
                payload,
                protocol,
                end,
            })
        }
        _ => None,
    }
}

/// The end of `len` bytes from `start`. BIG TCP has a length of zero.
#[inline(always)]
fn end(start: u32, len: u16) -> u32 {
    if len == 0 {
        u32::MAX
    } else {
        start + u32::from(len)
    }
}

#[inline(always)]
fn load<T: Copy>(skb: Skb, offset: u32) -> Option<T> {
    skb.load(Origin::NetworkHeader, offset)
}

#[inline(always)]
fn load_be(skb: Skb, offset: u32) -> Option<u16> {
    load(skb, offset).map(u16::from_be_bytes)
}
