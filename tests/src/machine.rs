//! A whole machine with systemd that the tests run on: a guest of their own.

pub mod flow;

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

/// What a program said, and how it ended.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// Runs a command line of the shell to its end.
#[must_use]
pub fn sh(line: &str) -> Said {
    let output = Command::new("bash")
        .args(["-c", line])
        .output()
        .unwrap_or_else(|error| panic!("{line}: {error}"));
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a command line that has to succeed; what it printed.
pub fn must(line: &str) -> String {
    let said = sh(line);
    assert_eq!(said.code, 0, "{line}: {}{}", said.out, said.err);
    said.out
}

/// What `shaper status` says: its exit code, and the document.
#[must_use]
pub fn status() -> (i32, Value) {
    let said = sh("shaper -o json status --brief");
    let document = serde_json::from_str(&said.out).unwrap_or(Value::Null);
    (said.code, document)
}

/// Asks again and again until `holds`, and says how long it took; panics with `what` after `limit`.
pub fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    loop {
        if holds() {
            return began.elapsed();
        }
        assert!(
            began.elapsed() < limit,
            "{what}: not within {limit:?}\n{}\n{}",
            sh("shaper status; tc qdisc show; ip -br link").out,
            sh("journalctl -b --no-pager -n 60; systemctl --no-pager status shaper shaper-monitor").out
        );
    }
}

/// A property of a unit, as systemd shows it.
#[must_use]
pub fn property(unit: &str, name: &str) -> String {
    must(&format!("systemctl show --property={name} --value {unit}"))
        .trim()
        .to_owned()
}
