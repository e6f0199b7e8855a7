//! Adds to a client's bucket what the loader found in another bucket of his; see [`shaper_common::transfer`].

use aya_ebpf::{macros::classifier, programs::TcContext};
use shaper_common::{
    bucket::Bucket,
    transfer::{OFFSET, Transfer, Transferred},
};

use crate::{
    charge::{add, compare_exchange},
    lookup::{Lookup as _, inner},
    maps::CLIENTS,
    skb::{Origin, Skb},
};

/// Run by the loader alone, and attached nowhere. The packet holds a [`Transfer`]; what is returned is a [`Transferred`].
#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "the macro calls it so")]
pub fn shaper_transfer(ctx: TcContext) -> i32 {
    let transferred = match Skb::of(&ctx).load::<Transfer>(Origin::Data, OFFSET) {
        Some(transfer) => apply(&transfer),
        None => Transferred::Nobody,
    };
    transferred as i32
}

#[inline(always)]
fn apply(transfer: &Transfer) -> Transferred {
    let Some(bucket) = inner(&CLIENTS, 0).and_then(|clients| clients.lookup(&transfer.client)) else {
        return Transferred::Nobody;
    };
    let more = &transfer.more;
    // SAFETY: a map's value; see `charge`.
    unsafe {
        add_counters(bucket, more);
        let time = &raw mut (*bucket).last_departure_ticks;
        if compare_exchange(time, transfer.expected_ticks, transfer.next_ticks) == transfer.expected_ticks {
            return Transferred::Exchanged;
        }
        add(time, more.last_departure_ticks);
    };
    Transferred::Added
}

/// Adds to everything but the time.
///
/// # Safety
///
/// `bucket` is valid and aligned.
#[inline(always)]
unsafe fn add_counters(bucket: *mut Bucket, more: &Bucket) {
    // SAFETY: promised by the caller.
    unsafe {
        add(&raw mut (*bucket).sent_bytes, more.sent_bytes);
        add(&raw mut (*bucket).sent_packets, more.sent_packets);
        add(&raw mut (*bucket).paced_packets, more.paced_packets);
        add(&raw mut (*bucket).marked_packets, more.marked_packets);
        add(&raw mut (*bucket).dropped_packets, more.dropped_packets);
        add(&raw mut (*bucket).shared_ticks, more.shared_ticks);
    }
}
