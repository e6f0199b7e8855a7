//! What there is between two commands: nothing of it may depend on what happened to the commands before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use shaper_user::policy::tables::Tables;

use super::Scene;
use crate::visible::{Interface, Qdisc, Sight, owned_buckets, places};

/// The policy in force, and all that goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The policy, as the kernel has it; `None` if no packet meets one.
    pub policy: Option<Tables>,
    /// The files, but for the lock, which says who had it last; see `lasting`. Files of rules are counted: which number
    /// one has depends on all changes before.
    files: BTreeMap<PathBuf, String>,
    /// The names of all pins.
    pins: BTreeSet<PathBuf>,
    /// Whose buckets there are, and how many packets each has seen.
    buckets: BTreeSet<(u64, u64)>,
    /// How many tables stand in each map of maps, and how many of them are different ones.
    tables: BTreeMap<PathBuf, (usize, usize)>,
    /// Of each interface: how many programs packets meet there, and its qdiscs, by what they stand on.
    interfaces: BTreeMap<String, (usize, Vec<Qdisc>)>,
}

impl Settled {
    pub(super) fn of(scene: &Scene) -> Self {
        let paths = scene.paths();
        let Sight {
            pins,
            files,
            interfaces,
        } = scene.eye.look();
        let files = files.into_iter().filter(|(path, _)| !path.ends_with("lock"));
        let mut n_rules_files = 0;
        let files = files.map(|(path, bytes)| {
            let name = path.to_string_lossy();
            if !name.starts_with(RULES) || !name.ends_with(".toml") {
                return (path, lasting(&bytes));
            }
            n_rules_files += 1;
            let path = PathBuf::from(format!("file {n_rules_files} of rules"));
            (path, lasting(&bytes))
        });
        Self {
            policy: scene.in_force(),
            files: files.collect(),
            buckets: owned_buckets(&paths.bpffs),
            tables: places(&paths.bpffs),
            pins: pins.into_keys().collect(),
            interfaces: interfaces.into_iter().map(lasting_of).collect(),
        }
    }

    /// Whether packets meet as many programs on each interface as `wanted` has programs on, and queues with no less room.
    #[must_use]
    pub fn enforces(&self, wanted: &Self) -> bool {
        let limited = wanted
            .interfaces
            .iter()
            .filter(|(_, (n_programs, _))| *n_programs > 0);
        limited.into_iter().all(|(name, (n_programs, qdiscs))| {
            let found = self.interfaces.get(name);
            found.is_some_and(|(n_found, found)| {
                let pairs = || found.iter().zip(qdiscs);
                n_found == n_programs
                    && found.len() == qdiscs.len()
                    && pairs().all(|(found, wanted)| has_room(found, wanted))
            })
        })
    }

    /// As [`difference`](Self::difference), but `fq` may have more room than it had.
    #[must_use]
    pub fn difference_but_room(&self, wanted: &Self) -> Option<String> {
        let mut interfaces = self.interfaces.clone();
        for (name, (_, qdiscs)) in &mut interfaces {
            let of_wanted = wanted
                .interfaces
                .get(name)
                .into_iter()
                .flat_map(|(_, qdiscs)| qdiscs);
            for (found, wanted) in qdiscs.iter_mut().zip(of_wanted) {
                if has_room(found, wanted) {
                    found.clone_from(wanted);
                }
            }
        }
        let same = Self {
            interfaces,
            ..self.clone()
        };
        same.difference(wanted)
    }

    /// Whether the interfaces and their queues are as in `other`.
    #[must_use]
    pub fn has_the_network_of(&self, other: &Self) -> bool {
        self.interfaces == other.interfaces
    }

    /// In what this differs from `wanted`, in words.
    #[must_use]
    pub fn difference(&self, wanted: &Self) -> Option<String> {
        let mut parts = Vec::new();
        if self.policy != wanted.policy {
            parts.push(format!("the policy is {:?}", self.policy));
        }
        for (path, text) in &self.files {
            match wanted.files.get(path) {
                None => parts.push(format!("there is a file {}", path.display())),
                Some(wanted) if wanted != text => {
                    parts.push(format!("{} says {text:?} instead of {wanted:?}", path.display()));
                }
                Some(_) => {}
            }
        }
        let missing = wanted.files.keys().filter(|path| !self.files.contains_key(*path));
        parts.extend(missing.map(|path| format!("{} is missing", path.display())));
        let more = self.pins.difference(&wanted.pins);
        parts.extend(more.map(|pin| format!("there is a pin {}", pin.display())));
        let missing = wanted.pins.difference(&self.pins);
        parts.extend(missing.map(|pin| format!("there is no pin {}", pin.display())));
        let buckets = self.buckets.symmetric_difference(&wanted.buckets);
        parts.extend(buckets.map(|(owner, n)| format!("one has a bucket of {owner:x} with {n} packets")));
        if self.tables != wanted.tables {
            parts.push(format!("tables {:?} instead of {:?}", self.tables, wanted.tables));
        }
        if self.interfaces != wanted.interfaces {
            parts.push(format!(
                "{:?} instead of {:?}",
                self.interfaces, wanted.interfaces
            ));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

fn lasting_of(interface: Interface) -> (String, (usize, Vec<Qdisc>)) {
    let n_programs = interface.n_programs();
    let mut qdiscs = interface.qdiscs;
    qdiscs.sort_by_key(|qdisc| qdisc.parent);
    for qdisc in &mut qdiscs {
        // The kernel gives the queues of an `mq` another number each time.
        if qdisc.parent != TC_H_ROOT {
            qdisc.handle = 0;
        }
    }
    (interface.name, (n_programs, qdiscs))
}

/// Whether `found` is `wanted`, or an `fq` that holds no less.
fn has_room(found: &Qdisc, wanted: &Qdisc) -> bool {
    let is_enough = |(a, b): ((u32, u32), (u32, u32))| a.0 >= b.0 && a.1 >= b.1;
    let same = Qdisc {
        options: wanted.options,
        room: wanted.room,
        ..found.clone()
    };
    found == wanted || same == *wanted && found.room.zip(wanted.room).is_some_and(is_enough)
}

/// The parent of what stands on no other qdisc.
const TC_H_ROOT: u32 = 0xffff_ffff;

/// How the name of a file of rules begins, before its number.
const RULES: &str = "rules-";

/// What does not change when an interface comes back under another number, and when a change is taken back that `fq` was
/// given more room for: that room stays, and is none of the policy's. Nor is the number of a file of rules.
fn lasting(bytes: &[u8]) -> String {
    const PASSING: [&str; 3] = ["ifindex = ", "limit_packets = ", "flow_limit_packets = "];
    let text = str::from_utf8(bytes).unwrap();
    let lines = text
        .lines()
        .filter(|line| !PASSING.iter().any(|passing| line.starts_with(passing)));
    lines
        .map(|line| {
            let names_rules = line.starts_with(&format!("rules = \"{RULES}"));
            let line = if names_rules { "rules = a file" } else { line };
            format!("{line}\n")
        })
        .collect()
}
