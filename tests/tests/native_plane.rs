//! The tables in this machine's kernel, over a BPF file system of the test's own. Needs root.

use shaper_common::pacing::Limit;
use shaper_tests::entries::{every_kind, everything, limited, p4, p6, v4, v6};
use shaper_tests::world::World;
use shaper_user::dataplane::{Applied, Dataplane};
use shaper_user::policy::tables::{TableKey, Tables};

fn bucket_of(plane: &Dataplane, key: TableKey) -> u32 {
    plane
        .snapshot()
        .unwrap()
        .entries
        .iter()
        .find(|entry| entry.key == key)
        .unwrap()
        .bucket_number
}

#[test]
fn what_is_applied_is_what_is_in_force() {
    let world = World::new();
    let plane = world.up();
    assert_eq!(plane.entries().unwrap(), Tables::default());
    let tables = Tables::new(every_kind());
    assert_eq!(
        plane.apply(&tables).unwrap(),
        Applied {
            added: 7,
            ..Applied::default()
        }
    );
    assert_eq!(plane.entries().unwrap(), tables);
    assert_eq!(
        plane.apply(&tables).unwrap(),
        Applied {
            unchanged: 7,
            ..Applied::default()
        }
    );
    // Another process, by the pins alone.
    let other = Dataplane::open(&world.paths()).unwrap();
    assert_eq!(other.entries().unwrap(), tables);
    let empty = Applied {
        removed: 7,
        ..Applied::default()
    };
    assert_eq!(other.apply(&Tables::default()).unwrap(), empty);
    assert_eq!(plane.entries().unwrap(), Tables::default());
    assert_eq!(plane.apply(&tables).unwrap().added, 7);
    assert_eq!(plane.entries().unwrap(), tables);
}

#[test]
fn services_groups_clients_and_blocks_are_read_back_as_they_were_applied() {
    let world = World::new();
    let plane = world.up();
    let tables = everything();
    assert_eq!(plane.apply(&tables).unwrap().added, tables.entries().len());
    assert_eq!(plane.entries().unwrap(), tables);
    let unchanged = Applied {
        unchanged: tables.entries().len(),
        ..Applied::default()
    };
    // A group's limit, a service's ports and the maximum of clients are no entries, but they change.
    let mut other = tables.clone();
    other.groups[0].limit = Limit::new(1_000_000, 0, 0, None);
    other.ports[0].first = 990;
    other.max_clients = 2000;
    for tables in [&other, &tables] {
        assert_eq!(plane.apply(tables).unwrap(), unchanged);
        assert_eq!(plane.entries().unwrap(), *tables);
    }
    let simple = Tables::new(every_kind());
    plane.apply(&simple).unwrap();
    assert_eq!(plane.entries().unwrap(), simple);
    plane.apply(&tables).unwrap();
    assert_eq!(plane.entries().unwrap(), tables);
    for (key, entry) in tables.entries() {
        let found = plane.get(key).unwrap().unwrap();
        assert_eq!((found.key, found.entry), (*key, *entry));
    }
    for key in [v4(99), p4(12, [10, 0, 0, 0]), p6(64, 0x2001_0db9)] {
        assert_eq!(plane.get(&key).unwrap(), None, "{key:?}");
    }
}

#[test]
fn every_single_change_gives_what_was_asked_for() {
    let world = World::new();
    let plane = world.up();
    let all = every_kind();
    plane.apply(&Tables::new(all.clone())).unwrap();
    for n in 0..all.len() {
        let mut without = all.clone();
        let (key, _) = without.remove(n);
        let mut changed = without.clone();
        changed.push(limited(key, 7_777_777));
        for wanted in [without, all.clone(), changed, all.clone()] {
            let wanted = Tables::new(wanted);
            let applied = plane.apply(&wanted).unwrap();
            assert_eq!(applied.added + applied.removed + applied.changed, 1, "{key:?}");
            assert_eq!(plane.entries().unwrap(), wanted, "{key:?}");
        }
    }
}

#[test]
fn a_bucket_outlives_every_change_of_its_limit() {
    let world = World::new();
    let plane = world.up();
    plane.apply(&Tables::new(every_kind())).unwrap();
    let before = bucket_of(&plane, v6(1));
    for round in 0..20_u64 {
        let mut entries = every_kind();
        entries[2] = limited(v6(1), 2_000_000 + round);
        // One change, or several at once.
        if round % 2 == 1 {
            entries.push(limited(v4(100 + u32::try_from(round).unwrap()), 9_000_000));
            entries.remove(0);
        }
        plane.apply(&Tables::new(entries)).unwrap();
        assert_eq!(bucket_of(&plane, v6(1)), before);
    }
}

#[test]
fn no_two_entries_share_a_bucket() {
    let world = World::new();
    let plane = world.up();
    for n in 0..30_u32 {
        let entries = (n..n + 20).map(|n| limited(v4(n), 1_000_000)).collect();
        plane.apply(&Tables::new(entries)).unwrap();
        let mut numbers: Vec<u32> = plane
            .snapshot()
            .unwrap()
            .entries
            .iter()
            .map(|entry| entry.bucket_number)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 20);
    }
}

#[test]
fn fifty_thousand_rules_are_put_in_force_and_read_back() {
    let world = World::new();
    let plane = world.up();
    let mut entries: Vec<_> = (0..30_000).map(|n| limited(v4(n), u64::from(n) + 1000)).collect();
    entries.extend((0..15_000).map(|n| limited(v6(n), u64::from(n) + 1000)));
    entries.extend((0..5_000_u32).map(|n| {
        let key = p4(24, (0x0b00_0000 + (n << 8)).to_be_bytes());
        limited(key, u64::from(n) + 1000)
    }));
    let tables = Tables::new(entries.clone());
    assert_eq!(plane.apply(&tables).unwrap().added, 50_000);
    assert_eq!(plane.entries().unwrap(), tables);
    let last = plane
        .snapshot()
        .unwrap()
        .entries
        .iter()
        .map(|entry| entry.bucket_number)
        .max();
    assert_eq!(last, Some(49_999));
    // Past the room that was left for it to grow.
    for n in 0..3 {
        entries.extend((0..5_000).map(|m| limited(v4(100_000 + n * 5_000 + m), 1_000_000)));
        plane.apply(&Tables::new(entries.clone())).unwrap();
    }
    assert_eq!(plane.entries().unwrap().entries().len(), 65_000);
}
