//! What else is on this machine: the service manager, a container around us, tools that manage the same qdiscs.
//!
//! Read from files alone: nothing is asked that could hang, and a folder can stand for the machine in tests.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::view::check::{Check, State};

/// The oldest systemd that the units were tried with.
const OLDEST_SYSTEMD: u32 = 252;

/// Where networkd looks, the first place first.
const NETWORKD: [&str; 4] = [
    "etc/systemd/network",
    "run/systemd/network",
    "usr/local/lib/systemd/network",
    "usr/lib/systemd/network",
];

/// Sections of systemd.network(5) that set a qdisc, those of its classes apart.
const QDISC_SECTIONS: [&str; 24] = [
    "BFIFO",
    "BandMultiQueueing",
    "CAKE",
    "ClassfulMultiQueueing",
    "ControlledDelay",
    "DeficitRoundRobinScheduler",
    "EnhancedTransmissionSelection",
    "FairQueueing",
    "FairQueueingControlledDelay",
    "FlowQueuePIE",
    "GenericRandomEarlyDetection",
    "HeavyHitterFilter",
    "HierarchyTokenBucket",
    "NetworkEmulator",
    "PFIFO",
    "PFIFOFast",
    "PFIFOHeadDrop",
    "PIE",
    "QDisc",
    "QuickFairQueueing",
    "StochasticFairBlue",
    "StochasticFairnessQueueing",
    "TokenBucketFilter",
    "TrivialLinkEqualizer",
];

/// The machine as its files tell.
#[derive(Debug)]
pub(super) struct Surroundings {
    root: PathBuf,
}

fn check(what: &'static str, state: State, found: impl Into<String>, remedy: &str) -> Check {
    Check {
        what,
        state,
        found: found.into(),
        remedy: remedy.to_owned(),
    }
}

impl Surroundings {
    /// The machine whose root is `root`.
    pub(super) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Looks at all of it.
    pub(super) fn examine(&self) -> Vec<Check> {
        let mut checks = vec![self.lockdown(), self.container()];
        checks.extend(self.service_manager());
        let others = self.others();
        if others.is_empty() {
            checks.push(check(
                "others",
                State::Ok,
                "no other tool that manages qdiscs was found",
                "",
            ));
        }
        checks.extend(others);
        checks
    }

    fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap_or_default()
    }

    fn lockdown(&self) -> Check {
        let modes = self.read("sys/kernel/security/lockdown");
        let mode = modes
            .split_once('[')
            .and_then(|(_, rest)| rest.split_once(']'))
            .map_or("none", |(mode, _)| mode);
        let state = if mode == "confidentiality" {
            State::Warn
        } else {
            State::Ok
        };
        let remedy = if state == State::Ok {
            ""
        } else {
            "the kernel may refuse programs that read its memory; shaper's does not, but other tools of BPF will fail"
        };
        check("lockdown", state, mode, remedy)
    }

    fn container(&self) -> Check {
        let kind = self.read("run/systemd/container");
        let kind = match kind.trim() {
            "" if self.has(".dockerenv") => "docker",
            "" if self.has("run/.containerenv") => "podman",
            kind => kind,
        };
        if kind.is_empty() {
            return check("container", State::Ok, "none", "");
        }
        check(
            "container",
            State::Warn,
            format!("this is a container ({kind}): its interfaces end at the host's"),
            "run shaper on the host, whose interfaces carry the packets",
        )
    }

    fn service_manager(&self) -> Vec<Check> {
        if !self.has("run/systemd/system") {
            return vec![check(
                "systemd",
                State::Warn,
                "not what started this machine",
                "have your service manager run `shaper up` before the network, and `shaper monitor`",
            )];
        }
        let mut checks = Vec::new();
        match self.systemd_version() {
            Some(version) if version < OLDEST_SYSTEMD => checks.push(check(
                "systemd",
                State::Warn,
                version.to_string(),
                "the units were tried with 252 and newer; see `systemd-analyze verify shaper.service`",
            )),
            Some(version) => checks.push(check("systemd", State::Ok, version.to_string(), "")),
            None => checks.push(check("systemd", State::Ok, "of unknown version", "")),
        }
        let is_enabled = |target: &str, unit: &str| {
            let link = self
                .root
                .join(format!("etc/systemd/system/{target}.wants/{unit}"));
            link.is_symlink()
        };
        checks.push(if is_enabled("sysinit.target", "shaper.service") {
            check(
                "boot",
                State::Ok,
                "limits are put in force again at the next boot",
                "",
            )
        } else {
            check(
                "boot",
                State::Warn,
                "nothing puts limits in force at the next boot",
                "`systemctl enable shaper.service`",
            )
        });
        checks
    }

    /// From the name of the library that systemd brings along.
    fn systemd_version(&self) -> Option<u32> {
        [
            "usr/lib/systemd",
            "usr/lib64/systemd",
            "usr/lib/x86_64-linux-gnu/systemd",
            "usr/lib/aarch64-linux-gnu/systemd",
        ]
        .iter()
        .flat_map(|dir| names(&self.root.join(dir)))
        .find_map(|name| {
            let version = name.strip_prefix("libsystemd-shared-")?;
            version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        })
    }

    /// Tools that put qdiscs or programs where ours are.
    fn others(&self) -> Vec<Check> {
        let undoes = "it replaces the root qdisc of its interfaces: do not configure the same ones in both";
        let mut found = Vec::new();
        let mut warn = |what: String, remedy: &str| found.push(check("others", State::Warn, what, remedy));
        if self.has("run/cilium") || self.has("sys/fs/bpf/cilium") {
            let remedy = "its programs end the chain of those on the hook: see that shaper's is first in `shaper status`";
            warn(
                "Cilium manages programs on this machine's hooks".to_owned(),
                remedy,
            );
        }
        for (tool, file) in [
            (
                "wondershaper",
                "etc/systemd/system/multi-user.target.wants/wondershaper.service",
            ),
            ("wondershaper", "etc/conf.d/wondershaper.conf"),
            ("FireQOS", "etc/firehol/fireqos.conf"),
        ] {
            if self.has(file) {
                warn(format!("{tool} is configured in /{file}"), undoes);
            }
        }
        for file in self.networkd_files() {
            if self.has_line(&file, is_queueing_section) {
                warn(format!("systemd-networkd sets a qdisc by /{file}"), undoes);
            }
        }
        let mut scripts = self.files_in("etc/network/interfaces.d");
        scripts.push("etc/network/interfaces".to_owned());
        for file in scripts {
            for tool in ["tc", "wondershaper", "fireqos"] {
                if self.has_line(&file, |line| runs(line, tool)) {
                    warn(format!("/{file} runs {tool} when an interface comes up"), undoes);
                }
            }
        }
        for file in self.files_in("etc/NetworkManager/system-connections") {
            if self.has_line(&file, |line| line == "[tc]") {
                warn(format!("NetworkManager sets a qdisc by /{file}"), undoes);
            }
        }
        found
    }

    /// What networkd reads: of files of one name the first, and drop-ins.
    fn networkd_files(&self) -> Vec<String> {
        let mut files = BTreeMap::new();
        for dir in NETWORKD {
            let here = self.files_in(dir);
            let drop_ins = here.iter().filter(|file| file.ends_with(".network.d"));
            let drop_ins = drop_ins.flat_map(|dir| self.files_in(dir));
            for file in here.iter().cloned().chain(drop_ins) {
                let extension = Path::new(&file).extension().and_then(OsStr::to_str);
                if matches!(extension, Some("network" | "conf")) {
                    files.entry(file[dir.len()..].to_owned()).or_insert(file);
                }
            }
        }
        files.into_values().collect()
    }

    /// The files of a folder.
    fn files_in(&self, dir: &str) -> Vec<String> {
        let names = names(&self.root.join(dir)).into_iter();
        let mut files: Vec<String> = names.map(|name| format!("{dir}/{name}")).collect();
        files.sort();
        files
    }

    /// Whether a file has a line like this, comments apart.
    fn has_line(&self, file: &str, is_like: impl Fn(&str) -> bool) -> bool {
        let text = self.read(file);
        let mut lines = text.lines().map(str::trim);
        lines.any(|line| !line.starts_with(['#', ';']) && is_like(line))
    }
}

/// Whether a line of a script has the name of a tool among its words.
fn runs(line: &str, tool: &str) -> bool {
    line.split_whitespace()
        .any(|word| word.rsplit('/').next() == Some(tool))
}

/// Whether a line of a `.network` file begins a section that sets a qdisc.
fn is_queueing_section(line: &str) -> bool {
    let section = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    section.is_some_and(|name| QDISC_SECTIONS.contains(&name.strip_suffix("Class").unwrap_or(name)))
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[cfg(test)]
#[path = "surroundings_tests.rs"]
mod tests;
