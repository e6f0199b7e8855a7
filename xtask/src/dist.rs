//! `cargo xtask dist`: what is handed out: packages for Debian and for RPM, and a tarball, all with a static binary; checksums
//! of all three. What was packed is then looked at.

mod check;
mod older;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::cargo::cargo;
use crate::process;

pub(crate) use check::deb as check_deb;
pub(crate) use older::older_test_package;

/// Without a C library of its own the binary runs on every distribution.
const TARGET: &str = "x86_64-unknown-linux-musl";
/// The versions that were tried.
const CARGO_DEB: (&str, &str) = ("cargo-deb", "3.8.0");
const CARGO_RPM: (&str, &str) = ("cargo-generate-rpm", "0.21.1");
/// What goes into the tarball beside the binary, the pages and the completions.
const FILES: [&str; 12] = [
    "packaging/shaper.toml",
    "packaging/rules.d.README",
    "packaging/shaper.schema.json",
    "packaging/systemd",
    "packaging/fail2ban",
    "packaging/ansible",
    "packaging/man",
    "docs",
    "README.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
];

/// Build the packages for Debian and for RPM and the tarball, with the static binary, into target/dist.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {}

/// Runs the command.
pub(crate) fn run(_options: &Options) -> Result<ExitCode> {
    let made @ [tarball, deb, rpm] = &[tarball()?, package()?, rpm()?];
    let dir = directory()?;
    let names = made.iter().filter_map(|file| file.file_name());
    let sums = process::output(Command::new("sha256sum").args(names).current_dir(&dir))?;
    let sums_file = dir.join("SHA256SUMS");
    fs::write(&sums_file, &sums)?;
    check::deb(deb)?;
    check::rpm(rpm)?;
    check::tarball(tarball, &sums_file)?;
    print!("{sums}");
    println!("dist: in {}", dir.display());
    Ok(ExitCode::SUCCESS)
}

/// The Debian package with the static binary, built.
fn package() -> Result<PathBuf> {
    static_binary()?;
    deb(&["--target", TARGET], &directory()?)
}

/// The RPM package with the static binary, built.
fn rpm() -> Result<PathBuf> {
    let binary = static_binary()?;
    let path = directory()?.join(format!("shaper-{}-1.x86_64.rpm", version(&binary)?));
    process::output(
        Command::new(tool(CARGO_RPM)?)
            .current_dir(process::workspace())
            .args(["generate-rpm", "--package", "shaper-user", "--target", TARGET])
            .arg("--output")
            .arg(&path),
    )?;
    Ok(path)
}

/// A Debian package with the binary that was built for this machine and the tests; it is not one to hand out.
pub(crate) fn test_package(binary: &Path) -> Result<PathBuf> {
    write_pages(binary)?;
    let dir = process::workspace().join("target/test-package");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
    deb(&[], &dir)
}

/// Packs what is built.
fn deb(options: &[&str], dir: &Path) -> Result<PathBuf> {
    let mut command = Command::new(tool(CARGO_DEB)?);
    command
        .current_dir(process::workspace())
        .args(["--no-build", "--no-strip", "--package", "shaper-user"])
        .args(options)
        .arg("--output")
        .arg(dir);
    let printed = process::output(&mut command)?;
    let path = printed.lines().last().context("cargo-deb names no file")?.trim();
    Ok(process::workspace().join(path))
}

/// The static binary, built, with the pages and completions that it writes.
fn static_binary() -> Result<PathBuf> {
    need_target()?;
    process::run(cargo().args([
        "build",
        "--quiet",
        "--release",
        "--package",
        "shaper-user",
        "--bin",
        "shaper",
        "--target",
        TARGET,
    ]))?;
    let binary = target_directory().join(TARGET).join("release/shaper");
    check::is_static(&binary)?;
    write_pages(&binary)?;
    Ok(binary)
}

/// The pages and completions, as the binary writes them.
fn write_pages(binary: &Path) -> Result<()> {
    let dir = directory()?;
    let (pages, completions) = (dir.join("man"), dir.join("completions"));
    for made in [&pages, &completions] {
        if made.exists() {
            fs::remove_dir_all(made)?;
        }
        fs::create_dir_all(made)?;
    }
    process::output(Command::new(binary).arg("man").arg(&pages))?;
    for (shell, name) in [("bash", "shaper"), ("zsh", "_shaper"), ("fish", "shaper.fish")] {
        let script = process::output(Command::new(binary).args(["completions", shell]))?;
        fs::write(completions.join(name), script)?;
    }
    Ok(())
}

/// As the binary says it.
fn version(binary: &Path) -> Result<String> {
    let said = process::output(Command::new(binary).arg("--version"))?;
    Ok(said.trim().rsplit(' ').next().unwrap_or_default().to_owned())
}

/// The same bytes whenever it is made from the same commit.
fn tarball() -> Result<PathBuf> {
    let binary = static_binary()?;
    let dir = directory()?;
    let name = format!("shaper-{}-{TARGET}", version(&binary)?);
    let stage = process::TempDir::new_in(&dir, "stage")?;
    let root = stage.path().join(&name);
    fs::create_dir_all(&root)?;
    let workspace = process::workspace();
    let sources = FILES.iter().map(|file| workspace.join(file));
    for source in sources.chain([binary, dir.join("man"), dir.join("completions")]) {
        process::output(Command::new("cp").arg("-r").arg(source).arg(&root))?;
    }
    let time = process::output(
        Command::new("git")
            .args(["log", "-1", "--format=%ct"])
            .current_dir(workspace),
    )?;
    let tar = dir.join(format!("{name}.tar.gz"));
    process::output(
        Command::new("tar")
            .args([
                "--sort=name",
                "--owner=0",
                "--group=0",
                "--numeric-owner",
                "--mode=u=rwX,go=rX",
            ])
            .arg(format!("--mtime=@{}", time.trim()))
            .args(["--use-compress-program", "gzip -9n", "--create", "--file"])
            .arg(&tar)
            .arg("--directory")
            .arg(stage.path())
            .arg(&name),
    )?;
    Ok(tar)
}

fn directory() -> Result<PathBuf> {
    let dir = process::workspace().join("target/dist");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
    Ok(dir)
}

/// Where cargo builds: as the environment says, else in the workspace.
fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || process::workspace().join("target"),
        |dir| process::workspace().join(Path::new(&dir)),
    )
}

/// Rust's own library for the target comes from rustup; it brings musl along.
fn need_target() -> Result<()> {
    let sysroot = process::output(
        Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(process::workspace()),
    )?;
    if Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(TARGET)
        .exists()
    {
        return Ok(());
    }
    process::run(
        Command::new("rustup")
            .args(["target", "add", TARGET])
            .current_dir(process::workspace()),
    )
    .with_context(|| format!("rustc cannot build for {TARGET}; it needs `rustup target add {TARGET}`"))
}

/// Makes ready what packs for Debian.
pub(crate) fn prepare_deb() -> Result<()> {
    tool(CARGO_DEB).map(drop)
}

/// A tool of cargo's, of the version that was tried, from the cache.
fn tool((name, version): (&str, &str)) -> Result<PathBuf> {
    let root = process::cache()?.join(format!("{name}-{version}"));
    let tool = root.join("bin").join(name);
    if !tool.exists() {
        println!("dist: building {name} {version} into the cache");
        process::run(
            cargo()
                .args(["install", "--quiet", "--locked", name, "--version", version])
                .arg("--root")
                .arg(&root),
        )?;
    }
    Ok(tool)
}
