//! What the counters said at one moment, and what happened between two. Pure: no clock, no kernel.

use std::net::IpAddr;

use shaper_common::NSEC_PER_SEC;
use shaper_common::bucket::Bucket;
use shaper_common::outcome::{N_OUTCOMES, Outcome};

use crate::policy::tables::{Entry, Group, TableKey};

/// One entry of the policy in force, with its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntrySnapshot {
    /// Which entry.
    pub key: TableKey,
    /// What it says.
    pub entry: Entry,
    /// Its bucket's number; meaningless for an exempt entry.
    pub bucket_number: u32,
    /// Its bucket; zero for an exempt entry. If each client has one of his own, the counters of all together.
    pub bucket: Bucket,
    /// Clients that have a bucket of their own at this moment.
    pub n_clients: usize,
}

/// A limit that rules share, with its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupSnapshot {
    /// What it says.
    pub group: Group,
    /// Its bucket's number.
    pub bucket_number: u32,
    /// Its bucket.
    pub bucket: Bucket,
}

/// One client that has a bucket of his own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientSnapshot {
    /// [`EntrySnapshot::bucket_number`] of his rule.
    pub bucket_number: u32,
    /// His address, or the first of a network that counts as one client.
    pub address: IpAddr,
    /// His bucket.
    pub bucket: Bucket,
}

/// All counters at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// When, on the monotonic clock.
    pub taken_ns: u64,
    /// The policy in force, in ascending order of keys.
    pub entries: Vec<EntrySnapshot>,
    /// The groups, in the order that [`Entry::Limited::group`] counts.
    pub groups: Vec<GroupSnapshot>,
    /// Clients, rule by rule, in ascending order of their addresses.
    pub clients: Vec<ClientSnapshot>,
    /// How many there may be.
    pub max_clients: u32,
    /// Totals over all CPUs, by [`Outcome`].
    pub totals: [u64; N_OUTCOMES as usize],
}

impl Snapshot {
    /// One total.
    #[must_use]
    pub fn total(&self, outcome: Outcome) -> u64 {
        self.totals[outcome as usize]
    }

    /// The clients of one entry.
    #[must_use]
    pub fn clients_of(&self, entry: &EntrySnapshot) -> &[ClientSnapshot] {
        let has = |number| {
            self.clients
                .partition_point(|client| client.bucket_number < number)
        };
        if entry.n_clients == 0 {
            return &[];
        }
        &self.clients[has(entry.bucket_number)..has(entry.bucket_number.saturating_add(1))]
    }
}

/// What became of one entry between two snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Its counters at the end.
    pub bucket: Bucket,
    /// Bytes per second on the wire, of sent packets.
    pub sent_bytes_per_sec: u64,
    /// Packets that were sent or dropped.
    pub n_packets: u64,
    /// Of these, packets that had to wait or were dropped.
    pub n_limited: u64,
}

/// What became of every entry between two snapshots.
#[derive(Clone, Debug, Default)]
pub struct Activities {
    /// In ascending order, as snapshots are; apart from what they lead to, because there may be a million to search.
    keys: Vec<TableKey>,
    /// One for each key.
    of_keys: Vec<Activity>,
}

impl Activities {
    /// What happened from `before` to `after`. An entry that `before` lacks counts from zero, and so does one
    /// whose counters began anew.
    #[must_use]
    pub fn between(before: &Snapshot, after: &Snapshot) -> Self {
        let elapsed_ns = after.taken_ns.saturating_sub(before.taken_ns).max(1);
        let mut old = before.entries.iter().peekable();
        let activity = |entry: &EntrySnapshot| {
            while old.next_if(|old| old.key < entry.key).is_some() {}
            let old = old.next_if(|old| old.key == entry.key);
            let old = old.map_or_else(Bucket::default, |old| old.bucket);
            (entry.key, Activity::between(&old, &entry.bucket, elapsed_ns))
        };
        let (keys, of_keys) = after.entries.iter().map(activity).unzip();
        Self { keys, of_keys }
    }

    /// That of one entry.
    #[must_use]
    pub fn get(&self, key: &TableKey) -> Option<&Activity> {
        let index = self.keys.binary_search(key).ok()?;
        self.of_keys.get(index)
    }
}

