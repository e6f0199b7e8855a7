//! Counters: of a bucket, and totals by outcome.

use shaper_common::{bucket::Bucket, outcome::Outcome};

use crate::{charge::add, lookup::Lookup as _, maps::TOTALS};

/// Counts a packet, or something that befell it.
#[inline(always)]
pub(crate) fn total(outcome: Outcome) {
    total_at(outcome as u32);
}

/// The same by the outcome's index.
#[inline(always)]
pub(crate) fn total_at(index: u32) {
    if let Some(total) = TOTALS.lookup(&index) {
        // SAFETY: this CPU's own slot; the hook runs with softirqs off, so nothing comes in between.
        unsafe { *total = (*total).wrapping_add(1) };
    }
}

/// Counts a packet that is sent, at once or later.
#[inline(always)]
pub(crate) fn sent(bucket: *mut Bucket, wire_len: u32) {
    // SAFETY: `bucket` is a map's value; see `charge`.
    unsafe {
        add(&raw mut (*bucket).sent_bytes, u64::from(wire_len));
        add(&raw mut (*bucket).sent_packets, 1);
    }
}

/// Counts a packet that is sent later, perhaps marked CE.
#[inline(always)]
pub(crate) fn paced(bucket: *mut Bucket, wire_len: u32, is_marked: bool) {
    sent(bucket, wire_len);
    // SAFETY: as in `sent`.
    unsafe { add(&raw mut (*bucket).paced_packets, 1) };
    if is_marked {
        // SAFETY: as in `sent`.
        unsafe { add(&raw mut (*bucket).marked_packets, 1) };
    }
}

/// Counts a packet that is dropped.
#[inline(always)]
pub(crate) fn dropped(bucket: *mut Bucket) {
    // SAFETY: as in `sent`.
    unsafe { add(&raw mut (*bucket).dropped_packets, 1) };
}
