//! The program under test, run in a host of the lab with directories of its own.

#![allow(
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "a program that does not do what it is told is a failed test"
)]

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::lab::Host;
use crate::lab::host::run;

/// `shaper` on a host. Whatever it has made is gone when dropped.
#[derive(Debug)]
pub struct Shaper<'a> {
    host: &'a Host,
    /// Holds its configuration, its rules and its lock.
    directory: PathBuf,
    /// Holds its pins.
    pins: PathBuf,
}

/// What `shaper list --stats` says about a rule.
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
        Self {
            host,
            directory,
            pins: PathBuf::from("/sys/fs/bpf").join(name),
        }
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
        fs::write(self.directory.join("shaper.toml"), config).expect("our own directory");
    }

    /// The command `shaper` with its directories set.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let program = std::env::var_os("SHAPER_BIN").unwrap_or_else(|| "shaper".into());
        let mut command = self.host.command(program);
        command
            .args(args)
            .env("SHAPER_BPFFS_DIR", &self.pins)
            .env("SHAPER_RUN_DIR", self.directory.join("run"))
            .env("SHAPER_STATE_DIR", self.directory.join("state"))
            .env("SHAPER_CONFIG", self.directory.join("shaper.toml"))
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

    /// Counters of the rule for `destination`, as it is written.
    #[must_use]
    pub fn stats(&self, destination: &str) -> Stats {
        let text = self.run(&["list", "--stats", "-o", "json"]);
        let list: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("list said {text}"));
        let with_length = format!("{destination}/");
        let is_it = |rule: &&Value| {
            rule["destination"]
                .as_str()
                .is_some_and(|written| written == destination || written.starts_with(&with_length))
        };
        let rules = list["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
        let rule = rules.iter().find(is_it);
        let rule = rule.unwrap_or_else(|| panic!("no rule for {destination} in {text}"));
        let count = |name: &str| {
            let count = rule["stats"][name].as_u64();
            count.unwrap_or_else(|| panic!("no {name} in {rule}"))
        };
        Stats {
            sent_packets: count("sent_packets"),
            sent_bytes: count("sent_bytes"),
            delayed_packets: count("delayed_packets"),
            marked_packets: count("marked_packets"),
            dropped_packets: count("dropped_packets"),
        }
    }
}

impl Drop for Shaper<'_> {
    fn drop(&mut self) {
        let _ = self
            .command(&["down"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let _ = fs::remove_dir_all(&self.pins);
        let _ = fs::remove_dir_all(&self.directory);
    }
}
