//! The program under test, run in a host of the lab with directories of its own.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use shaper_common::names::LAYOUT_VERSION;
use shaper_user::dataplane::Dataplane;
use shaper_user::paths::Paths;
use shaper_user::policy::Destination;
use shaper_user::policy::tables::TableKey;
use shaper_user::stats::Snapshot;

use crate::lab::Host;
use crate::lab::host::run;

/// `shaper` on a host. Whatever it has made is gone when dropped.
#[derive(Debug)]
pub struct Shaper<'a> {
    host: &'a Host,
    /// Holds its configuration, its rules and its lock.
    directory: PathBuf,
    paths: Paths,
}

/// What has become of a rule's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets sent, delayed ones included.
    pub sent_packets: u64,
    /// Their bytes on the wire.
    pub sent_bytes: u64,
    /// Packets that had to wait.
    pub delayed_packets: u64,
    /// Packets that were marked.
    pub marked_packets: u64,
    /// Packets that were dropped.
    pub dropped_packets: u64,
}

impl<'a> Shaper<'a> {
    /// Directories for `host`, and nothing limited.
    #[must_use]
    pub fn new(host: &'a Host) -> Self {
        static N_SHAPERS: AtomicU32 = AtomicU32::new(0);
        let n = N_SHAPERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("lab-{}-{n}", std::process::id());
        let directory = std::env::temp_dir().join(&name);
        fs::create_dir_all(&directory).expect("there is a place for temporary files");
        let shaper = Self {
            host,
            paths: Paths {
                bpffs: PathBuf::from("/sys/fs/bpf").join(name),
                run: directory.join("run"),
                state: directory.join("state"),
                config: directory.join("shaper.toml"),
            },
            directory,
        };
        shaper.configure("");
        shaper
    }

    /// `shaper up` on interface `name`.
    #[must_use]
    pub fn up(host: &'a Host, name: &str) -> Self {
        let shaper = Self::new(host);
        shaper.run(&["up", "-i", name]);
        shaper
    }

    /// `shaper up` on interface `name` with a configuration.
    #[must_use]
    pub fn up_with(host: &'a Host, name: &str, config: &str) -> Self {
        let shaper = Self::new(host);
        shaper.configure(config);
        shaper.run(&["up", "-i", name]);
        shaper
    }

    /// Writes the configuration file.
    pub fn configure(&self, config: &str) {
        fs::write(&self.paths.config, config).expect("our own directory");
    }

    /// The command `shaper` with its directories set.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let program = std::env::var_os("SHAPER_BIN").unwrap_or_else(|| "shaper".into());
        let mut command = self.host.command(program);
        command
            .args(args)
            .env("SHAPER_BPFFS_DIR", &self.paths.bpffs)
            .env("SHAPER_RUN_DIR", &self.paths.run)
            .env("SHAPER_STATE_DIR", &self.paths.state)
            .env("SHAPER_CONFIG", &self.paths.config)
            .env_remove("SSH_CONNECTION");
        command
    }

    /// Runs a command that must succeed, and returns what it printed.
    pub fn run(&self, args: &[&str]) -> String {
        let output = run(&mut self.command(args));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a command that may fail.
    pub fn try_run(&self, args: &[&str]) -> Output {
        let output = self.command(args).stdin(Stdio::null()).output();
        output.expect("the program is there")
    }

    /// `shaper set` for one address, with further arguments.
    pub fn set(&self, destination: IpAddr, rate: &str, more: &[&str]) {
        let destination = destination.to_string();
        self.run(&[&["set", &destination, rate], more].concat());
    }

    /// Limits all that no other rule covers.
    pub fn set_any(&self, rate: &str, more: &[&str]) {
        self.run(&[&["set", "any", rate, "--force"], more].concat());
    }

    /// What `shaper status -o json` says; it may say that something is wrong.
    #[must_use]
    pub fn status(&self) -> Value {
        let output = self.try_run(&["status", "-o", "json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("status said {output:?}"))
    }

    /// Counters of the rule for one address, read from the kernel.
    #[must_use]
    pub fn stats(&self, destination: IpAddr) -> Stats {
        self.counters(TableKey::from(Destination::Prefix(destination.into())))
    }

    /// Counters of the rule for all the rest.
    #[must_use]
    pub fn stats_of_any(&self) -> Stats {
        self.counters(TableKey::Any)
    }

    fn counters(&self, key: TableKey) -> Stats {
        let snapshot = self.snapshot();
        let entry = snapshot.entries.iter().find(|entry| entry.key == key);
        let bucket = entry.unwrap_or_else(|| panic!("no rule for {key:?}")).bucket;
        Stats {
            sent_packets: bucket.sent_packets,
            sent_bytes: bucket.sent_bytes,
            delayed_packets: bucket.paced_packets,
            marked_packets: bucket.marked_packets,
            dropped_packets: bucket.dropped_packets,
        }
    }

    /// All counters, read from the kernel.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.dataplane().snapshot().expect("counters can be read")
    }

    /// The tables in the kernel. Whoever changes them has to be alone.
    #[must_use]
    pub fn dataplane(&self) -> Dataplane {
        Dataplane::open(&self.paths).expect("it is up")
    }

    /// Where it pins something.
    #[must_use]
    pub fn pin(&self, name: &str) -> PathBuf {
        self.paths.bpffs.join(format!("v{LAYOUT_VERSION}")).join(name)
    }
}

impl Drop for Shaper<'_> {
    fn drop(&mut self) {
        let _ = self
            .command(&["down"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let _ = fs::remove_dir_all(&self.paths.bpffs);
        let _ = fs::remove_dir_all(&self.directory);
    }
}
