//! Bytes a packet takes on the wire.

use aya_ebpf::Global;
use shaper_common::header::VLAN_TAG_LEN;

use crate::{encap, skb::Skb};

/// Bytes each segment takes beyond what the kernel counts: 24 for Ethernet's preamble, checksum and gap.
#[unsafe(no_mangle)]
static OVERHEAD: Global<u32> = Global::new(0);

/// The wire length: every segment with its headers, the tag the device adds and the overhead.
#[inline(always)]
pub(crate) fn len(skb: Skb) -> u32 {
    let len = skb.len();
    let wire_len = skb.wire_len();
    let mut overhead = OVERHEAD.load();
    if skb.vlan_present() {
        overhead += VLAN_TAG_LEN;
    }
    if wire_len <= len {
        return len.wrapping_add(overhead);
    }
    let segments = n_segments(skb, len);
    let header_len = encap::header_len(skb);
    let wire_len = if header_len == 0 || segments == 1 {
        wire_len
    } else {
        len.wrapping_add((segments - 1).wrapping_mul(header_len))
    };
    wire_len.wrapping_add(segments.wrapping_mul(overhead))
}

/// Segments that a packet of `len` bytes, known to have several, is cut into.
#[inline(always)]
fn n_segments(skb: Skb, len: u32) -> u32 {
    let segments = skb.gso_segs();
    if segments != 0 {
        return segments;
    }
    // Virtual machines leave the number to be found out. Counting headers as payload adds one at most.
    match skb.gso_size() {
        0 => 1,
        size => len.div_ceil(size),
    }
}
