//! Debian's own files, unpacked in the cache: the root of guests whose first process is systemd.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process::{self, TempDir};

use super::{apt, packages, publish, step};

/// The oldest with a systemd that shaper's units are made for: 252. `SHAPER_DEBIAN` names another, for example `trixie` with 257.
const SUITE: &str = "bookworm";
/// Changes with what is unpacked.
const VERSION: u32 = 3;
/// What systemd, the units and the tests need.
const PACKAGES: &str =
    "systemd,systemd-sysv,udev,kmod,iproute2,dbus,bash,dash,init-system-helpers,procps,fail2ban,ansible-core";

/// The folder of the root; made if it is not in the cache.
pub(super) fn ready() -> Result<PathBuf> {
    let suite = std::env::var("SHAPER_DEBIAN").unwrap_or_else(|_| SUITE.to_owned());
    let dir = process::cache()?
        .join("debian")
        .join(format!("{suite}-{VERSION}"));
    if dir.exists() {
        return Ok(dir);
    }
    if !process::is_root() {
        bail!("Debian's files belong to root; run this as root once");
    }
    packages::install_program("mmdebstrap", "mmdebstrap")?;
    step(&format!("unpacking Debian's {suite} for guests with systemd"));
    let temporary = TempDir::new_in(&process::cache()?, "debian")?;
    let root = temporary.path().join("root");
    let (uri, options) = apt::mirror(false)?;
    process::output(
        Command::new("mmdebstrap")
            .args(["--variant=essential", "--format=directory", "--quiet"])
            .arg(format!("--include={PACKAGES}"))
            .args(
                [
                    "usr/share/man",
                    "usr/share/doc",
                    "usr/share/locale",
                    "usr/share/zoneinfo",
                ]
                .map(|path| format!("--dpkgopt=path-exclude=/{path}/*")),
            )
            .arg(&suite)
            .arg(&root)
            .arg(format!("deb [{options}] {uri} {suite} main")),
    )?;
    publish(&root, &dir)?;
    Ok(dir)
}
