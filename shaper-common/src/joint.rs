//! Several rules or limits that could apply to one packet: which counts, and what they come to together.

use crate::{
    pacing::{Limit, Verdict, departure_ns, ticks},
    rule::{Rule, kind},
};

/// Which of two prefix rules counts: one for the packet's service, or one for every service.
///
/// The longer prefix does; of equally long ones that of the service, but exempt beats all.
#[inline]
#[must_use]
pub const fn longer<'a>(for_service: &'a Rule, for_all: &'a Rule) -> &'a Rule {
    let is_exempt = for_all.kind == kind::EXEMPT;
    if for_all.prefix_len > for_service.prefix_len
        || (is_exempt && for_all.prefix_len == for_service.prefix_len)
    {
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
                is_marked: start_ticks.wrapping_sub(ticks(now_ns)) > limit.ecn_ticks,
            },
        }
    }

    /// What two limits on one packet come to: the later departure, and a mark if either asks for one. The time a
    /// bucket gets is in neither's name: each has been charged by its own verdict.
    #[inline]
    #[must_use]
    pub const fn later(self, other: Self) -> Self {
        match (self, other) {
            (Self::BeyondHorizon, _) | (_, Self::BeyondHorizon) => Self::BeyondHorizon,
            (verdict, Self::Conforming { .. }) | (Self::Conforming { .. }, verdict) => verdict,
            (
                Self::Paced {
                    departure_ns: first_ns,
                    last_departure_ticks,
                    is_marked: first_is_marked,
                },
                Self::Paced {
                    departure_ns: second_ns,
                    is_marked: second_is_marked,
                    ..
                },
            ) => Self::Paced {
                departure_ns: if first_ns > second_ns { first_ns } else { second_ns },
                last_departure_ticks,
                is_marked: first_is_marked | second_is_marked,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NSEC_PER_SEC, pacing::schedule};

    const LIMIT: Limit = Limit::new(NSEC_PER_SEC, 0, 1_000, None);

    fn rule(kind: u8, prefix_len: u8) -> Rule {
        Rule {
            kind,
            prefix_len,
            ..Rule::limited(LIMIT, 0)
        }
    }

    #[test]
    fn the_longer_prefix_counts_then_the_service_but_exempt_beats_all() {
        let limited = |len| rule(kind::LIMITED, len);
        let exempt = |len| rule(kind::EXEMPT, len);
        let blocked = |len| rule(kind::BLOCKED, len);
        for (for_service, for_all, is_service) in [
            (limited(24), limited(23), true),
            (limited(24), limited(24), true),
            (limited(24), limited(25), false),
            (limited(24), blocked(24), true),
            (limited(24), exempt(23), true),
            (limited(24), exempt(24), false),
            (limited(24), exempt(25), false),
            (limited(0), exempt(0), false),
            (exempt(24), limited(24), true),
            (exempt(24), exempt(24), false),
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
        let paced = |departure_ns, is_marked| Verdict::Paced {
            departure_ns,
            last_departure_ticks: 7,
            is_marked,
        };
        let at_once = Verdict::Conforming {
            last_departure_ticks: 7,
        };
        assert_eq!(at_once.later(at_once), at_once);
        assert_eq!(at_once.later(paced(5, true)), paced(5, true));
        assert_eq!(paced(5, false).later(at_once), paced(5, false));
        assert_eq!(paced(5, false).later(paced(6, false)), paced(6, false));
        assert_eq!(paced(6, false).later(paced(5, true)), paced(6, true));
        assert_eq!(paced(6, true).later(paced(5, false)), paced(6, true));
        for other in [at_once, paced(5, true), Verdict::BeyondHorizon] {
            assert_eq!(other.later(Verdict::BeyondHorizon), Verdict::BeyondHorizon);
            assert_eq!(Verdict::BeyondHorizon.later(other), Verdict::BeyondHorizon);
        }
    }
}
