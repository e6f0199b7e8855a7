//! CPUs race for one bucket, and nothing is lost.

use std::{
    net::IpAddr,
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use shaper_common::{
    NSEC_PER_SEC,
    outcome::Outcome,
    pacing::{Limit, ticks},
    packed::PackedLimit,
    rule::{Group, Rule},
};
use shaper_tests::{
    kernel::{DROP, Kernel, PASS, Settings, Skb},
    model::Policy,
    object, packet,
};

const NOW_NS: u64 = 1_000 * NSEC_PER_SEC;
/// Runs in one system call, where one thread changes what it sends.
const RUNS_PER_ROUND: u32 = 500;
/// Bytes of [`frame`].
const WIRE_LEN: u64 = 100;

fn frame() -> Vec<u8> {
    packet::udp_to("192.0.2.7".parse().unwrap(), 58)
}

/// A kernel in which everything goes to bucket 0, at a byte per nanosecond.
fn kernel(force_fallback: bool, horizon_ns: u64) -> Kernel {
    let mut kernel = Kernel::load(Settings {
        force_fallback,
        ..Settings::default()
    });
    let limit = Limit::new(NSEC_PER_SEC, 0, horizon_ns, None);
    kernel.install(&Policy {
        any: Some(Rule::limited(limit, 0)),
        ..Policy::default()
    });
    kernel.set_clock(NOW_NS);
    kernel.set_last_departure(0, ticks(NOW_NS));
    kernel
}

#[test]
fn two_cpus_charge_one_bucket_exactly_what_they_send() {
    const N_ROUNDS: u64 = 100;
    let n_runs = if object::in_lab() { 1_000 } else { 30_000 };
    for force_fallback in [false, true] {
        let kernel = kernel(force_fallback, u64::MAX);
        let start = Barrier::new(2);
        // Rounds of one CPU in which the other charged the bucket too.
        let n_shared = AtomicU64::new(0);
        thread::scope(|scope| {
            for cpu in 0..2 {
                let (kernel, start, n_shared) = (&kernel, &start, &n_shared);
                scope.spawn(move || {
                    pin_to(cpu);
                    let n_sent = || kernel.bucket(0).sent_packets;
                    for _ in 0..N_ROUNDS {
                        start.wait();
                        let n_before = n_sent();
                        let ran = kernel.repeat(&frame(), Skb::default(), n_runs);
                        assert_eq!(ran.action, PASS);
                        let is_shared = n_sent() - n_before > u64::from(n_runs);
                        n_shared.fetch_add(is_shared.into(), Ordering::Relaxed);
                    }
                });
            }
        });
        let n_shared = n_shared.into_inner();
        println!("in {n_shared} of {} rounds both charged the bucket", 2 * N_ROUNDS);
        // Emulated processors may take turns, when their machine has other things to do.
        assert!(
            object::in_lab() || n_shared > N_ROUNDS / 10,
            "they did not race: {n_shared} of {N_ROUNDS}"
        );
        let n_sent = 2 * N_ROUNDS * u64::from(n_runs);
        let bucket = kernel.bucket(0);
        assert_eq!(bucket.last_departure_ticks, ticks(NOW_NS + n_sent * WIRE_LEN));
        assert_eq!(
            (bucket.sent_packets, bucket.sent_bytes),
            (n_sent, n_sent * WIRE_LEN)
        );
        assert_eq!(
            bucket.paced_packets,
            n_sent - 1,
            "only the first found the bucket idle"
        );
        assert_eq!(
            kernel.total(Outcome::Paced) + kernel.total(Outcome::Conforming),
            n_sent
        );
        if force_fallback {
            assert_eq!(kernel.total(Outcome::Contended), n_sent);
        }
    }
}

/// Four members of one group: each CPU sends to two of them by turns, so that buckets meet in every combination.
#[test]
fn cpus_that_race_for_a_group_and_its_members_lose_no_charge() {
    const GROUP: u32 = 9;
    let n_rounds = if object::in_lab() { 100 } else { 2_000 };
    for force_fallback in [false, true] {
        let mut kernel = kernel(force_fallback, u64::MAX);
        let rule = |bucket| Rule {
            group: 1,
            ..Rule::limited(Limit::new(NSEC_PER_SEC, 0, u64::MAX, None), bucket)
        };
        kernel.install(&Policy {
            exact4: (1..=4)
                .map(|n: u8| ([192, 0, 2, n].into(), rule(n.into())))
                .collect(),
            groups: vec![Group {
                limit: PackedLimit::new(Limit::new(NSEC_PER_SEC, 0, u64::MAX, None)),
                bucket: GROUP,
                zero: 0,
            }],
            ..Policy::default()
        });
        for bucket in [1, 2, 3, 4, GROUP] {
            kernel.set_last_departure(bucket, ticks(NOW_NS));
        }
        thread::scope(|scope| {
            for (cpu, members) in [[1_u8, 2], [2, 3]].into_iter().enumerate() {
                let kernel = &kernel;
                scope.spawn(move || {
                    pin_to(cpu);
                    for round in 0..n_rounds {
                        let to = IpAddr::from([192, 0, 2, members[round % 2]]);
                        let ran = kernel.repeat(&packet::udp_to(to, 58), Skb::default(), RUNS_PER_ROUND);
                        assert_eq!(ran.action, PASS);
                    }
                });
            }
        });
        let runs = |n_rounds: usize| n_rounds as u64 * u64::from(RUNS_PER_ROUND);
        for (bucket, n_sent) in [
            (1, runs(n_rounds / 2)),
            (2, runs(n_rounds)),
            (3, runs(n_rounds / 2)),
            (4, 0),
            (GROUP, runs(2 * n_rounds)),
        ] {
            let bucket = kernel.bucket(bucket);
            assert_eq!(bucket.last_departure_ticks, ticks(NOW_NS + n_sent * WIRE_LEN));
            assert_eq!(
                (bucket.sent_packets, bucket.sent_bytes),
                (n_sent, n_sent * WIRE_LEN)
            );
        }
    }
}

/// A client that both CPUs see first: one makes the bucket, and both charge that.
#[test]
fn cpus_that_race_to_make_a_clients_bucket_make_one() {
    let n_rounds = if object::in_lab() { 50 } else { 1_000 };
    let mut kernel = kernel(false, u64::MAX);
    kernel.install(&Policy {
        any: Some(Rule {
            client_len4: 32,
            ..Rule::limited(Limit::new(NSEC_PER_SEC, 0, u64::MAX, None), 0)
        }),
        ..Policy::default()
    });
    kernel.replace_clients(u32::from(u16::MAX));
    let start = Barrier::new(2);
    thread::scope(|scope| {
        for cpu in 0..2 {
            let (kernel, start) = (&kernel, &start);
            scope.spawn(move || {
                pin_to(cpu);
                for round in 0..n_rounds {
                    let to = IpAddr::V4((0x0a00_0000 + round).into());
                    let frame = packet::udp_to(to, 58);
                    start.wait();
                    let _ = kernel.repeat(&frame, Skb::default(), 10);
                }
            });
        }
    });
    let clients = kernel.clients();
    assert_eq!(clients.len(), n_rounds as usize);
    for (key, bucket) in &clients {
        assert_eq!(bucket.sent_packets, 20, "{key:?}");
        assert_eq!(
            bucket.last_departure_ticks,
            ticks(NOW_NS + 20 * WIRE_LEN),
            "{key:?}"
        );
    }
    assert_eq!(kernel.total(Outcome::ClientsFull), 0);
}

/// LLVM gives back the addend, instead of what was there, if it takes the result of an atomic addition for unused.
#[test]
fn the_fallback_departs_by_what_it_found_not_by_what_it_added() {
    let kernel = kernel(true, 10_000);
    for n_sent in 0..4 {
        let ran = kernel.run(&frame(), Skb::default());
        let expected_ns = if n_sent == 0 {
            0
        } else {
            NOW_NS + n_sent * WIRE_LEN
        };
        assert_eq!((ran.action, ran.skb.tstamp), (PASS, expected_ns));
    }
    assert_eq!(
        kernel.bucket(0).last_departure_ticks,
        ticks(NOW_NS + 4 * WIRE_LEN)
    );
    assert_eq!(kernel.total(Outcome::Contended), 4);
}

#[test]
fn the_fallback_drops_nothing_for_it_has_charged_already() {
    for (force_fallback, action) in [(true, PASS), (false, DROP)] {
        let kernel = kernel(force_fallback, 10_000);
        kernel.set_last_departure(0, ticks(NOW_NS + 10_001));
        assert_eq!(kernel.run(&frame(), Skb::default()).action, action);
    }
}

fn pin_to(cpu: usize) {
    // SAFETY: plain old data, and calls that read it.
    let error = unsafe {
        let mut cpus: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut cpus);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const cpus)
    };
    assert_eq!(error, 0, "the test needs two CPUs");
}
