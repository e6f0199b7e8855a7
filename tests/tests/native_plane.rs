//! The tables in this machine's kernel, over a BPF file system of the test's own. Needs root.

use std::path::Path;

use shaper_common::pacing::Limit;
use shaper_common::rule::{Key4, Key6, PrefixData4, PrefixData6};
use shaper_tests::world::World;
use shaper_user::dataplane::{Applied, Dataplane, DataplaneError};
use shaper_user::paths::Paths;
use shaper_user::policy::tables::{BucketId, Entry, TableKey, Tables};

fn limited(rate: u64) -> Entry {
    Entry::limited(
        Limit::new(rate, 1_000_000, 200_000_000, Some(5_000_000)),
        BucketId(1),
    )
}

fn v4(n: u32) -> TableKey {
    TableKey::Exact4(Key4 {
        service: 0,
        address: (0x0a00_0000 + n).to_be_bytes(),
    })
}

fn v6(n: u32) -> TableKey {
    TableKey::Exact6(Key6 {
        service: 0,
        address: [0x2001_0db8_u32.to_be(), 0, 0, n.to_be()],
    })
}

fn p4(len: u32, address: [u8; 4]) -> TableKey {
    TableKey::Prefix4(len, PrefixData4 { service: 0, address })
}

fn p6(len: u32, first: u32) -> TableKey {
    TableKey::Prefix6(
        len,
        PrefixData6 {
            zero: 0,
            service: 0,
            address: [first.to_be(), 0, 0, 0],
        },
    )
}

fn every_kind() -> Vec<(TableKey, Entry)> {
    vec![
        (v4(1), limited(1_000_000)),
        (v4(2), Entry::Exempt),
        (v6(1), limited(2_000_000)),
        (p4(8, [10, 0, 0, 0]), limited(3_000_000)),
        (p4(24, [10, 0, 0, 0]), Entry::Exempt),
        (p6(32, 0x2001_0db8), limited(4_000_000)),
        (TableKey::Any, limited(5_000_000)),
    ]
}

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
fn without_pins_it_is_not_up() {
    let world = World::new();
    assert!(matches!(
        Dataplane::open(&world.paths()),
        Err(DataplaneError::NotUp)
    ));
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
fn every_single_change_gives_what_was_asked_for() {
    let world = World::new();
    let plane = world.up();
    let all = every_kind();
    plane.apply(&Tables::new(all.clone())).unwrap();
    for n in 0..all.len() {
        let mut without = all.clone();
        let (key, _) = without.remove(n);
        let mut changed = without.clone();
        changed.push((key, limited(7_777_777)));
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
        entries[2].1 = limited(2_000_000 + round);
        // One change, or several at once.
        if round % 2 == 1 {
            entries.push((v4(100 + u32::try_from(round).unwrap()), limited(9_000_000)));
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
        let entries = (n..n + 20).map(|n| (v4(n), limited(1_000_000))).collect();
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
    let mut entries: Vec<_> = (0..30_000)
        .map(|n| (v4(n), limited(u64::from(n) + 1000)))
        .collect();
    entries.extend((0..15_000).map(|n| (v6(n), limited(u64::from(n) + 1000))));
    entries.extend((0..5_000_u32).map(|n| {
        (
            p4(24, (0x0b00_0000 + (n << 8)).to_be_bytes()),
            limited(u64::from(n) + 1000),
        )
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
        entries.extend((0..5_000).map(|m| (v4(100_000 + n * 5_000 + m), limited(1_000_000))));
        plane.apply(&Tables::new(entries.clone())).unwrap();
    }
    assert_eq!(plane.entries().unwrap().entries().len(), 65_000);
}

#[test]
fn a_damaged_pin_is_named_and_left_alone() {
    let world = World::new();
    drop(world.up());
    let pins = world.paths().bpffs.join("v1");
    std::fs::remove_file(pins.join("TOTALS")).unwrap();
    let error = Dataplane::open(&world.paths()).unwrap_err();
    assert_eq!(error.code(), "foreign_pin");
    assert!(error.to_string().contains("/v1/TOTALS"), "{error}");
    // A map of another shape in its place.
    std::fs::rename(pins.join("ACTIVE"), pins.join("TOTALS")).unwrap();
    let error = Dataplane::create_or_open(&world.paths()).unwrap_err();
    assert_eq!(error.code(), "foreign_pin");
    assert!(pins.join("TOTALS").exists());
}

#[test]
fn a_directory_that_others_may_enter_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    drop(world.up());
    let bpffs = world.paths().bpffs;
    std::fs::set_permissions(&bpffs, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(
        Dataplane::open(&world.paths()).unwrap_err().code(),
        "unsafe_directory"
    );
    std::fs::rename(&bpffs, world.dir().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", &bpffs).unwrap();
    assert_eq!(
        Dataplane::open(&world.paths()).unwrap_err().code(),
        "unsafe_directory"
    );
}

#[test]
fn outside_a_bpf_file_system_nothing_is_made() {
    let paths = Paths {
        bpffs: Path::new("/tmp/no-bpffs-here").into(),
        ..Paths::default()
    };
    assert_eq!(Dataplane::create_or_open(&paths).unwrap_err().code(), "no_bpffs");
    assert!(!paths.bpffs.exists());
}
