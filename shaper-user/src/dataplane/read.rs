//! What is in force and what it has counted, without a lock.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd;
use std::time::Duration;

use shaper_common::TICKS_PER_NSEC;
use shaper_common::bucket::Bucket;
use shaper_common::outcome::N_OUTCOMES;
use shaper_common::pacing::ticks;
use shaper_common::rule::{ClientKey, DEFAULT_MAX_CLIENTS, Rule};

use super::buckets::Chunks;
use super::clients::{Found, Idle, bursts};
use super::content::{Content, entry, has_bucket, has_clients};
use super::error::DataplaneError;
use super::maps::sum_per_cpu;
use super::{Dataplane, monotonic_ns};
use crate::policy::tables::{BucketId, Group, TableKey, Tables};
use crate::stats::{ClientSnapshot, EntrySnapshot, GroupSnapshot, Snapshot};

impl Dataplane {
    /// What is in force.
    ///
    /// # Errors
    ///
    /// Whatever the kernel refuses.
    pub fn entries(&self) -> Result<Tables, DataplaneError> {
        let (content, chunks) = self.content()?;
        self.tables(content, &chunks)
    }

    pub(super) fn tables(&self, content: Content, chunks: &Chunks) -> Result<Tables, DataplaneError> {
        let owner = |number| BucketId(chunks.owner(number));
        let max_clients = self.max_clients(&content)?;
        let entries = content.rules.iter().map(|(key, rule)| {
            let owner = if has_bucket(rule) {
                owner(rule.bucket)
            } else {
                BucketId(0)
            };
            (*key, entry(rule, owner))
        });
        let mut tables = Tables::new(entries.collect());
        tables.groups = groups(&content, chunks).map(|(group, _)| group).collect();
        tables.ports = content.ports;
        tables.max_clients = max_clients;
        Ok(tables)
    }

    fn content(&self) -> Result<(Content, Chunks), DataplaneError> {
        self.slots
            .in_force(|slot| Ok((self.slots.content(slot)?, self.buckets.chunks()?)))
    }

    /// Clients that may have buckets of their own.
    fn max_clients(&self, content: &Content) -> Result<u32, DataplaneError> {
        if !content.has_clients() {
            return Ok(DEFAULT_MAX_CLIENTS);
        }
        let table = self.clients.open()?;
        Ok(table.map_or(DEFAULT_MAX_CLIENTS, |(table, _)| table.info().max_entries))
    }

    /// The clients that have buckets of their own, and how many may.
    fn clients(&self, content: &Content) -> Result<(Found, u32), DataplaneError> {
        let found = if content.has_clients() {
            self.clients.read()?
        } else {
            None
        };
        Ok(found.unwrap_or((Found::new(), DEFAULT_MAX_CLIENTS)))
    }

    /// What stands at exactly `key`, without reading the rest; of its clients nothing is said.
    ///
    /// # Errors
    ///
    /// Whatever the kernel refuses.
    pub fn get(&self, key: &TableKey) -> Result<Option<EntrySnapshot>, DataplaneError> {
        let found = self.slots.in_force(|slot| self.slots.rule(slot, key))?;
        let Some(rule) = found else { return Ok(None) };
        let bucket = if has_bucket(&rule) {
            self.buckets.read_one(rule.bucket)?
        } else {
            Bucket::default()
        };
        Ok(Some(snapshot(*key, &rule, bucket, &Shares::default())))
    }

    /// All counters.
    ///
    /// # Errors
    ///
    /// Whatever the kernel refuses.
    pub fn snapshot(&self) -> Result<Snapshot, DataplaneError> {
        let (content, chunks) = self.content()?;
        let (found, max_clients) = self.clients(&content)?;
        let shares = shares(&found);
        let entries = content.rules.iter().map(|(key, rule)| {
            let bucket = if has_bucket(rule) {
                chunks.read(rule.bucket)
            } else {
                Bucket::default()
            };
            snapshot(*key, rule, bucket, &shares)
        });
        let groups = groups(&content, &chunks).map(|(group, number)| GroupSnapshot {
            group,
            bucket_number: number,
            bucket: chunks.read(number),
        });
        let mut clients: Vec<ClientSnapshot> = found.iter().map(client).collect();
        clients.sort_unstable_by_key(|client| (client.bucket_number, client.address));
        let mut snapshot = Snapshot {
            taken_ns: monotonic_ns(),
            entries: entries.collect(),
            groups: groups.collect(),
            clients,
            max_clients,
            totals: [0; N_OUTCOMES as usize],
        };
        for (index, total) in (0..).zip(&mut snapshot.totals) {
            *total = sum_per_cpu(self.totals.as_fd(), index)
                .map_err(|error| DataplaneError::kernel("read the map TOTALS", error))?;
        }
        Ok(snapshot)
    }

