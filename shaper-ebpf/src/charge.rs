//! The one place that knows CPUs race.
//!
//! A bucket's time is advanced by compare-and-exchange: who comes second decides again, on the new value. After
//! [`MAX_TRIES`] others in a row, the packet's slot is added unconditionally. So no charge is ever lost, and no
//! packet is dropped because CPUs race.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd};

use aya_ebpf::Global;
use shaper_common::{
    bucket::Bucket,
    outcome::Outcome,
    pacing::{Limit, Verdict, schedule},
};

use crate::count;

/// How often others may come first. More than CPUs can queue up while one packet is decided.
const MAX_TRIES: u32 = 64;

/// 1 in tests: charges by the fallback alone.
#[unsafe(no_mangle)]
static FORCE_FALLBACK: Global<u32> = Global::new(0);

/// Schedules a packet of `wire_len` bytes and charges it to `bucket`, unless it is beyond the horizon.
#[inline(always)]
pub(crate) fn charge(bucket: *mut Bucket, limit: &Limit, now_ns: u64, wire_len: u32) -> Verdict {
    // SAFETY: `bucket` is an element of an array map, which lives as long as the program.
    let time = unsafe { &raw mut (*bucket).last_departure_ticks };
    if FORCE_FALLBACK.load() == 0 {
        // SAFETY: as above; aligned, and volatile because the target has no atomic load.
        let mut last_departure_ticks = unsafe { time.read_volatile() };
        for _ in 0..MAX_TRIES {
            let verdict = schedule(limit, last_departure_ticks, now_ns, wire_len);
            let (Verdict::Conforming {
                last_departure_ticks: next_ticks,
            }
            | Verdict::Paced {
                last_departure_ticks: next_ticks,
                ..
            }) = verdict
            else {
                return verdict;
            };
            // SAFETY: as above.
            let seen_ticks = unsafe { compare_exchange(time, last_departure_ticks, next_ticks) };
            if seen_ticks == last_departure_ticks {
                return verdict;
            }
            last_departure_ticks = seen_ticks;
        }
    }
    count::total(Outcome::Contended);
    // SAFETY: as above.
    let last_departure_ticks = unsafe { fetch_add(time, limit.slot_ticks(wire_len)) };
    // It is charged already, so it is sent. The bucket is in use, hence its credit needs no clamp: others
    // advanced it beyond `now - burst` a moment ago.
    let boundless = Limit {
        horizon_ticks: u64::MAX,
        ..*limit
    };
    schedule(&boundless, last_departure_ticks, now_ns, wire_len)
}

/// Adds `value`; the result is not used.
///
/// # Safety
///
/// `counter` is valid and aligned.
#[inline(always)]
pub(crate) unsafe fn add(counter: *mut u64, value: u64) {
    // SAFETY: promised by the caller.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, value) };
}

/// Adds `value` and returns what was there before.
///
/// # Safety
///
/// `time` is valid and aligned.
#[inline(always)]
unsafe fn fetch_add(time: *mut u64, value: u64) -> u64 {
    // Relaxed, LLVM takes the result for unused and returns `value` instead:
    // https://github.com/llvm/llvm-project/issues/210280
    // SAFETY: promised by the caller.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::AcqRel }>(time, value) }
}

/// Stores `next` if `expected` is still there. Returns what was there.
///
/// # Safety
///
/// `time` is valid and aligned.
#[inline(always)]
unsafe fn compare_exchange(time: *mut u64, expected: u64, next: u64) -> u64 {
    // SAFETY: promised by the caller.
    unsafe {
        atomic_cxchg::<u64, { AtomicOrdering::AcqRel }, { AtomicOrdering::Acquire }>(time, expected, next).0
    }
}
