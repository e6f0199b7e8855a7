//! A packet meets the old policy or the new one, never a mixture of both.

use std::sync::atomic::{AtomicBool, Ordering};

use aya::EbpfLoader;
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use shaper_common::header::ETH_P_IP;
use shaper_common::names::{LAYOUT_VERSION, PINNED_MAPS, PROGRAM};
use shaper_common::outcome::Outcome;
use shaper_common::pacing::Limit;
use shaper_common::rule::{Key4, PrefixData4};
use shaper_tests::world::World;
use shaper_tests::{object, packet};
use shaper_user::policy::tables::{BucketId, Entry, TableKey, Tables};

const EXEMPT: [u8; 4] = [10, 0, 0, 1];
const LIMITED: [u8; 4] = [10, 0, 1, 2];

fn exact(address: [u8; 4]) -> TableKey {
    TableKey::Exact4(Key4 { service: 0, address })
}

fn prefix(address: [u8; 3]) -> TableKey {
    let [a, b, c] = address;
    TableKey::Prefix4(
        24,
        PrefixData4 {
            service: 0,
            address: [a, b, c, 0],
        },
    )
}

/// Policies that treat both addresses alike, each from other tables: a mixture of two would let one pass unlimited,
/// or limit the other.
fn policies() -> [Tables; 3] {
    let fast = |rate| Entry::limited(Limit::new(rate, 1_000_000, 200_000_000, None), BucketId(1));
    [
        Tables::new(vec![
            (exact(EXEMPT), Entry::Exempt),
            (exact(LIMITED), fast(100_000_000_000)),
        ]),
        Tables::new(vec![
            (prefix([10, 0, 0]), Entry::Exempt),
            (prefix([10, 0, 1]), fast(110_000_000_000)),
        ]),
        Tables::new(vec![
            (exact(EXEMPT), Entry::Exempt),
            (TableKey::Any, fast(120_000_000_000)),
        ]),
    ]
}

#[test]
fn a_packet_meets_the_old_policy_or_the_new_one() {
    let world = World::new();
    let plane = world.up();
    let policies = policies();
    plane.apply(&policies[0]).unwrap();

    let mut loader = EbpfLoader::new();
    for name in PINNED_MAPS {
        loader.map_pin_path(
            name,
            world.paths().bpffs.join(format!("v{LAYOUT_VERSION}")).join(name),
        );
    }
    let object = object::bytes();
    let mut ebpf = loader.load(&object).unwrap();
    let program: &mut SchedClassifier = ebpf.program_mut(PROGRAM).unwrap().try_into().unwrap();
    program.load().unwrap();
    let program = &*program;

    let is_over = AtomicBool::new(false);
    let n_flips = if object::in_lab() { 30 } else { 150 };
    std::thread::scope(|scope| {
        for address in [EXEMPT, LIMITED] {
            let is_over = &is_over;
            scope.spawn(move || {
                let frame = packet::ethernet(ETH_P_IP, &packet::ipv4(address.into(), 17, 0, &[0; 64]));
                while !is_over.load(Ordering::Relaxed) {
                    let options = TestRunOptions {
                        data_in: Some(&frame),
                        repeat: 1000,
                        ..TestRunOptions::default()
                    };
                    program.test_run(options).unwrap();
                }
            });
        }
        for n in 1..=n_flips {
            plane.apply(&policies[n % 3]).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let snapshot = plane.snapshot().unwrap();
    let total = |outcome| snapshot.total(outcome);
    println!(
        "{} exempt, {} limited",
        total(Outcome::Exempt),
        total(Outcome::Conforming) + total(Outcome::Paced)
    );
    assert!(total(Outcome::Exempt) > 10_000);
    assert!(total(Outcome::Conforming) + total(Outcome::Paced) + total(Outcome::BeyondHorizon) > 10_000);
    for never in [
        Outcome::Unlimited,
        Outcome::NoBucket,
        Outcome::Unparsable,
        Outcome::NotIp,
    ] {
        assert_eq!(total(never), 0, "{never:?}");
    }
}
