//! Whose a bucket is stays so through every change of the policy. Needs root.

use std::collections::HashMap;

use shaper_common::bucket::Bucket;
use shaper_common::pacing::Limit;
use shaper_tests::disturbed::Program;
use shaper_tests::entries::{v4, v6};
use shaper_tests::object;
use shaper_tests::world::World;
use shaper_user::dataplane::Dataplane;
use shaper_user::policy::tables::{BucketId, ClientLens, Entry, Group, TableKey, Tables};

/// A linear congruential generator: the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }

    fn is_one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// So slow that no bucket is ever idle again, and nothing is dropped.
fn slow(rate: u64) -> Limit {
    Limit::new(rate, 0, 3_600_000_000_000_000, None)
}

/// Ten rules and two groups, of which any may be there; each rule has a key, or two.
fn tables(numbers: &mut Numbers) -> Tables {
    let mut entries = Vec::new();
    for id in 1..=10_u32 {
        if numbers.is_one_in(3) {
            continue;
        }
        let entry = Entry::Limited {
            limit: slow(1_000 + numbers.below(100_000)),
            bucket: BucketId(u64::from(id)),
            clients: None,
            group: numbers.is_one_in(2).then(|| u32::from(numbers.is_one_in(2))),
        };
        entries.push((v4(id), entry));
        if numbers.is_one_in(2) {
            entries.push((v6(id), entry));
        }
    }
    let mut tables = Tables::new(entries);
    let group = |id| Group {
        limit: slow(1_000_000),
        bucket: BucketId(id),
    };
    tables.groups = vec![group(100), group(101)];
    if numbers.is_one_in(2) {
        tables.groups.push(group(102 + numbers.below(3)));
    }
    tables
}

fn buckets(plane: &Dataplane) -> HashMap<TableKey, Bucket> {
    let snapshot = plane.snapshot().unwrap();
    snapshot
        .entries
        .iter()
        .map(|entry| (entry.key, entry.bucket))
        .collect()
}

#[test]
fn a_bucket_survives_every_change_that_keeps_its_rule_and_no_time_goes_back() {
    let world = World::new();
    let plane = world.up();
    let program = Program::load(&world);
    let mut numbers = Numbers(7);
    // What the bucket of each identity has sent, and its time.
    let mut model: HashMap<u64, (u64, u64)> = HashMap::new();
    for round in 0..if object::in_lab() { 10 } else { 100 } {
        let tables = tables(&mut numbers);
        plane.apply(&tables).unwrap();
        assert_eq!(plane.entries().unwrap(), tables);
        model.retain(|id, _| {
            tables
                .entries()
                .iter()
                .any(|(_, entry)| matches!(entry, Entry::Limited { bucket, .. } if bucket.0 == *id))
        });
        for (key, entry) in tables.entries() {
            let (TableKey::Exact4(at), Entry::Limited { bucket, .. }) = (key, entry) else {
                continue;
            };
            let before = buckets(&plane)[key];
            let (n_sent, time) = model.entry(bucket.0).or_default();
            assert_eq!(
                (before.sent_packets, before.last_departure_ticks),
                (*n_sent, *time),
                "round {round}, {key:?}"
            );
            program.send(at.address);
            let after = buckets(&plane)[key];
            assert!(after.last_departure_ticks > *time, "round {round}, {key:?}");
            (*n_sent, *time) = (after.sent_packets, after.last_departure_ticks);
            assert_eq!(after.sent_packets, before.sent_packets + 1);
        }
    }
}

fn per_client(limit: Limit, max_clients: u32) -> Tables {
    let entry = Entry::Limited {
        limit,
        bucket: BucketId(1),
        clients: Some(ClientLens { v4: 32, v6: 64 }),
        group: None,
    };
    let mut tables = Tables::new(vec![(TableKey::Any, entry)]);
    tables.max_clients = max_clients;
    tables
}

