//! What a packet costs: one JSON line per path.
//!
//! Where the clock counts executed instructions, the lines tell instructions beyond a program that does nothing;
//! elsewhere nanoseconds beyond it and the ratio to it, medians of rounds in which both take turns. A second arm of
//! the same idle program tells how far apart equal things are.

mod cases;
mod policies;

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use shaper_common::{
    NSEC_PER_SEC,
    pacing::ticks,
    rule::{Rule, kind},
};
use shaper_tests::{
    kernel::{Kernel, Settings, Skb, raw::Idle},
    model::Policy,
    packet,
};

use self::cases::{Case, case, cases, rule};

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
    bench.nothing();
    bench.aa();
    bench.not_ip();
    for n_entries in [0, 1, MANY] {
        bench.misses(n_entries);
    }
    for n_entries in [1, MANY] {
        bench.hits(n_entries);
    }
    bench.prefixes();
    bench.extras();
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

    /// A program that does nothing, and the kernel around it: what all others are compared with.
    fn nothing(&self) {
        let frame = packet::udp_to(MISS[0], 58);
        self.report(
            "nothing, with the call",
            0,
            || 0,
            || self.idle.repeat(&frame, N_RUNS),
        );
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
        let kernel = loaded(&policies::exact(n_entries, HIT, rule(case("", 0, 0))));
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
        let mut kernel = loaded(&policies::exact(n_entries, HIT, rule(cases()[0])));
        for case in cases() {
            for address in HIT {
                kernel.replace_rule(address, rule(case));
            }
            self.hit(case, n_entries, &kernel, "");
        }
    }

    fn prefixes(&self) {
        let paced = cases()[2];
        for n_entries in [1, 10, 1_000, 100_000] {
            let kernel = loaded(&policies::prefixes(n_entries, HIT, rule(paced)));
            self.hit(paced, n_entries, &kernel, " by prefix");
            for (family, address) in [("ipv4", MISS[0]), ("ipv6", MISS[1])] {
                let frame = packet::udp_to(address, 58);
                let path = format!("{family} miss among prefixes");
                self.compare(&path, n_entries, &kernel, &frame, N_RUNS);
            }
        }
        let kernel = loaded(&Policy {
            any: Some(rule(paced)),
            ..Policy::default()
        });
        self.hit(paced, 0, &kernel, " by the rule for all the rest");
    }

    /// What each thing a rule can say costs on top of a packet that is paced by an exact rule.
    fn extras(&self) {
        let paced = cases()[2];
        let plain = rule(paced);
        let kernel = loaded(&policies::of_service(1, HIT, plain));
        self.hit(paced, 1, &kernel, " for its service");
        let kernel = loaded(&policies::of_service(2, HIT, plain));
        self.hit(paced, 1, &kernel, " for every service beside one");
        let kernel = loaded(&policies::in_group(HIT, plain));
        kernel.set_last_departure(policies::GROUP_BUCKET, ticks(now_ns() + paced.ahead_ns));
        self.hit(paced, 1, &kernel, " in a group");
        // As many places as there are runs.
        let shared = Rule {
            shared_packets: u32::MAX,
            ..plain
        };
        let kernel = loaded(&policies::only(HIT, shared));
        self.hit(paced, 1, &kernel, " from a shared socket");
        let conforming = cases()[1];
        let mut kernel = loaded(&policies::per_client(HIT, rule(conforming)));
        kernel.replace_clients(MANY);
        self.hit(conforming, 1, &kernel, " with a bucket per client");
        let blocked = Rule {
            kind: kind::BLOCKED,
            ..plain
        };
        let kernel = loaded(&policies::only(HIT, blocked));
        let blocked = Case {
            name: "blocked",
            ..paced
        };
        self.hit(blocked, 1, &kernel, "");
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
