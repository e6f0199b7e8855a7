use shaper_common::pacing::Limit;
use shaper_common::rule::Key4;

use super::*;
use crate::policy::tables::{ClientLens, Entry, Group, PortRange};

fn key(n: u8) -> TableKey {
    TableKey::Exact4(Key4 {
        service: 0,
        address: [10, 0, 0, n],
    })
}

fn limit(rate: u64) -> Limit {
    Limit::new(rate, 0, 0, None)
}

fn limited(id: u64, rate: u64) -> Entry {
    Entry::limited(limit(rate), BucketId(id))
}

/// A kernel that remembers whose its buckets are.
#[derive(Default)]
struct Kernel {
    content: Content,
    owners: Vec<u64>,
}

impl Kernel {
    fn plan(&self, tables: &Tables) -> Plan {
        let mut owners = Owners::new(self.owners.clone(), self.content.buckets());
        plan(&self.content, tables, &mut owners).unwrap()
    }

    fn apply(&mut self, tables: &Tables) -> Plan {
        let plan = self.plan(tables);
        for (number, id) in &plan.fresh {
            let place = *number as usize;
            self.owners.resize(self.owners.len().max(place + 1), 0);
            assert_eq!(self.owners[place], 0, "somebody else's bucket");
            self.owners[place] = id.0;
        }
        self.content = plan.content.clone();
        let owners = Owners::new(self.owners.clone(), self.content.buckets());
        for number in owners.left_over(self.content.buckets()) {
            self.owners[number as usize] = 0;
        }
        plan
    }

    fn entries(&mut self, entries: &[(TableKey, Entry)]) -> Plan {
        self.apply(&Tables::new(entries.to_vec()))
    }
}

#[test]
fn an_identity_keeps_its_bucket_and_a_new_one_gets_one_that_nobody_uses() {
    let mut kernel = Kernel::default();
    let first = kernel.entries(&[
        (key(1), limited(11, 1000)),
        (key(2), limited(12, 2000)),
        (TableKey::Any, limited(13, 9000)),
    ]);
    assert_eq!(
        first.fresh,
        [(0, BucketId(11)), (1, BucketId(12)), (2, BucketId(13))]
    );
    let second = kernel.entries(&[(key(0), limited(10, 1)), (key(2), limited(12, 5000))]);
    assert_eq!(second.content.rules[1].1.bucket, 1);
    // Not 0 and not 2, although their entries go away: packets may still be charged there.
    assert_eq!(second.fresh, [(3, BucketId(10))]);
    let expected = Applied {
        added: 1,
        removed: 2,
        changed: 1,
        unchanged: 0,
    };
    assert_eq!((second.applied, second.step), (expected, Step::Whole));
}

#[test]
fn an_identity_keeps_its_bucket_under_another_key_and_shares_it_among_keys() {
    let mut kernel = Kernel::default();
    kernel.entries(&[(key(1), limited(7, 1000))]);
    let moved = kernel.entries(&[(key(2), limited(7, 1000)), (key(3), limited(7, 1000))]);
    assert!(moved.fresh.is_empty());
    assert!(moved.content.rules.iter().all(|(_, rule)| rule.bucket == 0));
    // A block counts in the same bucket.
    let blocked = kernel.entries(&[(key(3), Entry::Blocked { bucket: BucketId(7) })]);
    assert_eq!(blocked.content.rules[0].1.bucket, 0);
    assert_eq!(kernel.owners, [7]);
}

#[test]
fn a_single_change_is_recognised() {
    let mut kernel = Kernel::default();
    let both = [(key(1), limited(1, 1000)), (key(2), limited(2, 2000))];
    kernel.entries(&both);
    let with = |entries: &[(TableKey, Entry)]| kernel.plan(&Tables::new(entries.to_vec()));
    let same = with(&both);
    assert_eq!((same.step, same.applied.unchanged), (Step::Nothing, 2));
    let changed = with(&[both[0], (key(2), limited(2, 3000))]);
    assert_eq!(changed.step, Step::One(key(2), Some(changed.content.rules[1].1)));
    assert_eq!(with(&both[1..]).step, Step::One(key(1), None));
    assert_eq!(with(&both[..1]).step, Step::One(key(2), None));
    let added = with(&[both[0], both[1], (key(3), Entry::Exempt)]);
    assert!(matches!(added.step, Step::One(at, Some(_)) if at == key(3)));
    assert!(added.fresh.is_empty());
}

#[test]
fn an_entry_that_is_limited_again_starts_anew() {
    let mut kernel = Kernel::default();
    kernel.entries(&[(key(1), limited(1, 1000))]);
    let exempt = kernel.entries(&[(key(1), Entry::Exempt)]);
    assert_eq!(
        content::entry(&exempt.content.rules[0].1, BucketId(0)),
        Entry::Exempt
    );
    assert_eq!(kernel.owners, [0]);
    let again = kernel.entries(&[(key(1), limited(1, 1000))]);
    assert_eq!(again.fresh, [(0, BucketId(1))]);
}

fn in_group(id: u64, index: u32) -> Entry {
    Entry::Limited {
        limit: limit(1000),
        bucket: BucketId(id),
        clients: Some(ClientLens { v4: 32, v6: 64 }),
        group: Some(index),
    }
}

fn groups(ids: &[u64]) -> Vec<Group> {
    ids.iter()
        .map(|id| Group {
            limit: limit(5000),
            bucket: BucketId(*id),
        })
        .collect()
}

#[test]
fn a_group_keeps_its_bucket_wherever_it_stands_among_the_groups() {
    let mut kernel = Kernel::default();
    let mut tables = Tables::new(vec![(key(1), in_group(1, 0))]);
    tables.groups = groups(&[100]);
    let first = kernel.apply(&tables);
    assert_eq!(first.content.groups[0].bucket, 1);
    let mut tables = Tables::new(vec![(key(1), in_group(1, 1))]);
    tables.groups = groups(&[99, 100]);
    let second = kernel.apply(&tables);
    assert_eq!(second.content.groups[1].bucket, 1);
    assert_eq!(second.fresh, [(2, BucketId(99))]);
    assert_eq!((second.applied.unchanged, second.step), (1, Step::Whole));
    // Another group is another rule.
    let mut tables = Tables::new(vec![(key(1), in_group(1, 0))]);
    tables.groups = groups(&[99, 100]);
    let third = kernel.apply(&tables);
    assert_eq!(third.applied.changed, 1);
}

#[test]
fn a_change_of_groups_or_ports_alone_is_no_single_change() {
    let mut kernel = Kernel::default();
    let mut tables = Tables::new(vec![(key(1), in_group(1, 0))]);
    tables.groups = groups(&[100]);
    kernel.apply(&tables);
    tables.groups[0].limit = limit(6000);
    let group = kernel.plan(&tables);
    assert_eq!((group.step, group.applied.unchanged), (Step::Whole, 1));
    tables.groups[0].limit = limit(5000);
    tables.ports = vec![PortRange {
        is_udp: false,
        first: 22,
        last: 22,
        service: 1,
    }];
    assert_eq!(kernel.plan(&tables).step, Step::Whole);
}
