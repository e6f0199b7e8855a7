//! What a packet costs: one JSON line per path.
//!
//! Where the clock counts executed instructions, the lines tell instructions beyond a program that does nothing;
//! elsewhere nanoseconds beyond it and the ratio to it, medians of rounds in which both take turns. A second arm of
//! the same idle program tells how far apart equal things are.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use shaper_common::{
    NSEC_PER_SEC,
    pacing::{Limit, MAX_RATE_BYTES_PER_SEC, ticks},
    rule::{Rule, kind},
};
use shaper_tests::{
    kernel::{Kernel, Settings, Skb, raw::Idle},
    model::Policy,
    packet::{self, ECT0},
};

/// Runs in one measurement: fewer than fit between two ticks of an emulated guest.
const N_RUNS: u32 = 1_000;
/// Measurements of each arm.
const N_ROUNDS: usize = 21;
/// Entries of a large table.
const MANY: u32 = 1_000_000;

/// An address that every policy has a rule for, and one that none has.
const HIT: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0)),
];
const MISS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb9, 0, 0, 0, 0, 0, 7)),
];

fn main() {
    let bench = Bench::new();
    bench.aa();
    bench.not_ip();
    for n_entries in [0, 1, MANY] {
        bench.misses(n_entries);
    }
    for n_entries in [1, MANY] {
        bench.hits(n_entries);
    }
    bench.prefixes();
}

/// What the bucket of a measurement holds, and what comes of it.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    /// How far the bucket is ahead of now.
    ahead_ns: u64,
    limit: Limit,
    kind: u8,
    ecn: u8,
    /// A mark changes the packet, so that only the first run tells what it costs.
    n_runs: u32,
}

const fn case(name: &'static str, ahead_ns: u64, horizon_ns: u64) -> Case {
    Case {
        name,
        ahead_ns,
        limit: Limit::new(MAX_RATE_BYTES_PER_SEC, NSEC_PER_SEC, horizon_ns, None),
        kind: kind::LIMITED,
        ecn: 0,
        n_runs: N_RUNS,
    }
}

const AHEAD_NS: u64 = 20 * NSEC_PER_SEC;

