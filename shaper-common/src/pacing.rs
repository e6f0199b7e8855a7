//! The decision: when may this packet leave?
//!
//! A bucket is one number, the end of the previous packet's slot (GCRA, a virtual clock). Finding the limit,
//! storing the result and acting on it are left to others.

use crate::{
    NSEC_PER_SEC, TICKS_PER_NSEC,
    packed::{MAX_TICKS, held_ticks},
};

/// Fraction bits of [`Limit::ticks_per_byte`]: rounding stays below 7 ppm up to 1600 Gbit/s.
pub const RATE_FRACTION_BITS: u32 = 18;

/// Longest packet that is charged in full, in bytes. The kernel's largest is 8 * 65535 plus headers.
pub const MAX_WIRE_LEN: u32 = (1 << 20) - 1;

/// Slowest rate a limit can hold, in bytes per second: 8 kbit/s.
pub const MIN_RATE_BYTES_PER_SEC: u64 = 1_000;

/// Fastest rate a limit can hold, in bytes per second: 1600 Gbit/s.
pub const MAX_RATE_BYTES_PER_SEC: u64 = 200_000_000_000;

/// Rate, burst, horizon and marking threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Time one byte takes at the rate, in ticks, with [`RATE_FRACTION_BITS`] fraction bits.
    pub ticks_per_byte: u64,
    /// How far an idle bucket falls behind now: the credit it keeps, in ticks.
    pub burst_ticks: u64,
    /// A packet that would have to wait longer is dropped, in ticks.
    pub horizon_ticks: u64,
    /// A packet that waits longer is marked if it can carry a mark, in ticks; no horizon is longer than
    /// [`MAX_TICKS`], which therefore marks nothing.
    pub ecn_ticks: u64,
}

impl Limit {
    /// A limit of `rate_bytes_per_sec`, with times in nanoseconds; `ecn_ns` of `None` never marks.
    ///
    /// Horizon and threshold are held to 8 ns, rounded up, and up to 34 s. The rate is clamped to what [`ticks_per_byte`](Self::ticks_per_byte) can hold; user space refuses
    /// rates outside [`MIN_RATE_BYTES_PER_SEC`]..=[`MAX_RATE_BYTES_PER_SEC`] before it gets here.
    #[must_use]
    pub const fn new(rate_bytes_per_sec: u64, burst_ns: u64, horizon_ns: u64, ecn_ns: Option<u64>) -> Self {
        let rate = if rate_bytes_per_sec < MIN_RATE_BYTES_PER_SEC {
            MIN_RATE_BYTES_PER_SEC
        } else if rate_bytes_per_sec > MAX_RATE_BYTES_PER_SEC {
            MAX_RATE_BYTES_PER_SEC
        } else {
            rate_bytes_per_sec
        };
        let per_byte = (NSEC_PER_SEC * TICKS_PER_NSEC) << RATE_FRACTION_BITS;
        Self {
            ticks_per_byte: (per_byte + rate / 2) / rate,
            burst_ticks: burst_ns.saturating_mul(TICKS_PER_NSEC),
            horizon_ticks: held_ticks(horizon_ns),
            ecn_ticks: match ecn_ns {
                Some(ns) => held_ticks(ns),
                None => MAX_TICKS,
            },
        }
    }

    /// Time a packet of `wire_len` bytes occupies at the rate, in ticks, rounded to the nearest.
    #[inline]
    #[must_use]
    pub const fn slot_ticks(&self, wire_len: u32) -> u64 {
        let wire_len = if wire_len > MAX_WIRE_LEN {
            MAX_WIRE_LEN
        } else {
            wire_len
        };
        // 2^44 (the slowest rate) times 2^20 (the longest packet) fits a u64; half a tick more does too.
        (wire_len as u64 * self.ticks_per_byte + (1 << (RATE_FRACTION_BITS - 1))) >> RATE_FRACTION_BITS
    }
}

