//! Several rules or limits that could apply to one packet: which counts, and what they come to together.

use crate::{
    pacing::{Limit, Verdict, departure_ns, ticks},
    rule::Rule,
};

/// Which of two prefix rules counts: one for the packet's service, or one for every service.
///
/// The longer prefix does; of equally long ones that of the service.
#[inline]
#[must_use]
pub const fn longer<'a>(for_service: &'a Rule, for_all: &'a Rule) -> &'a Rule {
    if for_all.prefix_len > for_service.prefix_len {
        for_all
    } else {
        for_service
    }
}

/// The same limit without a queue: what would have to wait is dropped.
#[inline]
#[must_use]
pub const fn policed(limit: &Limit) -> Limit {
    Limit {
        horizon_ticks: 0,
        ..*limit
    }
}

/// The same limit for a packet that may not be dropped any more, because another limit has charged it.
#[inline]
#[must_use]
pub const fn boundless(limit: &Limit) -> Limit {
    Limit {
        horizon_ticks: u64::MAX,
        ..*limit
    }
}

impl Verdict {
    /// What [`start_ticks`](Self::start_ticks) is of a packet that is dropped.
    pub const BEYOND_HORIZON: u64 = u64::MAX;

    /// The bucket's next value, unless the packet is dropped.
    #[inline]
    #[must_use]
    pub const fn next_ticks(self) -> Option<u64> {
        match self {
            Self::Conforming { last_departure_ticks }
            | Self::Paced {
                last_departure_ticks, ..
            } => Some(last_departure_ticks),
            Self::BeyondHorizon => None,
        }
    }

    /// The verdict as one number: when the packet departs, in ticks; zero if at once. `last_departure_ticks` is what
    /// it was decided on.
    #[inline]
    #[must_use]
    pub const fn start_ticks(self, last_departure_ticks: u64) -> u64 {
        match self {
            Self::Conforming { .. } => 0,
            Self::Paced { .. } => last_departure_ticks,
            Self::BeyondHorizon => Self::BEYOND_HORIZON,
        }
    }

    /// The verdict that `start_ticks` stands for, but for the bucket's value, which is charged already.
    #[inline]
    #[must_use]
    pub const fn starting_at(start_ticks: u64, limit: &Limit, now_ns: u64) -> Self {
        match start_ticks {
            0 => Self::Conforming {
                last_departure_ticks: 0,
            },
            Self::BEYOND_HORIZON => Self::BeyondHorizon,
            start_ticks => Self::Paced {
                departure_ns: departure_ns(start_ticks),
                last_departure_ticks: 0,
                is_marked: marks(start_ticks, limit, now_ns),
            },
        }
    }

    /// The same for two limits on one packet, each with its own number: the later departure, and a mark if either
    /// asks for one.
    #[inline]
    #[must_use]
    pub const fn starting_at_later(first: (u64, &Limit), second: (u64, &Limit), now_ns: u64) -> Self {
        let later_ticks = if first.0 > second.0 { first.0 } else { second.0 };
        match later_ticks {
            0 => Self::Conforming {
                last_departure_ticks: 0,
            },
            Self::BEYOND_HORIZON => Self::BeyondHorizon,
            later_ticks => Self::Paced {
                departure_ns: departure_ns(later_ticks),
                last_departure_ticks: 0,
                is_marked: marks(first.0, first.1, now_ns) || marks(second.0, second.1, now_ns),
            },
        }
    }
}

