//! What is in a guest: a base for each kernel, kept in the cache, and a little for each run.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher as _};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::process::{self, TempDir, with_suffix};
use crate::setup::{self, KernelFiles};

use super::cpio::Archive;
use super::{debian, modules};

/// Programs of this machine that every guest has. The shell is dash: busybox's would put its own `ip` first.
const PROGRAMS: [&str; 21] = [
    "busybox",
    "dash",
    "ip",
    "tc",
    "ss",
    "bridge",
    "ethtool",
    "iperf3",
    "ping",
    "nft",
    "modprobe",
    "unshare",
    "nsenter",
    "setpriv",
    "timeout",
    "flock",
    "sysctl",
    "xtables-nft-multi",
    "xtables-legacy-multi",
    "wg",
    "teamnl",
];
/// Names that a program goes by, besides its own.
const ALIASES: [(&str, &str); 8] = [
    ("/usr/bin/sh", "dash"),
    ("/usr/sbin/iptables", "xtables-nft-multi"),
    ("/usr/sbin/iptables-nft", "xtables-nft-multi"),
    ("/usr/sbin/ip6tables", "xtables-nft-multi"),
    ("/usr/sbin/ip6tables-nft", "xtables-nft-multi"),
    ("/usr/sbin/iptables-legacy", "xtables-legacy-multi"),
    ("/usr/sbin/ip6tables-legacy", "xtables-legacy-multi"),
    ("/usr/sbin/insmod", "modprobe"),
];
/// Data that those programs read.
const DATA: [&str; 5] = [
    "/etc/iproute2",
    "/etc/protocols",
    "/etc/services",
    "/usr/share/iproute2",
    "/usr/lib/x86_64-linux-gnu/xtables",
];
/// A file of this machine that a guest gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GuestFile {
    /// Here.
    pub(crate) from: PathBuf,
    /// There.
    pub(crate) to: PathBuf,
}

/// The base for a kernel: the archive, and the paths that it holds.
pub(super) fn base(kernel: &KernelFiles, has_systemd: bool) -> Result<(PathBuf, BTreeSet<PathBuf>)> {
    let dir = process::cache()?.join("initramfs");
    fs::create_dir_all(&dir)?;
    let version = kernel
        .modules
        .file_name()
        .context("the kernel's modules have no folder")?
        .to_string_lossy();
    let archive = dir.join(format!(
        "{version}-{:016x}.cpio",
        fingerprint(kernel, has_systemd)?
    ));
    let list = with_suffix(&archive, ".list");
    if archive.exists() && list.exists() {
        let paths = fs::read_to_string(&list)?.lines().map(PathBuf::from).collect();
        return Ok((archive, paths));
    }
    forget_old(&dir);
    eprintln!("lab: packing the base of the guests with kernel {version}");
    let temporary = TempDir::new_in(&dir, "base")?;
    let file = temporary.path().join("base.cpio");
    let paths = if has_systemd {
        debian::write_base(kernel, &file, temporary.path())?
    } else {
        write_base(kernel, &file, temporary.path())?
    };
    let lines: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
    fs::write(temporary.path().join("list"), lines.join("\n"))?;
    fs::rename(temporary.path().join("list"), &list)?;
    fs::rename(&file, &archive)?;
    Ok((archive, paths))
}

/// Removes what nobody asked for lately: every change of what is in a base makes another one.
fn forget_old(dir: &Path) {
    let a_week = Duration::from_hours(7 * 24);
    for old in fs::read_dir(dir).into_iter().flatten().flatten() {
        let modified = old.metadata().and_then(|metadata| metadata.modified());
        if modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > a_week)) {
            let _ = fs::remove_file(old.path());
        }
    }
}

/// Changes whenever anything that goes into the base does.
fn fingerprint(kernel: &KernelFiles, has_systemd: bool) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    (
        include_str!("init.sh"),
        include_str!("initramfs.rs"),
        include_str!("cpio.rs"),
        include_str!("debian.rs"),
        include_str!("agent.sh"),
        has_systemd,
    )
        .hash(&mut hasher);
    if has_systemd {
        setup::need_debian()?.hash(&mut hasher);
    }
    let programs = PROGRAMS.iter().filter_map(|name| process::which(name));
    for path in programs.chain([kernel.modules.clone()]) {
        let metadata = fs::metadata(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        (&path, metadata.len(), metadata.modified()?).hash(&mut hasher);
    }
    Ok(hasher.finish())
}

