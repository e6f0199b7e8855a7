//! What stands in the kernel: the only module that talks to it.
//!
//! ```text
//! tables -> plan -> slots (built idle, one write makes them current) + buckets     pinned: pins, maps, batch, bpf
//! interface -> topology -> qdisc, fq (who holds the packets) + program -> links | clsact     over: netlink, bpf
//! ```

mod again;
mod attach;
mod batch;
mod bpf;
mod buckets;
mod capability;
mod clsact;
mod detach;
mod device;
mod doctor;
mod error;
mod follow;
mod fq;
mod hold;
mod holding;
mod links;
mod log;
mod maps;
mod netlink;
mod pins;
mod plan;
mod program;
mod qdisc;
mod record;
mod room;
mod slots;
mod status;
mod tables;
mod topology;

use std::os::fd::{AsFd, OwnedFd};

use shaper_common::names::{self, LAYOUT_VERSION, MAGIC, PINNED_MAPS};
use shaper_common::outcome::N_OUTCOMES;
use shaper_common::rule::Meta;

use self::bpf::MapInfo;
use self::buckets::Buckets;
use self::maps::{Map, difference, sum_per_cpu};
use self::pins::{Pins, Root};
use self::plan::{entry, plan};
use self::program::{Definition, Definitions};
use self::slots::Slots;
use crate::paths::Paths;
use crate::policy::tables::Tables;
use crate::stats::{EntrySnapshot, Snapshot};

pub use attach::{Attached, Done, Request};
pub use detach::take_down;
pub use doctor::{Finding, Fitness, examine};
pub use error::DataplaneError;
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
    /// Opens what is pinned.
    ///
    /// # Errors
    ///
    /// [`DataplaneError::NotUp`] if nothing is pinned, or what makes the pins unusable.
    pub fn open(paths: &Paths) -> Result<Self, DataplaneError> {
        let root = Root::open(&paths.bpffs)?.ok_or(DataplaneError::NotUp)?;
        let pins = root.pins()?.ok_or(DataplaneError::NotUp)?;
        Self::check(root, pins, paths)
    }

    /// Opens what is pinned, or makes the maps if nothing is. The flag says that they were made.
    ///
    /// # Errors
    ///
    /// What makes the pins unusable, or the kernel's refusal; then nothing was changed.
    pub fn create_or_open(paths: &Paths) -> Result<(Self, bool), DataplaneError> {
        let root = Root::create(&paths.bpffs)?;
        if let Some(pins) = root.pins()? {
            return Ok((Self::check(root, pins, paths)?, false));
        }
        let draft = root.draft()?;
        let made = Self::build(&draft).and_then(|()| root.publish(&draft));
        match made {
            Ok(pins) => Ok((Self::check(root, pins, paths)?, true)),
            Err(error) => {
                // The first error is the one to report.
                let _ = draft.remove();
                let _ = root.remove();
                Err(error)
            }
        }
    }

    fn build(draft: &Pins) -> Result<(), DataplaneError> {
        let definitions = Definitions::read()?;
        for name in PINNED_MAPS.into_iter().chain([pins::LOGS]) {
            make_map(draft, definitions.get(name), name)?;
        }
        let meta: Map<u32, Meta> = open_map(draft, &definitions, names::META)?;
        let says = Meta {
            magic: MAGIC,
            layout_version: LAYOUT_VERSION,
            build_id: 0,
        };
        meta.put(&0, &says)
            .map_err(|error| DataplaneError::kernel("write the map META", error))?;
        Self::buckets(draft, &definitions)?.ensure(0).map(drop)
    }

    fn buckets(pins: &Pins, definitions: &Definitions) -> Result<Buckets, DataplaneError> {
        let outer = open_map(pins, definitions, names::BUCKETS)?;
        Ok(Buckets::new(
            outer,
            definitions.inner(names::BUCKETS),
            pins.clone(),
        ))
    }

    fn check(root: Root, pins: Pins, paths: &Paths) -> Result<Self, DataplaneError> {
        let definitions = Definitions::read()?;
        let meta: Map<u32, Meta> = open_map(&pins, &definitions, names::META)?;
        let says = meta
            .get(&0)
            .map_err(|error| DataplaneError::kernel("read the map META", error))?;
        let says = says.unwrap_or_default();
        if says.magic != MAGIC || says.layout_version != LAYOUT_VERSION {
            let problem = "it does not say that shaper made these pins".into();
            return Err(DataplaneError::ForeignPin {
                path: pins.path(names::META),
                problem,
            });
        }
        for name in PINNED_MAPS {
            open_checked(&pins, &definitions, name)?;
        }
        let slots = Slots {
            active: open_map(&pins, &definitions, names::ACTIVE)?,
            policies: open_map(&pins, &definitions, names::POLICIES)?,
            exact4: open_map(&pins, &definitions, names::EXACT4)?,
            exact6: open_map(&pins, &definitions, names::EXACT6)?,
            prefix4: open_map(&pins, &definitions, names::PREFIX4)?,
            prefix6: open_map(&pins, &definitions, names::PREFIX6)?,
            pins: pins.clone(),
        };
        let buckets = Self::buckets(&pins, &definitions)?;
        let totals = open_checked(&pins, &definitions, names::TOTALS)?;
        Ok(Self {
            root,
            pins,
            definitions,
            slots,
            buckets,
            totals,
            meta,
            paths: paths.clone(),
        })
    }

    /// Says in the pins which object was loaded last.
    fn say_build_id(&self) -> Result<(), DataplaneError> {
        let says = Meta {
            magic: MAGIC,
            layout_version: LAYOUT_VERSION,
            build_id: build_id(),
        };
        self.meta
            .put(&0, &says)
            .map_err(|error| DataplaneError::kernel("write the map META", error))
    }

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
            let is_limited = matches!(entry, crate::policy::tables::Entry::Limited(_));
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

/// Makes and pins the map `name`, with nothing in it.
fn make_map(pins: &Pins, definition: Definition, name: &str) -> Result<(), DataplaneError> {
    let refused = |error| DataplaneError::kernel(format!("make the map {name}"), error);
    let template = definition
        .inner
        .map(|inner| bpf::create_map(&inner, name, None))
        .transpose()
        .map_err(refused)?;
    let template = template.as_ref().map(AsFd::as_fd);
    let map = bpf::create_map(&definition.map, name, template).map_err(refused)?;
    pins.put(name, map.as_fd())
}

/// The pinned map `name`, known to be as the object defines it.
fn open_checked(pins: &Pins, definitions: &Definitions, name: &str) -> Result<OwnedFd, DataplaneError> {
    let foreign = |problem| DataplaneError::ForeignPin {
        path: pins.path(name),
        problem,
    };
    let fd = pins.open(name)?.ok_or_else(|| foreign("it is missing".into()))?;
    let found: MapInfo = bpf::map_info(fd.as_fd()).map_err(|error| foreign(error.to_string()))?;
    match difference(&found, &definitions.get(name).map) {
        None => Ok(fd),
        Some(problem) => Err(foreign(problem)),
    }
}

fn open_map<K: aya::Pod, V: aya::Pod>(
    pins: &Pins,
    definitions: &Definitions,
    name: &str,
) -> Result<Map<K, V>, DataplaneError> {
    let fd = open_checked(pins, definitions, name)?;
    Map::new(fd).map_err(|problem| DataplaneError::ForeignPin {
        path: pins.path(name),
        problem,
    })
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
