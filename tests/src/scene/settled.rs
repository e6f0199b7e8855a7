//! What there is between two commands: nothing of it may depend on what happened to the commands before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use shaper_user::policy::tables::Tables;

use super::Scene;
use crate::visible::{Interface, Sight, owned_buckets, places};

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
    /// Of each interface: how many programs packets meet there, and the kinds of its qdiscs. What is given a number is
    /// given another each time, and room that `fq` was given stays.
    interfaces: BTreeMap<String, (usize, Vec<String>)>,
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

fn lasting_of(interface: Interface) -> (String, (usize, Vec<String>)) {
    let kinds = interface.qdiscs.into_iter().map(|qdisc| qdisc.kind);
    (interface.name, (interface.programs.len(), kinds.collect()))
}

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
