//! The one place that knows CPUs race.
//!
//! A bucket's time is advanced by compare-and-exchange: who comes second decides again, on the new value. After
//! [`MAX_TRIES`] others in a row, the packet's slot is added unconditionally. So no charge is ever lost, and no
//! packet is dropped because CPUs race.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd};

use aya_ebpf::Global;
use shaper_common::{
    bucket::Bucket,
    joint::{boundless, policed},
    outcome::Outcome,
    pacing::{Limit, Verdict, schedule},
};

use crate::count;

/// How often others may come first. More can hardly get in between, and the verifier follows each try.
const MAX_TRIES: u32 = 16;

/// What [`shaper_try`] returns if another CPU came first: no departure, for these are clock times.
const LOST: u64 = Verdict::BEYOND_HORIZON - 1;

/// 1 in tests: charges by the fallback alone.
#[unsafe(no_mangle)]
static FORCE_FALLBACK: Global<u32> = Global::new(0);

/// 1 on devices without `fq`: what would have to wait is dropped.
#[unsafe(no_mangle)]
static POLICE: Global<u32> = Global::new(0);

/// Whether packets that would have to wait are dropped, and nothing is stamped.
#[inline(always)]
pub(crate) fn is_policing() -> bool {
    POLICE.load() != 0
}

/// A limit, and the bucket it is charged to.
#[derive(Clone, Copy)]
pub(crate) struct Charged<'a> {
    pub(crate) limit: &'a Limit,
    pub(crate) bucket: *mut Bucket,
}

/// Schedules a packet of `wire_len` bytes and charges it to its own bucket and to its group's: to both, or to neither
/// if it is beyond a horizon.
#[inline(always)]
pub(crate) fn both(own: Charged<'_>, group: Option<Charged<'_>>, now_ns: u64, wire_len: u32) -> Verdict {
    let Some(group) = group else {
        return charge(own.bucket, own.limit, &enforced(own.limit), now_ns, wire_len);
    };
    // SAFETY: as in `charge`.
    let group_ticks = unsafe { (&raw const (*group.bucket).last_departure_ticks).read_volatile() };
    if schedule(&enforced(group.limit), group_ticks, now_ns, wire_len) == Verdict::BeyondHorizon {
        return Verdict::BeyondHorizon;
    }
    let own_ticks = contend(own, enforced(own.limit).horizon_ticks, now_ns, wire_len);
    if own_ticks == Verdict::BEYOND_HORIZON {
        return Verdict::BeyondHorizon;
    }
    // Other members may have filled the group's queue meanwhile. It is charged nonetheless: half a charge would be
    // worse than a queue that is longer by as many packets as there are CPUs.
    let group_ticks = contend(group, u64::MAX, now_ns, wire_len);
    Verdict::starting_at_later((own_ticks, own.limit), (group_ticks, group.limit), now_ns)
}

/// The limit as this device can enforce it.
#[inline(always)]
fn enforced(limit: &Limit) -> Limit {
    if is_policing() { policed(limit) } else { *limit }
}

/// Schedules a packet of `wire_len` bytes and charges it to `bucket`, unless it is beyond the horizon of `limit`,
/// which is `rule` but for that.
#[inline(always)]
fn charge(bucket: *mut Bucket, rule: &Limit, limit: &Limit, now_ns: u64, wire_len: u32) -> Verdict {
    // SAFETY: `bucket` is a map's value: one of an array, which lives as long as the program, or one of a hash, whose
    // memory is used for nothing but buckets as long as the program runs.
    let time = unsafe { &raw mut (*bucket).last_departure_ticks };
    if FORCE_FALLBACK.load() == 0 {
        // SAFETY: as above; aligned, and volatile because the target has no atomic load.
        let last_departure_ticks = unsafe { time.read_volatile() };
        let verdict = schedule(limit, last_departure_ticks, now_ns, wire_len);
        let Some(next_ticks) = verdict.next_ticks() else {
            return verdict;
        };
        // SAFETY: as above.
        if unsafe { compare_exchange(time, last_departure_ticks, next_ticks) } == last_departure_ticks {
            return verdict;
        }
    }
    let start_ticks = contend(
        Charged { limit: rule, bucket },
        limit.horizon_ticks,
        now_ns,
        wire_len,
    );
    Verdict::starting_at(start_ticks, rule, now_ns)
}

/// Calls [`shaper_contend`].
#[inline(always)]
fn contend(charged: Charged<'_>, horizon_ticks: u64, now_ns: u64, wire_len: u32) -> u64 {
    // SAFETY: a map's value, as in `charge`, and a rule that outlives the packet.
    unsafe {
        let time = &raw mut (*charged.bucket).last_departure_ticks;
        shaper_contend(time, charged.limit, now_ns, wire_len, horizon_ticks)
    }
}

/// The same after another CPU came first: tries again, and in the end charges unconditionally. Returns when the
/// packet's slot starts, in ticks, for [`Verdict::starting_at`].
///
/// The kernel verifies a function that is visible from outside once, and not for each way to it.
///
/// # Safety
///
/// `time` and `rule` are valid and aligned.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text")]
#[inline(never)]
unsafe extern "C" fn shaper_contend(
    time: *mut u64,
    rule: *const Limit,
    now_ns: u64,
    wire_len: u32,
    horizon_ticks: u64,
) -> u64 {
    if time.is_null() || rule.is_null() {
        return Verdict::BEYOND_HORIZON;
    }
    if FORCE_FALLBACK.load() == 0 {
        for _ in 0..MAX_TRIES {
            // SAFETY: promised by the caller.
            let start_ticks = unsafe { shaper_try(time, rule, now_ns, wire_len, horizon_ticks) };
            if start_ticks != LOST {
                return start_ticks;
            }
        }
    }
    count::total(Outcome::Contended);
    // SAFETY: promised by the caller.
    let rule = unsafe { &*rule };
    // SAFETY: as above.
    let last_departure_ticks = unsafe { fetch_add(time, rule.slot_ticks(wire_len)) };
    // It is charged already, so it is sent. The bucket is in use, hence its credit needs no clamp: others
    // advanced it beyond `now - burst` a moment ago.
    schedule(&boundless(rule), last_departure_ticks, now_ns, wire_len).start_ticks(last_departure_ticks)
}

/// Tries once; [`LOST`] if another CPU came first. Apart from the loop around it, so that the kernel verifies it once.
///
/// # Safety
///
/// `time` and `rule` are valid and aligned.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text")]
#[inline(never)]
unsafe extern "C" fn shaper_try(
    time: *mut u64,
    rule: *const Limit,
    now_ns: u64,
    wire_len: u32,
    horizon_ticks: u64,
) -> u64 {
    if time.is_null() || rule.is_null() {
        return Verdict::BEYOND_HORIZON;
    }
    // SAFETY: promised by the caller; volatile because the target has no atomic load.
    let (rule, last_departure_ticks) = unsafe { (&*rule, time.read_volatile()) };
    let limit = Limit {
        horizon_ticks,
        ..*rule
    };
    let verdict = schedule(&limit, last_departure_ticks, now_ns, wire_len);
    if let Some(next_ticks) = verdict.next_ticks()
        // SAFETY: promised by the caller.
        && unsafe { compare_exchange(time, last_departure_ticks, next_ticks) } != last_departure_ticks
    {
        return LOST;
    }
    verdict.start_ticks(last_departure_ticks)
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