const _: () = {
    let slowest = Limit::new(MIN_RATE_BYTES_PER_SEC, 0, 0, None).ticks_per_byte;
    assert!(slowest <= (u64::MAX - (1 << RATE_FRACTION_BITS)) / MAX_WIRE_LEN as u64);
};

/// What becomes of a packet that a limit covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Within the rate: it leaves at once.
    Conforming {
        /// The bucket's next value.
        last_departure_ticks: u64,
    },
    /// It waits.
    Paced {
        /// Earliest moment it may leave, on the monotonic clock; later than now.
        departure_ns: u64,
        /// The bucket's next value.
        last_departure_ticks: u64,
        /// It waits longer than the marking threshold.
        is_marked: bool,
    },
    /// It would wait beyond the horizon: dropped, and the bucket keeps its value.
    BeyondHorizon,
}

/// The clock's value in ticks.
#[inline]
#[must_use]
pub const fn ticks(now_ns: u64) -> u64 {
    now_ns.wrapping_mul(TICKS_PER_NSEC)
}

/// Earliest whole nanosecond that is not before `departure_ticks`.
#[inline]
#[must_use]
pub const fn departure_ns(departure_ticks: u64) -> u64 {
    departure_ticks.wrapping_add(TICKS_PER_NSEC - 1) / TICKS_PER_NSEC
}

