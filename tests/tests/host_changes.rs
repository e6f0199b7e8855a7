//! The policy changes again and again while somebody never stops sending: five hundred times, with `SHAPER_EVERY_CALL` set
//! ten thousand times. Needs root.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use aya::programs::{TestRun as _, TestRunOptions};
use shaper_common::header::ETH_P_IP;
use shaper_common::pacing::Limit;
use shaper_tests::disturbed::Program;
use shaper_tests::entries::p4;
use shaper_tests::packet;
use shaper_tests::scene::Thoroughness;
use shaper_tests::world::World;
use shaper_user::policy::tables::{BucketId, ClientLens, Entry, Group, TableKey, Tables};

/// What the kernel's hook is told to do with a blocked packet.
const DROP: u32 = 2;

const DESTINATIONS: [[u8; 4]; 2] = [[10, 0, 0, 1], [10, 0, 1, 2]];

/// Whether each destination is blocked, and in what words that is said.
#[derive(Clone, Copy, Debug)]
struct Policy {
    is_blocked: [bool; 2],
    words: u64,
}

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

fn exact(address: [u8; 4]) -> TableKey {
    TableKey::Exact4(shaper_common::rule::Key4 { service: 0, address })
}

impl Policy {
    /// The policy after this one: most change one thing.
    fn next(self, numbers: &mut Numbers) -> Self {
        let mut next = self;
        match numbers.below(4) {
            0 => next.is_blocked[0] ^= true,
            1 => next.is_blocked[1] ^= true,
            2 => next.words = numbers.below(16),
            // Another rate for what is not blocked.
            _ => next.words ^= 16,
        }
        next
    }

    fn tables(self) -> Tables {
        let rate = if self.words & 16 == 0 {
            100_000_000_000
        } else {
            120_000_000_000
        };
        let limit = Limit::new(rate, 1_000_000, 200_000_000, None);
        let has_clients = self.words & 4 != 0;
        let entry = |index: usize, is_grouped: bool| {
            let bucket = BucketId(index as u64 + 1 + u64::from(has_clients) * 2);
            if self.is_blocked[index] {
                return Entry::Blocked { bucket };
            }
            Entry::Limited {
                limit,
                bucket,
                clients: has_clients.then_some(ClientLens { v4: 32, v6: 64 }),
                group: is_grouped.then_some(0),
            }
        };
        let is_grouped = self.words & 8 != 0;
        let [[a, b, c, _], other] = DESTINATIONS;
        // Exact, or a prefix for one; exact, or all the rest for the other. Whatever covers less is opposed to it.
        let mut entries = vec![if self.words & 1 == 0 {
            (exact(DESTINATIONS[0]), entry(0, is_grouped))
        } else {
            (p4(24, [a, b, c, 0]), entry(0, is_grouped))
        }];
        if self.words & 2 == 0 {
            entries.push((exact(other), entry(1, is_grouped)));
            let opposite = Policy {
                is_blocked: [!self.is_blocked[1]; 2],
                ..self
            };
            let rest = if opposite.is_blocked[0] {
                Entry::Blocked { bucket: BucketId(9) }
            } else {
                Entry::Exempt
            };
            entries.push((TableKey::Any, rest));
        } else {
            entries.push((TableKey::Any, entry(1, is_grouped)));
        }
        let mut tables = Tables::new(entries);
        if is_grouped {
            tables.groups = vec![Group {
                limit,
                bucket: BucketId(20),
            }];
        }
        tables
    }
}

/// Changes the policy `n_changes` times while another thread sends; how many packets it has sent.
fn change_under_load(seed: u64, n_changes: usize) -> usize {
    let mut numbers = Numbers(seed);
    let mut policies = vec![Policy {
        is_blocked: [true, false],
        words: 0,
    }];
    for n in 0..n_changes {
        policies.push(policies[n].next(&mut numbers));
    }
    let world = World::new();
    let plane = world.up();
    plane.apply(&policies[0].tables()).unwrap();
    let program = Program::load(&world);
    let program = program.classifier();
    let is_over = AtomicBool::new(false);
    // The policy that was last asked for, and the one that was last said to be in force.
    let (asked, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let (policies, is_over, asked, done) = (&policies, &is_over, &asked, &done);
        let reader = scope.spawn(move || {
            let frames =
                DESTINATIONS.map(|to| packet::ethernet(ETH_P_IP, &packet::ipv4(to.into(), 17, 0, &[0; 64])));
            let mut n = 0;
            while !is_over.load(Ordering::SeqCst) {
                let to = n % 2;
                let first = done.load(Ordering::SeqCst);
                let options = TestRunOptions {
                    data_in: Some(&frames[to]),
                    repeat: 1,
                    ..TestRunOptions::default()
                };
                let result = program.test_run(options).unwrap();
                let last = asked.load(Ordering::SeqCst);
                let is_dropped = result.return_value == DROP;
                let possible = &policies[first..=last];
                assert!(
                    possible.iter().any(|policy| policy.is_blocked[to] == is_dropped),
                    "dropped: {is_dropped}, destination {to}, change {last} of seed {seed}, {possible:?}"
                );
                n += 1;
            }
            n
        });
        for (n, policy) in policies.iter().enumerate().skip(1) {
            if reader.is_finished() {
                break;
            }
            asked.store(n, Ordering::SeqCst);
            plane.apply(&policy.tables()).unwrap();
            done.store(n, Ordering::SeqCst);
        }
        is_over.store(true, Ordering::SeqCst);
        reader.join().unwrap()
    })
}

#[test]
fn every_packet_gets_the_verdict_of_the_policy_before_or_after_the_change_in_progress() {
    let n_changes = match Thoroughness::wanted() {
        Thoroughness::Sample => 500,
        Thoroughness::EveryCall | Thoroughness::BruteForce => 10_000,
    };
    // A change waits for the kernel most of the time, and all can wait at once.
    let n_worlds = 10;
    let begun = Instant::now();
    let n_sent: usize = thread::scope(|scope| {
        let share = n_changes / n_worlds;
        let worlds = (0..n_worlds as u64).map(|seed| scope.spawn(move || change_under_load(seed + 3, share)));
        let worlds: Vec<_> = worlds.collect();
        worlds.into_iter().map(|world| world.join().unwrap()).sum()
    });
    println!(
        "{n_sent} packets during {n_changes} changes in {:?}",
        begun.elapsed()
    );
    assert!(n_sent > n_changes);
}
