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
    packed::PackedLimit,
};

use crate::{count, shared::shaper_wait};

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
    pub(crate) limit: &'a PackedLimit,
    pub(crate) bucket: *mut Bucket,
}

impl Charged<'_> {
    /// Where the bucket keeps its time.
    #[inline(always)]
    fn time(self) -> *mut u64 {
        // SAFETY: `bucket` is a map's value: one of an array, which lives as long as the program, or one of a hash,
        // whose memory is used for nothing but buckets as long as the program runs.
        unsafe { &raw mut (*self.bucket).last_departure_ticks }
    }

    #[inline(always)]
    fn last_departure_ticks(self) -> u64 {
        // SAFETY: as above; aligned, and volatile because the target has no atomic load.
        unsafe { self.time().read_volatile() }
    }

    /// When a packet would start if it were charged now, in ticks; zero is at once.
    #[inline(always)]
    fn start_ticks(self, now_ns: u64, wire_len: u32) -> Result<u64, Outcome> {
        let last_departure_ticks = self.last_departure_ticks();
        let verdict = schedule(&enforced(self.limit), last_departure_ticks, now_ns, wire_len);
        match verdict {
            Verdict::BeyondHorizon => Err(Outcome::BeyondHorizon),
            verdict => Ok(verdict.start_ticks(last_departure_ticks)),
        }
    }
}

/// What else there is to a packet than its own bucket.
#[derive(Clone, Copy)]
pub(crate) struct Others<'a> {
    /// The limit of its rule's group.
    pub(crate) group: Option<Charged<'a>>,
    /// Most packets that may wait as it would; zero is any number. See [`crate::shared`].
    pub(crate) max_shared: u32,
}

/// Nothing else.
pub(crate) const NO_OTHERS: Others<'static> = Others {
    group: None,
    max_shared: 0,
};

/// Schedules a packet of `wire_len` bytes and charges it to its own bucket and to its group's: to both, or to neither
/// if it is to be dropped.
#[inline(always)]
pub(crate) fn all(
    own: Charged<'_>,
    others: Others<'_>,
    now_ns: u64,
    wire_len: u32,
) -> Result<Verdict, Outcome> {
    let Some(group) = others.group else {
        if others.max_shared != 0 {
            let start_ticks = own.start_ticks(now_ns, wire_len)?;
            find_place(own, start_ticks, others.max_shared, now_ns, wire_len)?;
        }
        return charge(own, now_ns, wire_len);
    };
    let mut later_ticks = group.start_ticks(now_ns, wire_len)?;
    if others.max_shared != 0 {
        later_ticks = later_ticks.max(own.start_ticks(now_ns, wire_len)?);
        find_place(own, later_ticks, others.max_shared, now_ns, wire_len)?;
    }
    let own_ticks = contend(own, enforced(own.limit).horizon_ticks, now_ns, wire_len);
    if own_ticks == Verdict::BEYOND_HORIZON {
        return Err(Outcome::BeyondHorizon);
    }
    // Other members may have filled the group's queue meanwhile. It is charged nonetheless: half a charge would be
    // worse than a queue that is longer by as many packets as there are CPUs.
    let group_ticks = contend(group, u64::MAX, now_ns, wire_len);
    Ok(Verdict::starting_at_later(
        (own_ticks, &own.limit.unpacked()),
        (group_ticks, &group.limit.unpacked()),
        now_ns,
    ))
}

/// The limit as this device can enforce it.
#[inline(always)]
fn enforced(limit: &PackedLimit) -> Limit {
    let limit = limit.unpacked();
    if is_policing() { policed(&limit) } else { limit }
}

/// Finds a place for a packet to wait until `start_ticks`, where that is later than at once.
#[inline(always)]
fn find_place(
    own: Charged<'_>,
    start_ticks: u64,
    max_shared: u32,
    now_ns: u64,
    wire_len: u32,
) -> Result<(), Outcome> {
    if start_ticks != 0 && shaper_wait(own.bucket, max_shared, start_ticks, now_ns, wire_len) == 0 {
        return Err(Outcome::SharedFull);
    }
    Ok(())
}

/// Schedules a packet of `wire_len` bytes and charges it, unless it is to be dropped.
#[inline(always)]
fn charge(own: Charged<'_>, now_ns: u64, wire_len: u32) -> Result<Verdict, Outcome> {
    let limit = enforced(own.limit);
    if FORCE_FALLBACK.load() == 0 {
        let last_departure_ticks = own.last_departure_ticks();
        let verdict = schedule(&limit, last_departure_ticks, now_ns, wire_len);
        let next_ticks = verdict.next_ticks().ok_or(Outcome::BeyondHorizon)?;
        // SAFETY: a map's value, as in `last_departure_ticks`.
        if unsafe { compare_exchange(own.time(), last_departure_ticks, next_ticks) } == last_departure_ticks {
            return Ok(verdict);
        }
    }
    let start_ticks = contend(own, limit.horizon_ticks, now_ns, wire_len);
    if start_ticks == Verdict::BEYOND_HORIZON {
        return Err(Outcome::BeyondHorizon);
    }
    Ok(Verdict::starting_at(start_ticks, &own.limit.unpacked(), now_ns))
}

/// Calls [`shaper_contend`].
#[inline(always)]
fn contend(charged: Charged<'_>, horizon_ticks: u64, now_ns: u64, wire_len: u32) -> u64 {
    // SAFETY: a map's value, as in `last_departure_ticks`, and a rule that outlives the packet.
    unsafe { shaper_contend(charged.time(), charged.limit, now_ns, wire_len, horizon_ticks) }
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
    rule: *const PackedLimit,
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
    let rule = unsafe { (*rule).unpacked() };
    // SAFETY: as above.
    let last_departure_ticks = unsafe { fetch_add(time, rule.slot_ticks(wire_len)) };
    // It is charged already, so it is sent. The bucket is in use, hence its credit needs no clamp: others
    // advanced it beyond `now - burst` a moment ago.
    schedule(&boundless(&rule), last_departure_ticks, now_ns, wire_len).start_ticks(last_departure_ticks)
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
    rule: *const PackedLimit,
    now_ns: u64,
    wire_len: u32,
    horizon_ticks: u64,
) -> u64 {
    if time.is_null() || rule.is_null() {
        return Verdict::BEYOND_HORIZON;
    }
    // SAFETY: promised by the caller; volatile because the target has no atomic load.
    let (rule, last_departure_ticks) = unsafe { ((*rule).unpacked(), time.read_volatile()) };
    let limit = Limit {
        horizon_ticks,
        ..rule
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
pub(crate) unsafe fn compare_exchange(time: *mut u64, expected: u64, next: u64) -> u64 {
    // SAFETY: promised by the caller.
    unsafe {
        atomic_cxchg::<u64, { AtomicOrdering::AcqRel }, { AtomicOrdering::Acquire }>(time, expected, next).0
    }
}
