//! Packets of sockets that serve several clients: few of one bucket may wait, see [`shaper_common::shared`].

use core::num::NonZeroU32;

use shaper_common::{bucket::Bucket, pacing::ticks, rule::Rule, shared::admit};

use crate::skb::Skb;

/// Whether a rule says how many may wait, and this packet is one of them.
#[inline(always)]
pub(crate) fn applies(skb: Skb, rule: &Rule) -> bool {
    rule.shared_packets != 0 && skb.is_of_shared_socket()
}

/// Lets a packet wait until `start_ticks`, or returns zero if it may not: `max_packets` do already.
///
/// Of two CPUs that are here at the same time, one's packet may go uncounted: then one more waits. Visible from outside:
/// the kernel verifies it once, and it has a stack of its own.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text")]
#[inline(never)]
pub(crate) extern "C" fn shaper_wait(
    bucket: *mut Bucket,
    max_packets: u32,
    start_ticks: u64,
    now_ns: u64,
    wire_len: u32,
) -> u32 {
    let (Some(max_packets), now_ticks) = (NonZeroU32::new(max_packets), ticks(now_ns)) else {
        return 1;
    };
    if bucket.is_null() {
        return 0;
    }
    // SAFETY: not null, hence a map's value; see `charge`.
    let taken = unsafe { &raw mut (*bucket).shared_ticks };
    // SAFETY: as above, and aligned.
    let taken_ticks = unsafe { taken.read_volatile() };
    let wait_ticks = start_ticks.wrapping_sub(now_ticks);
    match admit(taken_ticks, now_ticks, wait_ticks, wire_len, max_packets) {
        Some(next_ticks) => {
            // SAFETY: as above.
            unsafe { taken.write_volatile(next_ticks) };
            1
        }
        None => 0,
    }
}
