//! `shaper doctor --fix`: what can be mended without taking anything from anybody.

use std::fs;
use std::io;
use std::process::{Command, Stdio};

use crate::view::check::{Check, State};

/// Where a BPF file system is mounted by convention.
const BPFFS: &str = "/sys/fs/bpf";

/// A mend for one kind of finding.
type Mend = (&'static str, &'static str, fn() -> io::Result<()>);

/// The kind of finding, what is done about it, and how.
const MENDS: [Mend; 3] = [
    ("bpffs", "mounted a BPF file system at /sys/fs/bpf", mount_bpffs),
    ("fq", "loaded the module sch_fq", load_fq),
    (
        "jit",
        "switched the compiler of BPF programs on (until the next boot)",
        switch_jit_on,
    ),
];

/// Mends what can be mended of `checks`; what was done, or why it could not be.
pub(super) fn mend(checks: &[Check]) -> Vec<String> {
    let is_found = |what: &str| {
        checks
            .iter()
            .any(|check| check.what == what && check.state != State::Ok)
    };
    MENDS
        .iter()
        .filter(|(what, ..)| is_found(what))
        .map(|(what, done, mend)| match mend() {
            Ok(()) => format!("{what}: {done}"),
            Err(error) => format!("{what}: not mended: {error}"),
        })
        .collect()
}

fn mount_bpffs() -> io::Result<()> {
    run("mount", &["-t", "bpf", "bpf", BPFFS])
}

fn load_fq() -> io::Result<()> {
    run("modprobe", &["sch_fq"])
}

fn switch_jit_on() -> io::Result<()> {
    fs::write("/proc/sys/net/core/bpf_jit_enable", "1")
}

fn run(program: &str, args: &[&str]) -> io::Result<()> {
    let mut command = Command::new(program);
    // The system's programs, whatever path the operator has.
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let output = command.args(args).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(
        said.lines().next().unwrap_or(program).to_owned(),
    ))
}
