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
mod bpf_program;
mod buckets;
mod build;
mod capability;
mod change;
mod clients;
mod clsact;
mod content;
mod coverage;
mod detach;
mod device;
mod directory;
mod doctor;
mod error;
mod filter;
mod follow;
mod fq;
mod hold;
mod holding;
mod links;
mod listen;
mod load;
mod log;
mod mapping;
mod maps;
mod netlink;
mod open;
mod owners;
mod pins;
mod place;
mod plan;
mod position;
mod program;
mod qdisc;
mod read;
mod record;
mod release;
mod remove;
mod resize;
mod room;
mod services;
mod slots;
mod sound;
mod status;
mod survey;
mod tables;
mod targets;
mod tcx;
mod topology;
mod transfer;
mod undo;

use std::os::fd::OwnedFd;

use shaper_common::rule::Meta;

use self::buckets::Buckets;
use self::clients::Clients;
use self::maps::Map;
use self::pins::{Pins, Root};
use self::program::Definitions;
use self::slots::Slots;
use crate::paths::Paths;

pub use attach::{Attached, Done, Request};
pub use detach::take_down;
pub use doctor::{Finding, Fitness, examine};
pub use error::DataplaneError;
pub use listen::{Heard, Listener};
pub use open::of_another_layout;
pub use program::{ProgramOptions, build_id};
pub use read::Aged;
pub use record::Hook;
pub use status::{InterfaceStatus, Problem};
pub use undo::Stopped;

/// The tables in the kernel, opened by their pins.
#[derive(Debug)]
pub struct Dataplane {
    root: Root,
    pins: Pins,
    definitions: Definitions,
    slots: Slots,
    buckets: Buckets,
    clients: Clients,
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
#[must_use]
pub fn monotonic_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call fills `time` and cannot fail with this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or(0) * shaper_common::NSEC_PER_SEC + nanoseconds.unwrap_or(0)
}