    /// Takes away the buckets of clients that have sent nothing for `idle`, up to `now_ns` on the monotonic clock, and
    /// whose burst is whole again: they would find a new one just like it. What they have counted goes to their rules'
    /// buckets. The caller holds the lock.
    ///
    /// # Errors
    ///
    /// Whatever the kernel refuses.
    pub fn age_clients(&self, now_ns: u64, idle: Duration) -> Result<Aged, DataplaneError> {
        let (content, chunks) = self.content()?;
        self.age(&content, &chunks, now_ns, idle)
    }

    pub(super) fn age(
        &self,
        content: &Content,
        chunks: &Chunks,
        now_ns: u64,
        idle: Duration,
    ) -> Result<Aged, DataplaneError> {
        let bursts = bursts(content);
        let idle_ns = u64::try_from(idle.as_nanos()).unwrap_or(u64::MAX);
        let idle = Idle {
            now_ticks: ticks(now_ns),
            least_ticks: idle_ns.saturating_mul(TICKS_PER_NSEC),
            burst_of: &|rule| bursts.get(&rule).copied(),
        };
        let (n_before, n_removed) = self.clients.age(&idle, chunks)?;
        Ok(Aged { n_before, n_removed })
    }
}

/// What ageing has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aged {
    /// Clients that had buckets of their own.
    pub n_before: usize,
    /// Of these, clients that have none any more.
    pub n_removed: usize,
}

/// By rule: how many clients, and what they have counted together.
type Shares = HashMap<u32, (usize, Bucket)>;

fn shares(found: &Found) -> Shares {
    let mut shares = Shares::new();
    for (key, bucket) in found {
        let (n_clients, sum) = shares.entry(key.rule).or_default();
        *n_clients += 1;
        *sum = plus(sum, bucket);
    }
    shares
}

/// The counters of both.
fn plus(a: &Bucket, b: &Bucket) -> Bucket {
    Bucket {
        last_departure_ticks: a.last_departure_ticks.max(b.last_departure_ticks),
        sent_bytes: a.sent_bytes.wrapping_add(b.sent_bytes),
        sent_packets: a.sent_packets.wrapping_add(b.sent_packets),
        paced_packets: a.paced_packets.wrapping_add(b.paced_packets),
        marked_packets: a.marked_packets.wrapping_add(b.marked_packets),
        dropped_packets: a.dropped_packets.wrapping_add(b.dropped_packets),
        shared_ticks: a.shared_ticks.max(b.shared_ticks),
        owner: a.owner,
    }
}

fn snapshot(key: TableKey, rule: &Rule, bucket: Bucket, shares: &Shares) -> EntrySnapshot {
    let share = if has_clients(rule) {
        shares.get(&rule.bucket)
    } else {
        None
    };
    EntrySnapshot {
        key,
        entry: entry(rule, BucketId(bucket.owner)),
        bucket_number: rule.bucket,
        bucket: share.map_or(bucket, |(_, sum)| plus(&bucket, sum)),
        n_clients: share.map_or(0, |(n_clients, _)| *n_clients),
    }
}

fn client((key, bucket): &(ClientKey, Bucket)) -> ClientSnapshot {
    let mut octets = [0; 16];
    for (octets, word) in octets.chunks_exact_mut(4).zip(key.address) {
        octets.copy_from_slice(&word.to_ne_bytes());
    }
    let address = Ipv6Addr::from(octets);
    ClientSnapshot {
        bucket_number: key.rule,
        address: address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4),
        bucket: *bucket,
    }
}

/// The groups, each with its bucket's number.
fn groups(content: &Content, chunks: &Chunks) -> impl Iterator<Item = (Group, u32)> {
    content.groups.iter().map(|group| {
        let group_of = Group {
            limit: group.limit.unpacked(),
            bucket: BucketId(chunks.owner(group.bucket)),
        };
        (group_of, group.bucket)
    })
}
