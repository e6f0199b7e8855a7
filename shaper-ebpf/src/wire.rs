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
    let mut wire_len = skb.wire_len();
    let mut segments = 1;
    if wire_len > len {
        segments = skb.gso_segs().max(1);
        let header_len = encap::header_len(skb);
        if header_len != 0 {
            wire_len = len.wrapping_add((segments - 1).wrapping_mul(header_len));
        }
    }
    let mut overhead = OVERHEAD.load();
    if skb.vlan_present() {
        overhead += VLAN_TAG_LEN;
    }
    wire_len.max(len).wrapping_add(segments.wrapping_mul(overhead))
}