impl Activity {
    fn between(old: &Bucket, new: &Bucket, elapsed_ns: u64) -> Self {
        let more = |count: fn(&Bucket) -> u64| count(new).checked_sub(count(old)).unwrap_or(count(new));
        let sent_bytes = u128::from(more(|bucket| bucket.sent_bytes));
        let per_sec = sent_bytes * u128::from(NSEC_PER_SEC) / u128::from(elapsed_ns);
        let n_dropped = more(|bucket| bucket.dropped_packets);
        Self {
            bucket: *new,
            sent_bytes_per_sec: u64::try_from(per_sec).unwrap_or(u64::MAX),
            n_packets: more(|bucket| bucket.sent_packets).saturating_add(n_dropped),
            n_limited: more(|bucket| bucket.paced_packets).saturating_add(n_dropped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(taken_ns: u64, buckets: &[(TableKey, Bucket)]) -> Snapshot {
        let entries = buckets.iter().map(|(key, bucket)| EntrySnapshot {
            key: *key,
            entry: Entry::Exempt,
            bucket_number: 0,
            bucket: *bucket,
            n_clients: 0,
        });
        Snapshot {
            taken_ns,
            entries: entries.collect(),
            groups: Vec::new(),
            clients: Vec::new(),
            max_clients: 0,
            totals: [0; N_OUTCOMES as usize],
        }
    }

    fn bucket(sent_bytes: u64, sent_packets: u64, paced_packets: u64, dropped_packets: u64) -> Bucket {
        Bucket {
            sent_bytes,
            sent_packets,
            paced_packets,
            dropped_packets,
            ..Bucket::default()
        }
    }

    #[test]
    fn a_rate_is_what_was_sent_in_the_time_between() {
        let before = snapshot(1_000_000_000, &[(TableKey::Any, bucket(1_000, 1, 0, 0))]);
        let after = snapshot(3_000_000_000, &[(TableKey::Any, bucket(5_001_000, 11, 5, 10))]);
        let activities = Activities::between(&before, &after);
        let activity = activities.get(&TableKey::Any).unwrap();
        assert_eq!(activity.sent_bytes_per_sec, 2_500_000);
        assert_eq!((activity.n_packets, activity.n_limited), (20, 15));
        assert_eq!(activity.bucket.sent_bytes, 5_001_000);
    }

    #[test]
    fn an_entry_without_a_past_and_one_that_began_anew_count_from_zero() {
        let after = snapshot(1_000_000_000, &[(TableKey::Any, bucket(500, 1, 0, 0))]);
        for before in [
            snapshot(0, &[]),
            snapshot(0, &[(TableKey::Any, bucket(900, 9, 9, 9))]),
        ] {
            let activities = Activities::between(&before, &after);
            assert_eq!(activities.get(&TableKey::Any).unwrap().sent_bytes_per_sec, 500);
        }
    }

    #[test]
    fn entries_that_came_and_went_do_not_mix_up_the_others() {
        let key = |n| TableKey::Prefix4(n, shaper_common::rule::Key4::default());
        let of = |keys: &[u32], bytes| {
            let buckets = keys
                .iter()
                .map(|n| (key(*n), bucket(bytes * u64::from(*n), 0, 0, 0)));
            buckets.collect::<Vec<_>>()
        };
        let before = snapshot(0, &of(&[1, 2, 4, 7], 10));
        let after = snapshot(NSEC_PER_SEC, &of(&[2, 3, 4, 5, 8], 100));
        let activities = Activities::between(&before, &after);
        let rates: Vec<_> = (1..=8)
            .map(|n| {
                activities
                    .get(&key(n))
                    .map(|activity| activity.sent_bytes_per_sec)
            })
            .collect();
        let expected = [
            None,
            Some(180),
            Some(300),
            Some(360),
            Some(500),
            None,
            None,
            Some(800),
        ];
        assert_eq!(rates, expected);
    }

    #[test]
    fn two_snapshots_of_one_moment_divide_by_no_zero() {
        let one = snapshot(7, &[(TableKey::Any, bucket(500, 1, 0, 0))]);
        assert_eq!(
            Activities::between(&one, &one)
                .get(&TableKey::Any)
                .unwrap()
                .sent_bytes_per_sec,
            0
        );
    }
}
