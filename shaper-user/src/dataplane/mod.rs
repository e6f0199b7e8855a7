//! What stands in the kernel: the only module that talks to it.
//!
//! ```text
//! tables -> plan -> slots (built idle, one write makes them current) + buckets     pinned: pins, maps, batch, bpf
//! interface -> topology -> qdisc, fq (who holds the packets) + program -> links | clsact     over: netlink, bpf
//! ```

mod again;
mod attach;
mod attribute;
mod batch;
mod bpf;
mod buckets;
mod capability;
mod clsact;
mod coverage;
mod detach;
mod device;
mod directory;
mod doctor;
mod error;
mod follow;
mod fq;
mod hold;
mod holding;
mod links;
mod listen;
mod log;
mod maps;
mod netlink;
mod open;
mod pins;
mod place;
mod plan;
mod program;
mod qdisc;
mod record;
mod room;
mod slots;
mod status;
mod survey;
mod tables;
mod tcx;
mod topology;

use std::os::fd::{AsFd, OwnedFd};

use shaper_common::outcome::N_OUTCOMES;
use shaper_common::rule::Meta;

use self::buckets::Buckets;
use self::maps::{Map, sum_per_cpu};
use self::pins::{Pins, Root};
use self::plan::{entry, plan};
use self::program::Definitions;
use self::slots::Slots;
use crate::paths::Paths;
use crate::policy::tables::Tables;
use crate::stats::{EntrySnapshot, Snapshot};

pub use attach::{Attached, Done, Request};
pub use detach::take_down;
pub use doctor::{Finding, Fitness, examine};
pub use error::DataplaneError;
pub use listen::{Heard, Listener};
pub use program::{ProgramOptions, build_id};
pub use record::Hook;
pub use status::{InterfaceStatus, Problem};

/// The tables in the kernel, opened by their pins.
#[derive(Debug)]
pub struct Dataplane {
    root: Root,
    pins: Pins,
    definitions: Definitions,
    slots: Slots,
    buckets: Buckets,
    totals: OwnedFd,
    meta: Map<u32, Meta>,
    paths: Paths,
}

/// What applying tables changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entries that were not there before.
    pub added: usize,
    /// Entries that are gone.
    pub removed: usize,
    /// Entries with another limit.
    pub changed: usize,
    /// Entries that stay as they were.
    pub unchanged: usize,
}

impl Dataplane {
    /// What is in force.
    ///
    /// # Errors
    ///
    /// Whatever the kernel refuses.
    pub fn entries(&self) -> Result<Tables, DataplaneError> {
        let rules = self.slots.rules()?;
        Ok(Tables::new(
            rules.iter().map(|(key, rule)| (*key, entry(rule))).collect(),
        ))
    }

    /// Puts `tables` in force, all at once. The caller holds the lock.
    ///
    /// # Errors
    ///
    /// Whatever the kernel refuses; what was in force stays so.
    pub fn apply(&self, tables: &Tables) -> Result<Applied, DataplaneError> {
        let in_force = self.slots.rules()?;
        let plan = plan(&in_force, tables)?;
        if plan.applied.added + plan.applied.removed + plan.applied.changed > 0 {
            self.slots
                .apply(&in_force, &plan, &self.buckets, &self.definitions)?;
        }
        Ok(plan.applied)
    }

    /// All counters.
    ///
    /// # Errors
    ///
    /// Whatever the kernel refuses.
    pub fn snapshot(&self) -> Result<Snapshot, DataplaneError> {
        let rules = self.slots.rules()?;
        let numbers: Vec<u32> = rules.iter().map(|(_, rule)| rule.bucket).collect();
        let buckets = self.buckets.read(&numbers)?;
        let entries = rules.iter().zip(buckets).map(|((key, rule), bucket)| {
            let entry = entry(rule);
            let is_limited = matches!(entry, crate::policy::tables::Entry::Limited { .. });
            EntrySnapshot {
                key: *key,
                entry,
                bucket_number: rule.bucket,
                bucket: if is_limited {
                    bucket
                } else {
                    shaper_common::bucket::Bucket::default()
                },
            }
        });
        let mut snapshot = Snapshot {
            taken_ns: monotonic_ns(),
            entries: entries.collect(),
            totals: [0; N_OUTCOMES as usize],
        };
        for (index, total) in (0..).zip(&mut snapshot.totals) {
            *total = sum_per_cpu(self.totals.as_fd(), index)
                .map_err(|error| DataplaneError::kernel("read the map TOTALS", error))?;
        }
        Ok(snapshot)
    }
}

/// The names of all interfaces of this network namespace.
///
/// # Errors
///
/// If the kernel cannot be asked.
pub fn interface_names() -> Result<Vec<String>, DataplaneError> {
    let devices = device::list(&mut netlink::Netlink::open()?)?;
    Ok(devices.into_iter().map(|device| device.name).collect())
}

/// The clock that the program and fq use.
fn monotonic_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call fills `time` and cannot fail with this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or(0) * shaper_common::NSEC_PER_SEC + nanoseconds.unwrap_or(0)
}
