//! What becomes of a packet that a rule limits, case by case.

use shaper_common::{
    NSEC_PER_SEC,
    pacing::{Limit, MAX_RATE_BYTES_PER_SEC},
    rule::{Rule, kind},
};
use shaper_tests::packet::ECT0;

use crate::N_RUNS;

/// What the bucket of a measurement holds, and what comes of it.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// How far the bucket is ahead of now.
    pub(crate) ahead_ns: u64,
    pub(crate) limit: Limit,
    pub(crate) kind: u8,
    pub(crate) ecn: u8,
    /// A mark changes the packet, so that only the first run tells what it costs.
    pub(crate) n_runs: u32,
}

pub(crate) const fn case(name: &'static str, ahead_ns: u64, horizon_ns: u64) -> Case {
    Case {
        name,
        ahead_ns,
        limit: Limit::new(MAX_RATE_BYTES_PER_SEC, NSEC_PER_SEC, horizon_ns, None),
        kind: kind::LIMITED,
        ecn: 0,
        n_runs: N_RUNS,
    }
}

const AHEAD_NS: u64 = 15 * NSEC_PER_SEC;

pub(crate) fn cases() -> [Case; 5] {
    let paced = case("paced", AHEAD_NS, 2 * AHEAD_NS);
    let marking = Limit::new(MAX_RATE_BYTES_PER_SEC, 0, 2 * AHEAD_NS, Some(0));
    [
        Case {
            name: "exempt",
            kind: kind::EXEMPT,
            ..paced
        },
        case("conforming", 0, AHEAD_NS),
        paced,
        Case {
            name: "marked",
            limit: marking,
            ecn: ECT0,
            n_runs: 1,
            ..paced
        },
        case("dropped", AHEAD_NS, NSEC_PER_SEC),
    ]
}

/// The rule that a case needs.
pub(crate) fn rule(case: Case) -> Rule {
    Rule {
        kind: case.kind,
        ..Rule::limited(case.limit, 0)
    }
}
