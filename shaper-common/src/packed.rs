//! A limit as maps hold it. A million of them are resident, so times that need no ticks have none.

use crate::{TICKS_PER_NSEC, pacing::Limit};

/// Ticks in a unit of [`PackedLimit::horizon_units`]: 8 ns.
const UNIT_TICKS: u64 = 8 * TICKS_PER_NSEC;

/// Longest time that can be held, in ticks: 34 seconds.
pub const MAX_TICKS: u64 = u32::MAX as u64 * UNIT_TICKS;

/// A [`Limit`] in three quarters of the space.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackedLimit {
    /// As in [`Limit`].
    pub ticks_per_byte: u64,
    /// As in [`Limit`].
    pub burst_ticks: u64,
    /// [`Limit::horizon_ticks`] in units of 8 ns.
    pub horizon_units: u32,
    /// [`Limit::ecn_ticks`] in units of 8 ns; the largest number marks nothing, for no horizon is longer.
    pub ecn_units: u32,
}

impl PackedLimit {
    /// Packs what [`Limit::new`] makes without loss.
    #[inline]
    #[must_use]
    pub const fn new(limit: Limit) -> Self {
        Self {
            ticks_per_byte: limit.ticks_per_byte,
            burst_ticks: limit.burst_ticks,
            horizon_units: units(limit.horizon_ticks),
            ecn_units: units(limit.ecn_ticks),
        }
    }

    /// The limit.
    #[inline]
    #[must_use]
    pub const fn unpacked(&self) -> Limit {
        Limit {
            ticks_per_byte: self.ticks_per_byte,
            burst_ticks: self.burst_ticks,
            horizon_ticks: self.horizon_units as u64 * UNIT_TICKS,
            ecn_ticks: self.ecn_units as u64 * UNIT_TICKS,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the most that fits was chosen before"
)]
const fn units(ticks: u64) -> u32 {
    if ticks > MAX_TICKS {
        u32::MAX
    } else {
        (ticks / UNIT_TICKS) as u32
    }
}

/// The shortest time of at least `ns` that can be held, in ticks; the longest of all, if there is none.
pub(crate) const fn held_ticks(ns: u64) -> u64 {
    let ticks = ns.saturating_mul(TICKS_PER_NSEC);
    if ticks > MAX_TICKS {
        MAX_TICKS
    } else {
        ticks.div_ceil(UNIT_TICKS) * UNIT_TICKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NSEC_PER_SEC;

    #[test]
    fn what_is_made_of_numbers_of_nanoseconds_is_packed_without_loss() {
        for (horizon_ns, ecn_ns) in [
            (0, None),
            (1, Some(1)),
            (200_000_000, Some(5_000_000)),
            (12_345_678_901, Some(7)),
            (30 * NSEC_PER_SEC, Some(30 * NSEC_PER_SEC)),
            (u64::MAX, Some(u64::MAX)),
        ] {
            let limit = Limit::new(1_000_000, 12_345_677, horizon_ns, ecn_ns);
            assert_eq!(PackedLimit::new(limit).unpacked(), limit);
        }
    }

    #[test]
    fn a_time_is_held_to_eight_nanoseconds_and_never_shortened() {
        for (ns, held_ns) in [
            (0, 0),
            (1, 8),
            (8, 8),
            (9, 16),
            (30 * NSEC_PER_SEC, 30 * NSEC_PER_SEC),
        ] {
            assert_eq!(held_ticks(ns), held_ns * TICKS_PER_NSEC);
        }
        assert_eq!(held_ticks(u64::MAX), MAX_TICKS);
        const { assert!(MAX_TICKS > 34 * NSEC_PER_SEC * TICKS_PER_NSEC) };
    }
}
