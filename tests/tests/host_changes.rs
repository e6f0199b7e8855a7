//! The policy changes ten thousand times while somebody never stops sending. Needs root.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use aya::programs::{TestRun as _, TestRunOptions};
use shaper_common::header::{ETH_P_IP, ETH_P_IPV6};
use shaper_common::pacing::Limit;
use shaper_tests::disturbed::Program;
use shaper_tests::entries::{p4, p6, v4, v6};
use shaper_tests::packet;
use shaper_tests::world::World;
use shaper_user::policy::tables::{BucketId, ClientLens, Entry, Group, PortRange, TableKey, Tables};

/// What the kernel's hook is told to do with a blocked packet.
const DROP: u32 = 2;

/// The port of the service, and its number.
const PORT: u16 = 993;
const SERVICE: u32 = 1;

/// What is sent: to an IPv4 address, to another, to an IPv6 address, and to the first address from the service's port.
const N_FLOWS: usize = 4;
const OF_SERVICE: usize = 3;

/// What becomes of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Blocked,
    Unlimited,
    /// To more than can be sent here.
    Limited,
}

const FATES: [Fate; 3] = [Fate::Blocked, Fate::Unlimited, Fate::Limited];

/// What is to become of each flow, and in what words that is said.
#[derive(Clone, Copy, Debug)]
struct Policy {
    fates: [Fate; N_FLOWS],
    words: u64,
}

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }
}

impl Policy {
    /// The policy after this one: most change one thing.
    fn next(self, numbers: &mut Numbers) -> Self {
        let mut next = self;
        match numbers.index(N_FLOWS + 2) {
            flow @ 0..N_FLOWS => next.fates[flow] = FATES[numbers.index(FATES.len())],
            N_FLOWS => next.words = numbers.below(64),
            // Another rate for what is limited.
            _ => next.words ^= 64,
        }
        next
    }

    fn says(self, bit: u64) -> bool {
        self.words & bit != 0
    }

    /// Without a rule of its own the service is what its client is.
    fn fate(self, flow: usize) -> Fate {
        self.fates[if flow == OF_SERVICE && !self.says(32) {
            0
        } else {
            flow
        }]
    }

    fn tables(self) -> Tables {
        let rate = if self.says(64) {
            120_000_000_000
        } else {
            100_000_000_000
        };
        let limit = Limit::new(rate, 1_000_000, 200_000_000, None);
        let (has_clients, is_grouped) = (self.says(4), self.says(8));
        let entry = |flow: usize| {
            let bucket = BucketId(flow as u64 + 1 + u64::from(has_clients) * 4);
            match self.fate(flow) {
                Fate::Blocked => Entry::Blocked { bucket },
                Fate::Unlimited => Entry::Exempt,
                Fate::Limited => Entry::Limited {
                    limit,
                    bucket,
                    clients: has_clients.then_some(ClientLens { v4: 32, v6: 64 }),
                    group: is_grouped.then_some(0),
                },
            }
        };
        // Exact, or a prefix; for the second flow exact, or all the rest. Whatever covers less is opposed to it.
        let first = if self.says(1) {
            p4(24, [10, 0, 0, 0])
        } else {
            v4(1)
        };
        let third = if self.says(16) { p6(32, 0x2001_0db8) } else { v6(1) };
        let mut entries = vec![(first, entry(0)), (third, entry(2))];
        if self.says(2) {
            entries.push((TableKey::Any, entry(1)));
        } else {
            entries.push((v4(0x102), entry(1)));
            let rest = match self.fate(1) {
                Fate::Blocked => Entry::Exempt,
                _ => Entry::Blocked { bucket: BucketId(9) },
            };
            entries.push((TableKey::Any, rest));
        }
        if self.says(32) {
            let TableKey::Exact4(mut key) = v4(1) else {
                unreachable!()
            };
            key.service = SERVICE;
            entries.push((TableKey::Exact4(key), entry(OF_SERVICE)));
        }
        let mut tables = Tables::new(entries);
        if self.says(32) {
            tables.ports = vec![PortRange {
                is_udp: true,
                first: PORT,
                last: PORT,
                service: SERVICE,
            }];
        }
        if is_grouped {
            tables.groups = vec![Group {
                limit,
                bucket: BucketId(20),
            }];
        }
        tables
    }
}

fn frames() -> [Vec<u8>; N_FLOWS] {
    let to = |address: [u8; 4], port| {
        let payload = packet::udp_from(port, 40_000, &[0; 64]);
        packet::ethernet(ETH_P_IP, &packet::ipv4(address.into(), 17, 0, &payload))
    };
    let six = "2001:db8::1".parse().unwrap();
    let payload = packet::udp_from(5353, 40_000, &[0; 64]);
    [
        to([10, 0, 0, 1], 5353),
        to([10, 0, 1, 2], 5353),
        packet::ethernet(ETH_P_IPV6, &packet::ipv6(six, 17, 0, &payload)),
        to([10, 0, 0, 1], PORT),
    ]
}

/// Changes the policy `n_changes` times while another thread sends; how many packets it has sent.
fn change_under_load(seed: u64, n_changes: usize) -> usize {
    let mut numbers = Numbers(seed);
    let mut policies = vec![Policy {
        fates: [Fate::Blocked, Fate::Limited, Fate::Unlimited, Fate::Limited],
        words: 0,
    }];
    for n in 0..n_changes {
        policies.push(policies[n].next(&mut numbers));
    }
    let world = World::new();
    let plane = world.up();
    plane.apply(&policies[0].tables()).unwrap();
    let program = Program::load(&world);
    let is_over = AtomicBool::new(false);
    // The policy that was last asked for, and the one that was last said to be in force.
    let (asked, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let (policies, program, is_over, asked, done) = (&policies, &program, &is_over, &asked, &done);
        let reader = scope.spawn(move || {
            let frames = frames();
            // The processor is his whenever no change wants it. There are fewer of them than readers.
            // SAFETY: no pointer is passed; on Linux this is about the calling thread alone.
            assert_eq!(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) }, 0);
            let mut n = 0;
            while !is_over.load(Ordering::SeqCst) {
                let flow = n % N_FLOWS;
                let first = done.load(Ordering::SeqCst);
                let options = TestRunOptions {
                    data_in: Some(&frames[flow]),
                    ..TestRunOptions::default()
                };
                let result = program.classifier().test_run(options).unwrap();
                let is_dropped = result.return_value == DROP;
                let last = asked.load(Ordering::SeqCst);
                let possible = &policies[first..=last];
                assert!(
                    possible
                        .iter()
                        .any(|policy| (policy.fate(flow) == Fate::Blocked) == is_dropped),
                    "dropped: {is_dropped}, flow {flow}, change {last} of seed {seed}, {possible:?}"
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
    const N_CHANGES: usize = 10_000;
    // A change waits for the kernel most of the time, and all can wait at once.
    const N_WORLDS: usize = 10;
    let begun = Instant::now();
    let n_sent: usize = thread::scope(|scope| {
        let change = |seed| scope.spawn(move || change_under_load(seed, N_CHANGES / N_WORLDS));
        let worlds: Vec<_> = (3..).take(N_WORLDS).map(change).collect();
        worlds.into_iter().map(|world| world.join().unwrap()).sum()
    });
    println!(
        "{n_sent} packets during {N_CHANGES} changes in {:?}",
        begun.elapsed()
    );
    assert!(n_sent > N_CHANGES);
}
