//! `shaper doctor --fix` on a whole machine: it mends what it names, and nothing else. Without `--fix` it changes nothing.

use serde_json::Value;
use shaper_tests::machine::{must, sh};

const FALSE: &str = "/bin/false";

/// What a check found: its state.
fn state(what: &str) -> String {
    let said = sh("shaper -o json doctor");
    let document: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    let checks = document["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["check"] == what).unwrap();
    println!("{check}");
    check["state"].as_str().unwrap().to_owned()
}

/// All that `--fix` could change: mounts, modules, the JIT, qdiscs and interfaces, files.
fn machine() -> String {
    must(
        "cut -d ' ' -f 1-3 /proc/mounts | sort; cut -d ' ' -f 1 /proc/modules | sort; cat /proc/sys/net/core/bpf_jit_enable; \
         tc qdisc show; ip -o link; ls -lR /etc /run/shaper /var/lib/shaper 2>/dev/null",
    )
}

/// What of the machine is there now and was not before, and the other way round.
fn changes(before: &str) -> Vec<String> {
    let now = machine();
    let only = |these: &str, those: &str, sign: char| -> Vec<String> {
        let new = these
            .lines()
            .filter(|line| !those.lines().any(|other| other == *line));
        new.map(|line| format!("{sign}{line}")).collect()
    };
    [only(&now, before, '+'), only(before, &now, '-')].concat()
}

/// The kernel no longer finds modules by itself: only whoever asks `modprobe` gets one.
struct NoAutoload(String);

impl NoAutoload {
    fn new() -> Self {
        let before = must("cat /proc/sys/kernel/modprobe").trim().to_owned();
        must(&format!("echo {FALSE} >/proc/sys/kernel/modprobe"));
        Self(before)
    }
}

impl Drop for NoAutoload {
    fn drop(&mut self) {
        let _ = sh(&format!("echo {} >/proc/sys/kernel/modprobe", self.0));
    }
}

#[test]
fn what_is_missing_is_mended_and_nothing_else_is_touched() {
    must("sh /usr/lib/lab/well.sh && systemctl stop shaper-monitor.service shaper.service");
    let no_autoload = NoAutoload::new();
    must("rmmod sch_fq && umount /sys/fs/bpf");
    let before = machine();
    assert_eq!(["bpffs", "fq"].map(state), ["fail", "fail"]);
    assert_eq!(changes(&before), [""; 0], "looking changes nothing");

    let mended = sh("shaper doctor --fix");
    println!("{}{}", mended.out, mended.err);
    assert_eq!(["bpffs", "fq"].map(state), ["ok", "ok"]);
    let mut changed = changes(&before);
    changed.sort();
    assert_eq!(changed, ["+bpf /sys/fs/bpf bpf", "+sch_fq"]);
    assert!(
        sh("shaper doctor --fix")
            .err
            .contains("nothing that could be mended")
    );
    drop(no_autoload);
    must("sh /usr/lib/lab/well.sh");
}
