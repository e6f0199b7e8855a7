//! Departure times that packets already carry.
//!
//! TCP, BBR and `SO_TXTIME` stamp packets themselves; forwarded packets may carry a receive time of another
//! clock. The later of a plausible stamp and ours counts; a stamp never advances a bucket.

/// `skb->tstamp_type` of a monotonic delivery time, in every kernel since 6.1.
pub const CLOCK_MONOTONIC: u8 = 1;

/// `skb->tstamp_type` of a TAI delivery time, since 6.12.
pub const CLOCK_TAI: u8 = 2;

/// The `horizon` our `fq` has, in nanoseconds. Longer than [`MAX_HORIZON_NS`], so that `fq` drops nothing that
/// a bucket was charged for. A stamp further away is implausible: `fq` would drop the packet.
pub const FQ_HORIZON_NS: u64 = 40 * crate::NSEC_PER_SEC;

/// Longest horizon a limit may have, in nanoseconds: 48 full packets at 20 kbit/s take 29 s.
pub const MAX_HORIZON_NS: u64 = 30 * crate::NSEC_PER_SEC;

const _: () = assert!(MAX_HORIZON_NS < FQ_HORIZON_NS);

/// No uptime is longer than this, in nanoseconds: a larger value of type 0 is a wall-clock time. The bound of
/// the kernel's `fq_skb_tstamp_to_mono` (`TIME_UPTIME_SEC_MAX`, 30 years).
pub const MAX_UPTIME_NS: u64 = 30 * 365 * 24 * 3600 * crate::NSEC_PER_SEC;

/// What to write to a packet's stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// Nothing: what it carries is right.
    Keep,
    /// This departure time, in nanoseconds of the monotonic clock.
    Set(u64),
    /// The same, in place of an implausible stamp.
    Replace(u64),
}

/// Reconciles `departure_ns` with the stamp `existing_ns` of clock `tstamp_type` (zero: no stamp).
///
/// A packet that need not wait has `departure_ns <= now_ns`. It keeps its stamp, so that an application's own
/// pacing survives, unless the stamp is implausible and `fq` would drop or mistime it.
#[inline]
#[must_use]
pub fn reconcile(existing_ns: u64, tstamp_type: u8, departure_ns: u64, now_ns: u64) -> Stamp {
    let is_plausible = tstamp_type != CLOCK_TAI && existing_ns <= now_ns.wrapping_add(FQ_HORIZON_NS);
    if !is_plausible {
        return Stamp::Replace(departure_ns.max(now_ns));
    }
    if departure_ns > now_ns && existing_ns < departure_ns {
        return Stamp::Set(departure_ns);
    }
    Stamp::Keep
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 5_000_000_000;
    /// Receive time stamped by the wall clock in the year 2026.
    const WALL: u64 = 1_790_000_000_000_000_000;

    #[test]
    fn a_packet_that_need_not_wait_is_left_alone() {
        assert_eq!(reconcile(0, 0, NOW, NOW), Stamp::Keep);
        assert_eq!(reconcile(NOW - 7, CLOCK_MONOTONIC, NOW, NOW), Stamp::Keep);
        assert_eq!(reconcile(NOW + 7, CLOCK_MONOTONIC, NOW, NOW), Stamp::Keep);
    }

    #[test]
    fn the_later_departure_counts() {
        assert_eq!(reconcile(0, 0, NOW + 50, NOW), Stamp::Set(NOW + 50));
        assert_eq!(
            reconcile(NOW + 49, CLOCK_MONOTONIC, NOW + 50, NOW),
            Stamp::Set(NOW + 50)
        );
        assert_eq!(reconcile(NOW + 50, CLOCK_MONOTONIC, NOW + 50, NOW), Stamp::Keep);
        assert_eq!(reconcile(NOW + 200, CLOCK_MONOTONIC, NOW + 50, NOW), Stamp::Keep);
    }

    #[test]
    fn a_stamp_of_another_clock_is_replaced() {
        assert_eq!(reconcile(WALL, 0, NOW + 50, NOW), Stamp::Replace(NOW + 50));
        assert_eq!(reconcile(WALL, 0, NOW, NOW), Stamp::Replace(NOW));
        assert_eq!(
            reconcile(NOW + 200, CLOCK_TAI, NOW + 50, NOW),
            Stamp::Replace(NOW + 50)
        );
        assert_eq!(reconcile(1, CLOCK_TAI, NOW, NOW), Stamp::Replace(NOW));
    }

    #[test]
    fn a_stamp_at_the_horizon_of_fq_is_plausible_and_one_beyond_is_not() {
        assert_eq!(
            reconcile(NOW + FQ_HORIZON_NS, CLOCK_MONOTONIC, NOW + 50, NOW),
            Stamp::Keep
        );
        assert_eq!(
            reconcile(NOW + FQ_HORIZON_NS + 1, CLOCK_MONOTONIC, NOW + 50, NOW),
            Stamp::Replace(NOW + 50)
        );
        assert_eq!(
            reconcile(NOW + FQ_HORIZON_NS + 1, CLOCK_MONOTONIC, NOW, NOW),
            Stamp::Replace(NOW)
        );
    }
}
