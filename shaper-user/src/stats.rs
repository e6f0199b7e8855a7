//! What the counters said at one moment.

use shaper_common::bucket::Bucket;
use shaper_common::outcome::{N_OUTCOMES, Outcome};

use crate::policy::tables::{Entry, TableKey};

/// One entry of the policy in force, with its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntrySnapshot {
    /// Which entry.
    pub key: TableKey,
    /// What it says.
    pub entry: Entry,
    /// Its bucket's number; meaningless for an exempt entry.
    pub bucket_number: u32,
    /// Its bucket; zero for an exempt entry.
    pub bucket: Bucket,
}

/// All counters at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// When, on the monotonic clock.
    pub taken_ns: u64,
    /// The policy in force, in ascending order of keys.
    pub entries: Vec<EntrySnapshot>,
    /// Totals over all CPUs, by [`Outcome`].
    pub totals: [u64; N_OUTCOMES as usize],
}

impl Snapshot {
    /// One total.
    #[must_use]
    pub fn total(&self, outcome: Outcome) -> u64 {
        self.totals[outcome as usize]
    }
}