fn write_base(kernel: &KernelFiles, file: &Path, temporary: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut archive = Archive::new(BufWriter::new(File::create(file)?), BTreeSet::new());
    for (path, to) in [
        ("/bin", "usr/bin"),
        ("/sbin", "usr/sbin"),
        ("/lib", "usr/lib"),
        ("/lib64", "usr/lib64"),
    ] {
        archive.link(Path::new(path), to)?;
    }
    for dir in [
        "dev",
        "etc",
        "lab",
        "mnt",
        "proc",
        "root",
        "run",
        "sys",
        "tmp",
        "usr/lib64",
        "usr/sbin",
        "var/lib",
    ] {
        archive.directory(&Path::new("/").join(dir))?;
    }
    archive.link(Path::new("/var/run"), "/run")?;
    archive.link(Path::new("/etc/mtab"), "/proc/self/mounts")?;
    archive.file(
        Path::new("/etc/passwd"),
        0o644,
        b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    )?;
    archive.file(Path::new("/etc/group"), 0o644, b"root:x:0:\nnogroup:x:65534:\n")?;
    archive.file(
        Path::new("/etc/hosts"),
        0o644,
        b"127.0.0.1 localhost\n::1 localhost\n",
    )?;
    for name in PROGRAMS {
        if let Some(program) = process::which(name) {
            let program = fs::canonicalize(program)?;
            let place = if ["busybox", "dash"].contains(&name) {
                "/usr/bin"
            } else {
                "/usr/sbin"
            };
            add_program(&mut archive, &program, &Path::new(place).join(name))?;
        }
    }
    for (alias, name) in ALIASES {
        let place = if name == "dash" { "/usr/bin" } else { "/usr/sbin" };
        if archive.has(&Path::new(place).join(name)) {
            archive.link(Path::new(alias), &format!("{place}/{name}"))?;
        }
    }
    let busybox = process::which("busybox").context("no busybox; run `cargo xtask setup packages`")?;
    for applet in process::output(Command::new(busybox).arg("--list"))?.lines() {
        archive.link(&Path::new("/usr/lib/busybox").join(applet), "/usr/bin/busybox")?;
    }
    for data in DATA.map(Path::new).into_iter().filter(|path| path.exists()) {
        archive.copy(data, data)?;
        if data.is_dir() {
            for plugin in fs::read_dir(data)?
                .flatten()
                .filter(|file| file.path().extension().is_some_and(|e| e == "so"))
            {
                add_libraries(&mut archive, &plugin.path())?;
            }
        }
    }
    let modules = modules::unpack(kernel, temporary)?;
    archive.copy(&modules, Path::new("/usr/lib/modules"))?;
    archive.file(Path::new("/lab/modules"), 0o644, modules::PRELOADED.as_bytes())?;
    archive.file(Path::new("/init"), 0o755, include_bytes!("init.sh"))?;
    archive.finish()
}

/// What one run adds: its files with their libraries, its script and its token.
pub(super) fn write_run(
    file: &Path,
    base: BTreeSet<PathBuf>,
    files: &[GuestFile],
    script: &str,
    token: &str,
) -> Result<()> {
    let mut archive = Archive::new(BufWriter::new(File::create(file)?), base);
    for GuestFile { from, to } in files {
        if from.is_dir() {
            archive.copy(from, to)?;
        } else {
            add_program(&mut archive, from, to)?;
        }
    }
    archive.file(Path::new("/lab/run"), 0o644, script.as_bytes())?;
    archive.file(Path::new("/lab/token"), 0o644, token.as_bytes())?;
    archive.finish().map(drop)
}

fn add_program<W: std::io::Write>(archive: &mut Archive<W>, from: &Path, to: &Path) -> Result<()> {
    archive.copy(from, to)?;
    add_libraries(archive, from)
}

/// Adds the shared libraries that a program needs, where it will look for them.
fn add_libraries<W: std::io::Write>(archive: &mut Archive<W>, program: &Path) -> Result<()> {
    // It fails for a script and for a static program: those need none.
    let Ok(text) = process::output(Command::new("ldd").arg(program)) else {
        return Ok(());
    };
    for library in text
        .lines()
        .filter_map(library)
        .filter(|library| library.exists())
    {
        if !archive.has(library) {
            archive.copy(&fs::canonicalize(library)?, library)?;
        }
    }
    Ok(())
}

/// The path in a line of `ldd`.
fn library(line: &str) -> Option<&Path> {
    let (path, _) = line.split_once(" (0x")?;
    let path = path.rsplit("=> ").next()?.trim();
    path.starts_with('/').then(|| Path::new(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_ldd() {
        let of = |line| library(line).map(|path| path.to_string_lossy().into_owned());
        assert_eq!(
            of("\tlibc.so.6 => /lib/libc.so.6 (0x00007f)"),
            Some("/lib/libc.so.6".to_owned())
        );
        assert_eq!(
            of("\t/lib64/ld-linux-x86-64.so.2 (0x00007f)"),
            Some("/lib64/ld-linux-x86-64.so.2".to_owned())
        );
        assert_eq!(of("\tlinux-vdso.so.1 (0x00007f)"), None);
        assert_eq!(of("\tnot a dynamic executable"), None);
    }
}
