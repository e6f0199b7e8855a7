//! A package of an older version, for tests of upgrades.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::process::{self, TempDir};

/// The object that is in every binary.
const OBJECT: &str = "shaper-ebpf/shaper.bpf.o";
/// Bytes of an ELF header that nobody reads.
const PADDING: std::ops::Range<usize> = 9..16;

/// A package of an older version, in which `package` differs in all that an upgrade replaces: the binary is another build,
/// with an object of another build id, and the units ask for a program that logs more, so that each way from one to the
/// other replaces the program in the kernel. Not compressed: an emulated processor unpacks it often.
pub(crate) fn older_test_package(package: &Path) -> Result<PathBuf> {
    let dir = TempDir::new("shaper-older")?;
    let root = dir.path().join("root");
    process::output(Command::new("dpkg-deb").arg("-R").arg(package).arg(&root))?;
    for (file, from, to) in [
        ("DEBIAN/control", "Version: ", "Version: 0~"),
        (
            "usr/lib/systemd/system/shaper.service",
            "shaper up --if-any",
            "shaper up --if-any --kernel-log 1",
        ),
    ] {
        let file = root.join(file);
        let text = fs::read_to_string(&file)?;
        ensure!(text.contains(from), "`{}` has no `{from}`", file.display());
        fs::write(&file, text.replace(from, to))?;
    }
    let binary = root.join("usr/bin/shaper");
    let object = fs::read(process::workspace().join(OBJECT))?;
    let rebuilt = rebuild(fs::read(&binary)?, &object)
        .with_context(|| format!("`{}` does not hold `{OBJECT}`", binary.display()))?;
    fs::write(&binary, rebuilt)?;
    let older = package.with_file_name("older.deb");
    process::output(
        Command::new("dpkg-deb")
            .args(["-Znone", "--root-owner-group", "-b"])
            .arg(&root)
            .arg(&older),
    )?;
    Ok(older)
}

/// The binary with another object in place of `object`: another to whoever compares bytes, the same to a loader.
fn rebuild(mut binary: Vec<u8>, object: &[u8]) -> Option<Vec<u8>> {
    let place = binary.windows(object.len()).position(|window| window == object)?;
    binary[place..][PADDING].fill(b'o');
    Some(binary)
}
