//! Whether what was packed holds what it should, as the tools of whoever gets it tell.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::process::{self, TempDir};
use crate::setup;

/// What both packages install, whatever else they do.
const INSTALLED: [&str; 17] = [
    "/etc/fail2ban/action.d/shaper.conf",
    "/etc/shaper/rules.d/README",
    "/etc/shaper/shaper.toml",
    "/usr/bin/shaper",
    "/usr/lib/systemd/system/shaper-monitor.service",
    "/usr/lib/systemd/system/shaper.service",
    "/usr/share/bash-completion/completions/shaper",
    "/usr/share/doc/shaper/CHANGELOG.md",
    "/usr/share/doc/shaper/README.md",
    "/usr/share/doc/shaper/benchmarks.md",
    "/usr/share/doc/shaper/examples/ansible/shaper.yml",
    "/usr/share/doc/shaper/operations.md",
    "/usr/share/fish/vendor_completions.d/shaper.fish",
    "/usr/share/man/man5/shaper.toml.5",
    "/usr/share/man/man8/shaper-monitor.8",
    "/usr/share/man/man8/shaper.8",
    "/usr/share/shaper/shaper.schema.json",
];
/// What only the package for Debian has.
const DEB: [&str; 3] = [
    "/usr/share/doc/shaper/LICENSE-APACHE",
    "/usr/share/doc/shaper/copyright",
    "/usr/share/zsh/vendor-completions/_shaper",
];
/// What only the RPM has.
const RPM: [&str; 3] = [
    "/usr/share/licenses/shaper/LICENSE-APACHE",
    "/usr/share/licenses/shaper/LICENSE-MIT",
    "/usr/share/zsh/site-functions/_shaper",
];
/// What the tarball has in its folder.
const TARBALL: [&str; 20] = [
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "ansible/shaper.yml",
    "completions/_shaper",
    "completions/shaper",
    "completions/shaper.fish",
    "docs/benchmarks.md",
    "docs/operations.md",
    "fail2ban/shaper.conf",
    "man/shaper-monitor.8",
    "man/shaper.8",
    "man/shaper.toml.5",
    "rules.d.README",
    "shaper",
    "shaper.schema.json",
    "shaper.toml",
    "systemd/shaper-monitor.service",
    "systemd/shaper.service",
];

/// Looks at a package for Debian.
pub(crate) fn deb(package: &Path) -> Result<()> {
    let listed = process::output(Command::new("dpkg-deb").arg("-c").arg(package))?;
    let mut files = BTreeSet::new();
    for line in listed.lines() {
        // As of `tar -tv`: mode, owner, size, date, time, path.
        let words: Vec<_> = line.split_whitespace().collect();
        let (&[mode, owner, ..], Some(path)) = (&words[..], words.get(5)) else {
            continue;
        };
        let path = path.trim_start_matches('.');
        let wanted = match path {
            _ if path.ends_with('/') => "drwxr-xr-x",
            "/usr/bin/shaper" => "-rwxr-xr-x",
            _ => "-rw-r--r--",
        };
        ensure!(
            mode == wanted && ["0/0", "root/root"].contains(&owner),
            "{path} belongs to {owner} and has the mode {mode}"
        );
        // Pages are compressed, and other long texts.
        files.insert(path.trim_end_matches(".gz").to_owned());
    }
    has_all(package, &files, &[&INSTALLED[..], &DEB])?;
    let kept = process::output(Command::new("dpkg-deb").arg("-I").arg(package).arg("conffiles"))?;
    keeps_configuration(package, &lines(&kept), &files)
}

/// Looks at an RPM.
pub(super) fn rpm(package: &Path) -> Result<()> {
    setup::need_program("rpm", "rpm")?;
    let ask = |question: &str| {
        let said = process::output(Command::new("rpm").args(["-qp", question]).arg(package))?;
        anyhow::Ok(lines(&said))
    };
    let files = ask("-l")?;
    has_all(package, &files, &[&INSTALLED[..], &RPM])?;
    keeps_configuration(package, &ask("-c")?, &files)
}

/// Looks at a tarball, of which `sums` has to know, and runs what it holds.
pub(super) fn tarball(tar: &Path, sums: &Path) -> Result<()> {
    let dir = sums.parent().context("checksums are in a folder")?;
    process::output(
        Command::new("sha256sum")
            .args(["--check", "--strict"])
            .arg(sums)
            .current_dir(dir),
    )?;
    let known = std::fs::read_to_string(sums)?;
    let name = tar.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    ensure!(known.contains(name), "`{}` does not know {name}", sums.display());
    let root = TempDir::new("shaper-tarball")?;
    process::output(
        Command::new("tar")
            .arg("--extract")
            .arg("--file")
            .arg(tar)
            .arg("--directory")
            .arg(root.path()),
    )?;
    let folder = root.path().join(name.trim_end_matches(".tar.gz"));
    for file in TARBALL {
        ensure!(folder.join(file).is_file(), "{name} has no {file}");
    }
    let binary = folder.join("shaper");
    is_static(&binary)?;
    process::output(Command::new(&binary).arg("check").arg(folder.join("shaper.toml")))?;
    Ok(())
}

/// Nothing has to be on a machine for it to run: no loader, no library.
pub(super) fn is_static(binary: &Path) -> Result<()> {
    let said = process::output(
        Command::new("readelf")
            .args(["--wide", "--program-headers", "--dynamic"])
            .arg(binary),
    )?;
    for needed in ["INTERP", "(NEEDED)"] {
        ensure!(
            !said.contains(needed),
            "`{}` is not static, `readelf` finds {needed}",
            binary.display()
        );
    }
    Ok(())
}

fn has_all(package: &Path, files: &BTreeSet<String>, wanted: &[&[&str]]) -> Result<()> {
    for file in wanted.iter().copied().flatten() {
        ensure!(files.contains(*file), "`{}` has no {file}", package.display());
    }
    Ok(())
}

/// What is below /etc, and nothing else, stays as an operator has changed it.
fn keeps_configuration(package: &Path, kept: &BTreeSet<String>, files: &BTreeSet<String>) -> Result<()> {
    let is_configuration = |file: &&String| file.starts_with("/etc/") && !file.ends_with('/');
    let wanted: BTreeSet<_> = files.iter().filter(is_configuration).cloned().collect();
    ensure!(
        *kept == wanted,
        "`{}` keeps {kept:?} as they were changed, not {wanted:?}",
        package.display()
    );
    Ok(())
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_needs_a_loader_is_not_static() {
        let error = is_static(&std::env::current_exe().unwrap()).unwrap_err();
        assert!(error.to_string().contains("is not static"), "{error}");
        assert!(is_static(Path::new("/etc/passwd")).is_err());
    }

    #[test]
    fn configuration_that_an_upgrade_would_overwrite_is_found() {
        let files = lines("/etc/a\n/etc/b\n/usr/c\n");
        assert!(keeps_configuration(Path::new("p"), &lines("/etc/a\n/etc/b"), &files).is_ok());
        assert!(keeps_configuration(Path::new("p"), &lines("/etc/a"), &files).is_err());
        assert!(has_all(Path::new("p"), &files, &[&["/etc/a"], &["/usr/d"]]).is_err());
    }
}
