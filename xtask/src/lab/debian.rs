//! The base of guests whose first process is systemd: Debian's own files, the kernel's modules, and an agent.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::Result;

use crate::setup::{self, KernelFiles};

use super::cpio::Archive;
use super::modules;

/// Makes systemd the first process, and has it say little.
pub(super) const KERNEL_OPTIONS: &str = " rdinit=/usr/lib/systemd/systemd systemd.unit=multi-user.target systemd.show_status=false \
    systemd.firstboot=off systemd.journald.forward_to_console=0";

const AGENT: &str = "[Unit]\n\
    Description=The command of this guest\n\
    After=multi-user.target\n\
    [Service]\n\
    Type=exec\n\
    ExecStart=/lab/agent\n\
    StandardOutput=null\n\
    [Install]\n\
    WantedBy=multi-user.target\n";

/// Nobody logs in, and nothing on the disk needs care.
const MASKED: [&str; 8] = [
    "getty.target",
    "serial-getty@ttyS0.service",
    "systemd-remount-fs.service",
    "systemd-growfs-root.service",
    "systemd-random-seed.service",
    "systemd-update-utmp.service",
    "systemd-logind.service",
    "apt-daily.timer",
];

/// Writes the archive; the paths that it holds.
pub(super) fn write_base(
    kernel: &KernelFiles,
    file: &Path,
    temporary: &Path,
) -> Result<BTreeSet<std::path::PathBuf>> {
    let root = setup::need_debian()?;
    let mut archive = Archive::new(BufWriter::new(File::create(file)?), BTreeSet::new());
    for (path, to) in [
        ("/bin", "usr/bin"),
        ("/sbin", "usr/sbin"),
        ("/lib", "usr/lib"),
        ("/lib64", "usr/lib64"),
    ] {
        archive.link(Path::new(path), to)?;
    }
    for dir in ["dev", "lab", "mnt", "proc", "root", "run", "sys", "tmp"] {
        archive.directory(&Path::new("/").join(dir))?;
    }
    for dir in ["usr", "etc", "var"] {
        archive.copy(&root.join(dir), &Path::new("/").join(dir))?;
    }
    let modules = modules::unpack(kernel, temporary)?;
    archive.copy(&modules, Path::new("/usr/lib/modules"))?;
    let units = Path::new("/etc/systemd/system");
    for unit in MASKED {
        archive.link(&units.join(unit), "/dev/null")?;
    }
    archive.file(&units.join("lab-agent.service"), 0o644, AGENT.as_bytes())?;
    archive.link(
        &units.join("multi-user.target.wants/lab-agent.service"),
        "/etc/systemd/system/lab-agent.service",
    )?;
    archive.file(Path::new("/lab/agent"), 0o755, include_bytes!("agent.sh"))?;
    // Not a first boot.
    archive.file(
        Path::new("/etc/machine-id"),
        0o444,
        b"5ba9e5ba9e5ba9e5ba9e5ba9e5ba9e00\n",
    )?;
    archive.finish()
}