fn client(n: u8) -> [u8; 4] {
    [198, 51, 100, n]
}

#[test]
fn clients_keep_their_buckets_when_there_may_be_more_or_fewer_of_them() {
    let world = World::new();
    let plane = world.up();
    plane.apply(&per_client(slow(1_000), 16)).unwrap();
    let program = Program::load(&world);
    for n in 0..8 {
        // Half a minute's worth, so that all are still being limited at the end.
        program.send_long(client(n), 30_000);
        for _ in 0..n % 4 {
            program.send(client(n));
        }
    }
    let before = plane.snapshot().unwrap();
    assert_eq!((before.clients.len(), before.entries[0].n_clients), (8, 8));
    assert_eq!(before.clients_of(&before.entries[0]), before.clients);
    assert_eq!(before.clients[7].bucket.sent_packets, 4);
    assert_eq!(before.entries[0].bucket.sent_packets, 8 + 2 * (1 + 2 + 3));
    for most in [64, 8, 1000] {
        plane.apply(&per_client(slow(1_000), most)).unwrap();
        let after = plane.snapshot().unwrap();
        assert_eq!((after.max_clients, &after.clients), (most, &before.clients));
    }
    // Fewer than are being limited.
    let error = plane.apply(&per_client(slow(1_000), 7)).unwrap_err();
    assert_eq!(error.code(), "too_many_clients");
    assert_eq!(plane.entries().unwrap(), per_client(slow(1_000), 1000));
    // Another rule has other clients.
    let other = Tables::new(vec![(
        TableKey::Any,
        with_bucket(&per_client(slow(1_000), 1000), 2),
    )]);
    plane.apply(&other).unwrap();
    assert!(plane.snapshot().unwrap().clients.is_empty());
}

fn with_bucket(tables: &Tables, id: u64) -> Entry {
    match tables.entries()[0].1 {
        Entry::Limited {
            limit,
            clients,
            group,
            ..
        } => Entry::Limited {
            limit,
            bucket: BucketId(id),
            clients,
            group,
        },
        entry => entry,
    }
}

#[test]
fn an_idle_client_is_forgotten_and_one_whose_time_is_to_come_never() {
    use std::time::Duration;
    const SEC: u64 = 1_000_000_000;
    let world = World::new();
    let plane = world.up();
    // The burst of the one client is whole again in 20 seconds, that of the other a moment later.
    let limit = Limit::new(1_000, 10 * SEC, 3_600 * SEC, None);
    plane.apply(&per_client(limit, 100)).unwrap();
    let program = Program::load(&world);
    program.send_long(client(1), 20_000);
    program.send(client(2));
    let now = shaper_user::dataplane::monotonic_ns();
    let before = plane.snapshot().unwrap();
    let idle = Duration::from_secs(1);
    let nobody = Duration::from_secs(0);
    let aged = plane.age_clients(before.taken_ns - SEC, nobody).unwrap();
    assert_eq!((aged.n_before, aged.n_removed), (2, 0), "its burst is not whole");
    // Idle for too short a time, though its burst is whole.
    let aged = plane.age_clients(now + 12 * SEC, Duration::from_mins(1)).unwrap();
    assert_eq!(aged.n_removed, 0);
    let aged = plane.age_clients(now + 12 * SEC, idle).unwrap();
    assert_eq!((aged.n_before, aged.n_removed), (2, 1));
    let after = plane.snapshot().unwrap();
    assert_eq!(after.clients, before.clients[..1]);
    assert!(after.clients[0].bucket.last_departure_ticks / 64 > now + 5 * SEC);
    // What he has sent is not forgotten.
    assert_eq!(after.entries[0].bucket.sent_packets, 2);
    assert_eq!(plane.age_clients(now + 3_600 * SEC, idle).unwrap().n_removed, 1);
    assert_eq!(plane.snapshot().unwrap().entries[0].bucket.sent_packets, 2);
}
