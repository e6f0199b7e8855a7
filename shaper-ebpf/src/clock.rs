//! The clock that `fq` compares departure times with.

use aya_ebpf::{Global, helpers::bpf_ktime_get_ns};

use crate::{lookup::Lookup as _, maps::CLOCK};

/// 1 in tests. The verifier removes the branch that is not taken.
#[unsafe(no_mangle)]
static FAKE_CLOCK: Global<u32> = Global::new(0);

/// `CLOCK_MONOTONIC`, in nanoseconds. The most expensive single step: read only for packets with a limit.
#[inline(always)]
pub(crate) fn now_ns() -> u64 {
    if FAKE_CLOCK.load() != 0 {
        // SAFETY: an element of an array map; the tests write it while no program runs.
        return CLOCK.lookup(&0).map_or(0, |clock| unsafe { *clock });
    }
    // SAFETY: takes nothing and touches nothing.
    unsafe { bpf_ktime_get_ns() }
}