/// Schedules a packet of `wire_len` bytes that shows up at `now_ns`.
///
/// `last_departure_ticks` is the end of the previous packet's slot. An idle bucket falls behind `now_ns` by at
/// most the burst, and always admits one packet, whatever its size. The horizon is tested before anything is
/// charged: a dropped packet costs its destination nothing.
#[inline]
#[must_use]
pub fn schedule(limit: &Limit, last_departure_ticks: u64, now_ns: u64, wire_len: u32) -> Verdict {
    let now_ticks = ticks(now_ns);
    let slot_ticks = limit.slot_ticks(wire_len);
    if last_departure_ticks <= now_ticks {
        let credit_from_ticks = now_ticks.saturating_sub(limit.burst_ticks);
        let start_ticks = last_departure_ticks.max(credit_from_ticks);
        return Verdict::Conforming {
            last_departure_ticks: start_ticks.wrapping_add(slot_ticks),
        };
    }
    let wait_ticks = last_departure_ticks - now_ticks;
    if wait_ticks > limit.horizon_ticks {
        return Verdict::BeyondHorizon;
    }
    Verdict::Paced {
        departure_ns: departure_ns(last_departure_ticks),
        last_departure_ticks: last_departure_ticks.wrapping_add(slot_ticks),
        is_marked: wait_ticks > limit.ecn_ticks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_NS: u64 = 1_000_000_000;

    /// One byte per nanosecond: lengths and times read alike.
    const LIMIT: Limit = Limit::new(NSEC_PER_SEC, 1_500, 10_000, Some(5_000));

    fn at(last_departure_ns: u64, wire_len: u32) -> Verdict {
        schedule(&LIMIT, ticks(last_departure_ns), NOW_NS, wire_len)
    }

    #[test]
    fn a_byte_takes_a_nanosecond_at_a_gigabyte_per_second() {
        assert_eq!(LIMIT.slot_ticks(1), TICKS_PER_NSEC);
        assert_eq!(LIMIT.slot_ticks(1500), 1500 * TICKS_PER_NSEC);
    }

    #[test]
    fn the_horizon_itself_is_still_sent() {
        let last_ns = NOW_NS + 10_000;
        assert_eq!(
            at(last_ns, 100),
            Verdict::Paced {
                departure_ns: last_ns,
                last_departure_ticks: ticks(last_ns + 100),
                is_marked: true
            }
        );
        assert_eq!(
            schedule(&LIMIT, ticks(last_ns) + 1, NOW_NS, 100),
            Verdict::BeyondHorizon
        );
    }

    #[test]
    fn a_packet_due_now_does_not_wait() {
        assert_eq!(
            at(NOW_NS, 100),
            Verdict::Conforming {
                last_departure_ticks: ticks(NOW_NS + 100)
            }
        );
        let one_tick_late = schedule(&LIMIT, ticks(NOW_NS) + 1, NOW_NS, 100);
        assert_eq!(
            one_tick_late,
            Verdict::Paced {
                departure_ns: NOW_NS + 1,
                last_departure_ticks: ticks(NOW_NS + 100) + 1,
                is_marked: false
            }
        );
    }

    #[test]
    fn an_idle_bucket_keeps_a_burst_and_no_more() {
        let burst_start = NOW_NS - 1_500;
        let expected = Verdict::Conforming {
            last_departure_ticks: ticks(burst_start + 100),
        };
        assert_eq!(at(0, 100), expected);
        assert_eq!(at(burst_start, 100), expected);
        assert_eq!(
            at(burst_start + 1, 100),
            Verdict::Conforming {
                last_departure_ticks: ticks(burst_start + 101)
            }
        );
    }

    #[test]
    fn an_idle_bucket_admits_one_packet_of_any_size() {
        let limit = Limit::new(MIN_RATE_BYTES_PER_SEC, 0, 0, None);
        let Verdict::Conforming { last_departure_ticks } = schedule(&limit, 0, NOW_NS, MAX_WIRE_LEN) else {
            panic!("refused");
        };
        assert_eq!(
            last_departure_ticks,
            ticks(NOW_NS) + limit.slot_ticks(MAX_WIRE_LEN)
        );
        assert_eq!(
            schedule(&limit, last_departure_ticks, NOW_NS, 1),
            Verdict::BeyondHorizon
        );
    }

    #[test]
    fn the_marking_threshold_itself_is_not_marked() {
        let marked = |last_ticks| match schedule(&LIMIT, last_ticks, NOW_NS, 100) {
            Verdict::Paced { is_marked, .. } => is_marked,
            other => panic!("{other:?}"),
        };
        assert!(!marked(ticks(NOW_NS + 5_000)));
        assert!(marked(ticks(NOW_NS + 5_000) + 1));
    }

    #[test]
    fn without_a_threshold_nothing_is_marked() {
        let limit = Limit::new(NSEC_PER_SEC, 0, u64::MAX, None);
        let verdict = schedule(&limit, ticks(NOW_NS * 2), NOW_NS, 1);
        assert!(matches!(verdict, Verdict::Paced { is_marked: false, .. }));
    }

    #[test]
    fn a_clock_younger_than_the_burst_does_not_wrap() {
        let verdict = schedule(&LIMIT, 0, 10, 100);
        assert_eq!(
            verdict,
            Verdict::Conforming {
                last_departure_ticks: ticks(100)
            }
        );
    }

    #[test]
    fn rates_are_exact_to_seven_ppm() {
        for rate in [
            1_000_u64,
            125_000,
            1_234_567,
            125_000_000,
            12_500_000_000,
            // Cut off, not rounded, this one would be twelve ppm too fast.
            199_997_900_000,
            MAX_RATE_BYTES_PER_SEC,
        ] {
            let exact = u128::from(NSEC_PER_SEC * TICKS_PER_NSEC) << RATE_FRACTION_BITS;
            let held = u128::from(Limit::new(rate, 0, 0, None).ticks_per_byte) * u128::from(rate);
            assert!(
                held.abs_diff(exact) * 1_000_000 <= exact * 7,
                "{rate}: {held} for {exact}"
            );
        }
    }

    #[test]
    fn a_packet_longer_than_any_real_one_is_charged_as_the_longest() {
        assert_eq!(LIMIT.slot_ticks(u32::MAX), LIMIT.slot_ticks(MAX_WIRE_LEN));
        assert_eq!(
            LIMIT.slot_ticks(MAX_WIRE_LEN),
            u64::from(MAX_WIRE_LEN) * TICKS_PER_NSEC
        );
    }
}