/// Whether `limit` marks a packet that departs at `start_ticks`; zero is at once.
#[inline]
const fn marks(start_ticks: u64, limit: &Limit, now_ns: u64) -> bool {
    start_ticks != 0 && start_ticks.wrapping_sub(ticks(now_ns)) > limit.ecn_ticks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NSEC_PER_SEC, pacing::schedule, rule::kind};

    const LIMIT: Limit = Limit::new(NSEC_PER_SEC, 0, 1_000, None);

    fn rule(kind: u8, prefix_len: u8) -> Rule {
        Rule {
            kind,
            prefix_len,
            ..Rule::limited(LIMIT, 0)
        }
    }

    #[test]
    fn the_longer_prefix_counts_then_the_service_whatever_the_rules_do() {
        let limited = |len| rule(kind::LIMITED, len);
        let exempt = |len| rule(kind::EXEMPT, len);
        let blocked = |len| rule(kind::BLOCKED, len);
        for (for_service, for_all, is_service) in [
            (limited(24), limited(23), true),
            (limited(24), limited(24), true),
            (limited(24), limited(25), false),
            (limited(24), blocked(24), true),
            (limited(24), exempt(23), true),
            (limited(24), exempt(24), true),
            (limited(24), exempt(25), false),
            (limited(0), exempt(0), true),
            (exempt(24), limited(24), true),
            (exempt(24), limited(25), false),
        ] {
            let chosen = longer(&for_service, &for_all);
            assert_eq!(
                core::ptr::eq(chosen, &raw const for_service),
                is_service,
                "{for_service:?} {for_all:?}"
            );
        }
    }

    #[test]
    fn policed_nothing_waits_and_boundless_everything_does() {
        let at = |limit: &Limit, ahead_ticks| schedule(limit, ticks(5_000) + ahead_ticks, 5_000, 100);
        assert_eq!(at(&policed(&LIMIT), 0), at(&LIMIT, 0));
        assert_eq!(at(&policed(&LIMIT), 1), Verdict::BeyondHorizon);
        assert_eq!(at(&LIMIT, ticks(1_001)), Verdict::BeyondHorizon);
        assert!(matches!(
            at(&boundless(&LIMIT), ticks(1_001)),
            Verdict::Paced {
                departure_ns: 6_001,
                ..
            }
        ));
    }

    #[test]
    fn one_number_says_all_of_a_verdict_but_the_buckets_value() {
        let limit = Limit::new(NSEC_PER_SEC, 10, 1_000, Some(500));
        for ahead_ticks in [0, 1, ticks(500), ticks(500) + 1, ticks(1_000), ticks(1_000) + 1] {
            let last_departure_ticks = ticks(5_000) + ahead_ticks;
            let verdict = schedule(&limit, last_departure_ticks, 5_000, 100);
            let start_ticks = verdict.start_ticks(last_departure_ticks);
            let expected = match verdict {
                Verdict::Conforming { .. } => Verdict::Conforming {
                    last_departure_ticks: 0,
                },
                Verdict::Paced {
                    departure_ns,
                    is_marked,
                    ..
                } => Verdict::Paced {
                    departure_ns,
                    is_marked,
                    last_departure_ticks: 0,
                },
                Verdict::BeyondHorizon => verdict,
            };
            assert_eq!(Verdict::starting_at(start_ticks, &limit, 5_000), expected);
            assert_eq!(verdict.next_ticks().is_none(), verdict == Verdict::BeyondHorizon);
        }
    }

    #[test]
    fn the_later_departure_counts_and_either_may_mark() {
        // The first marks what waits longer than 16 ns, the second what waits longer than 32 ns.
        let limits = [16, 32].map(|ecn_ns| Limit::new(NSEC_PER_SEC, 0, 1_000, Some(ecn_ns)));
        let now_ns = 5_000;
        let later = |first_ns: u64, second_ns: u64| {
            let start = |ahead_ns: u64| {
                if ahead_ns == 0 {
                    0
                } else {
                    ticks(now_ns + ahead_ns)
                }
            };
            Verdict::starting_at_later(
                (start(first_ns), &limits[0]),
                (start(second_ns), &limits[1]),
                now_ns,
            )
        };
        for (first_ns, second_ns, ahead_ns, is_marked) in [
            (1, 0, 1, false),
            (0, 1, 1, false),
            (16, 32, 32, false),
            (17, 32, 32, true),
            (17, 0, 17, true),
            (0, 32, 32, false),
            (0, 33, 33, true),
            (16, 33, 33, true),
            (34, 33, 34, true),
        ] {
            let expected = Verdict::Paced {
                departure_ns: now_ns + ahead_ns,
                last_departure_ticks: 0,
                is_marked,
            };
            assert_eq!(later(first_ns, second_ns), expected, "{first_ns} {second_ns}");
        }
        let at_once = Verdict::Conforming {
            last_departure_ticks: 0,
        };
        assert_eq!(later(0, 0), at_once);
        for other in [0, ticks(now_ns + 1)] {
            let (dropped, other) = ((Verdict::BEYOND_HORIZON, &limits[0]), (other, &limits[1]));
            assert_eq!(
                Verdict::starting_at_later(dropped, other, now_ns),
                Verdict::BeyondHorizon
            );
            assert_eq!(
                Verdict::starting_at_later(other, dropped, now_ns),
                Verdict::BeyondHorizon
            );
        }
    }
}