fn cases() -> [Case; 5] {
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

struct Bench {
    kernel: String,
    /// Whether a nanosecond is an instruction.
    is_icount: bool,
    idle: Idle,
}

impl Bench {
    fn new() -> Self {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut numbers = release.split('.');
        let major = numbers.next().unwrap();
        let is_icount = is_icount();
        let kernel = match major {
            _ if !is_icount => "host".to_owned(),
            "6" => format!("6.{}", numbers.next().unwrap()),
            _ => major.to_owned(),
        };
        Self {
            kernel,
            is_icount,
            idle: Idle::load(0),
        }
    }

    /// Equal things compared.
    fn aa(&self) {
        let again = Idle::load(0);
        let frame = packet::udp_to(MISS[0], 58);
        self.report(
            "nothing, again",
            0,
            || self.idle.repeat(&frame, N_RUNS),
            || again.repeat(&frame, N_RUNS),
        );
    }

    fn not_ip(&self) {
        let kernel = loaded(&Policy::default());
        self.compare("not IP", 0, &kernel, &packet::ethernet(0x0806, &[0; 46]), N_RUNS);
    }

    fn misses(&self, n_entries: u32) {
        let kernel = loaded(&exact(n_entries, case("", 0, 0)));
        for (family, address) in [("ipv4", MISS[0]), ("ipv6", MISS[1])] {
            self.compare(
                &format!("{family} miss"),
                n_entries,
                &kernel,
                &packet::udp_to(address, 58),
                N_RUNS,
            );
        }
    }

    fn hits(&self, n_entries: u32) {
        let mut kernel = loaded(&exact(n_entries, cases()[0]));
        for case in cases() {
            // A policy of a million is filled in once; a small one takes its place in the other cases.
            if case.name != "exempt" {
                if n_entries == MANY && case.name != "paced" {
                    continue;
                }
                kernel.install(&exact(n_entries, case));
            }
            self.hit(case, n_entries, &kernel, "");
        }
    }

    fn prefixes(&self) {
        let paced = cases()[2];
        let kernel = loaded(&Policy {
            prefix4: vec![(Ipv4Addr::new(10, 0, 0, 0), 8, rule(paced))],
            prefix6: vec![(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, rule(paced))],
            ..Policy::default()
        });
        self.hit(paced, 1, &kernel, " by prefix");
        let kernel = loaded(&Policy {
            any: Some(rule(paced)),
            ..Policy::default()
        });
        self.hit(paced, 0, &kernel, " by the rule for all the rest");
    }

    fn hit(&self, case: Case, n_entries: u32, kernel: &Kernel, how: &str) {
        for (family, address) in [("ipv4", HIT[0]), ("ipv6", HIT[1])] {
            kernel.set_last_departure(0, ticks(now_ns() + case.ahead_ns));
            let frame = packet::udp_with_ecn(address, case.ecn, 58);
            self.compare(
                &format!("{family} {}{how}", case.name),
                n_entries,
                kernel,
                &frame,
                case.n_runs,
            );
        }
    }

    fn compare(&self, path: &str, n_entries: u32, kernel: &Kernel, frame: &[u8], n_runs: u32) {
        let run = || kernel.repeat(frame, Skb::default(), n_runs).duration_ns;
        self.report(path, n_entries, || self.idle.repeat(frame, n_runs), run);
    }

    /// Lets both take turns and prints how they differ.
    fn report(&self, path: &str, n_entries: u32, idle: impl Fn() -> u64, run: impl Fn() -> u64) {
        let rounds = (0..N_ROUNDS).map(|_| (idle(), run())).collect::<Vec<_>>();
        let idle_ns = median(rounds.iter().map(|(idle, _)| *idle));
        let run_ns = median(rounds.iter().map(|(_, run)| *run));
        let name = match n_entries {
            0 => path.to_owned(),
            1 => format!("{path}, 1 rule"),
            n => format!("{path}, {n} rules"),
        };
        let kernel = &self.kernel;
        let beyond = run_ns.saturating_sub(idle_ns);
        if self.is_icount {
            println!(
                r#"{{"kernel":"{kernel}","path":"{name}","entries":{n_entries},"instructions":{beyond}}}"#
            );
        } else {
            let permille = run_ns * 1_000 / idle_ns.max(1);
            let (whole, part) = (permille / 1_000, permille % 1_000);
            println!(
                r#"{{"kernel":"{kernel}","path":"{name}","entries":{n_entries},"nanoseconds":{beyond},"ns_ratio":{whole}.{part:03}}}"#
            );
        }
    }
}

fn loaded(policy: &Policy) -> Kernel {
    let mut kernel = Kernel::load(Settings {
        fake_clock: false,
        ..Settings::default()
    });
    kernel.install(policy);
    kernel
}

/// A policy of `n_entries` exact rules for each family, one of them for [`HIT`].
fn exact(n_entries: u32, case: Case) -> Policy {
    let [IpAddr::V4(first4), IpAddr::V6(first6)] = HIT else {
        unreachable!("one address of each family");
    };
    let rule = rule(case);
    Policy {
        exact4: (0..n_entries)
            .map(|n| (Ipv4Addr::from(u32::from(first4) + n), rule))
            .collect(),
        exact6: (0..n_entries)
            .map(|n| (Ipv6Addr::from(u128::from(first6) + u128::from(n)), rule))
            .collect(),
        ..Policy::default()
    }
}

fn rule(case: Case) -> Rule {
    Rule {
        kind: case.kind,
        ..Rule::limited(case.limit, 0)
    }
}

/// Whether a thousand instructions take a thousand nanoseconds.
fn is_icount() -> bool {
    let frame = packet::udp_to(MISS[0], 58);
    let duration_ns = |n_additions| {
        let idle = Idle::load(n_additions);
        median((0..N_ROUNDS).map(|_| idle.repeat(&frame, 100)))
    };
    duration_ns(1_000).abs_diff(duration_ns(0)).abs_diff(1_000) < 20
}

fn median(numbers: impl Iterator<Item = u64>) -> u64 {
    let mut numbers = numbers.collect::<Vec<_>>();
    numbers.sort_unstable();
    numbers[numbers.len() / 2]
}

fn now_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes the struct it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    u64::try_from(time.tv_sec).unwrap() * NSEC_PER_SEC + u64::try_from(time.tv_nsec).unwrap()
}
