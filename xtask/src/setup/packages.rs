//! Debian packages that are installed on this machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

use super::step;

/// A program that is used, and the package that brings it.
const PROGRAMS: [(&str, &str); 17] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("iperf3", "iperf3"),
    ("ping", "iputils-ping"),
    ("ethtool", "ethtool"),
    ("nft", "nftables"),
    ("xtables-nft-multi", "iptables"),
    ("busybox", "busybox-static"),
    ("dash", "dash"),
    ("modprobe", "kmod"),
    ("depmod", "kmod"),
    ("xz", "xz-utils"),
    ("gcc", "gcc"),
    ("unshare", "util-linux"),
    ("wg", "wireguard-tools"),
    ("teamnl", "libteam-utils"),
];

/// Installs the packages whose programs are missing.
pub(super) fn ready() -> Result<()> {
    let mut missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, _)| process::which(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if !Path::new("/usr/include/stdio.h").exists() {
        missing.push("libc6-dev");
    }
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    install(&missing)
}

fn install(missing: &[&str]) -> Result<()> {
    let install = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    if !process::is_root() {
        bail!("packages are missing and only root can install them; run `sudo {install}`");
    }
    if !has_lists() {
        step("apt-get update");
        apt_get(&["update"])?;
    }
    step(&install);
    let arguments = [&["install", "--yes", "--no-install-recommends"], missing].concat();
    if apt_get(&arguments).is_err() {
        // Lists of an image that was built long ago name files that are gone.
        step("that failed; once more after apt-get update");
        apt_get(&["update"])?;
        apt_get(&arguments)?;
    }
    Ok(())
}

/// Installs `package` if nobody has its `program`: what only some commands need.
pub(super) fn install_program(program: &str, package: &'static str) -> Result<()> {
    if process::which(program).is_some() {
        return Ok(());
    }
    install(&[package])
}

fn apt_get(arguments: &[&str]) -> Result<String> {
    process::output(
        Command::new("apt-get")
            .arg("-qq")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// Whether `apt-get update` was ever run here.
fn has_lists() -> bool {
    fs::read_dir("/var/lib/apt/lists").is_ok_and(|lists| {
        lists
            .flatten()
            .any(|file| file.file_name().to_string_lossy().contains("_Packages"))
    })
}
