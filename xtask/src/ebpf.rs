//! `cargo xtask ebpf`: builds the kernel program's object, which is checked in.
//!
//! The object must come out the same, byte for byte, on any machine with the same
//! compiler: paths are remapped and debug information is removed (BTF stays).

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::cargo::{Rustc, cargo};
use crate::process::{self, TempDir};
use crate::setup::{self, Part, Source};

/// What the object is compiled for.
const TARGET: &str = "bpfel-unknown-none";
/// The checked-in object, seen from the workspace's root.
const OBJECT: &str = "shaper-ebpf/shaper.bpf.o";

/// Build the kernel program's object, shaper-ebpf/shaper.bpf.o.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Build, but only compare with the checked-in object; one byte of difference fails.
    #[arg(long)]
    check: bool,
    /// Write to this file instead.
    #[arg(long, conflicts_with = "check")]
    output: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if options.check {
        return Ok(if check()? {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    let object = options
        .output
        .clone()
        .unwrap_or_else(|| process::workspace().join(OBJECT));
    let built = TempDir::new("shaper-ebpf")?;
    let stripped = build(built.path())?;
    fs::copy(&stripped, &object).with_context(|| format!("cannot write `{}`", object.display()))?;
    println!("{}: {}", object.display(), described(&object)?);
    Ok(ExitCode::SUCCESS)
}

/// Whether the checked-in object is what the source gives.
pub(crate) fn check() -> Result<bool> {
    let dir = TempDir::new("shaper-ebpf")?;
    let built = build(dir.path())?;
    let checked_in = process::workspace().join(OBJECT);
    let old = fs::read(&checked_in)
        .with_context(|| format!("cannot read `{OBJECT}`; run `cargo xtask ebpf` and check it in"))?;
    let new = fs::read(&built)?;
    if old == new {
        println!("{OBJECT} is what the source gives: {}", described(&built)?);
        return Ok(true);
    }
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    println!("{OBJECT} is not what the source gives:");
    println!("  checked in: {}", described(&checked_in)?);
    println!("  rebuilt:    {}", described(&built)?);
    println!("  they differ from byte {same} on; run `cargo xtask ebpf` and check the object in");
    Ok(false)
}

/// Lints the kernel program for its own target; returns whether it is clean.
pub(crate) fn clippy() -> Result<bool> {
    setup::need(&[Part::RustSrc])?;
    let mut command = bpf_cargo(&["clippy", "--quiet", "--target-dir", "target/bpf-clippy"])?;
    process::run_status(command.args(["--", "-Dwarnings"]))
}

/// Builds the object into `dir` and returns its path.
fn build(dir: &Path) -> Result<PathBuf> {
    setup::need(&[Part::RustSrc, Part::Linker])?;
    let rustc = Rustc::ask()?;
    let flags = flags(&rustc)?;
    process::run(
        bpf_cargo(&["build", "--quiet", "--release", "--target-dir", "target/ebpf"])?
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join(&OsString::from("\x1f")))
            .env("LD_LIBRARY_PATH", rustc.lib()),
    )?;
    let built = process::workspace()
        .join("target/ebpf")
        .join(TARGET)
        .join("release/shaper");
    let stripped = dir.join("shaper.bpf.o");
    // rustc brings this program along, so its version follows from the compiler's.
    let objcopy = rustc
        .sysroot
        .join("lib/rustlib")
        .join(&rustc.host)
        .join("bin/rust-objcopy");
    process::output(
        Command::new(&objcopy)
            .arg("--strip-debug")
            .arg(&built)
            .arg(&stripped)
            .env("LD_LIBRARY_PATH", rustc.lib()),
    )
    .with_context(|| format!("`{}` comes with rustup's toolchains; use one", objcopy.display()))?;
    Ok(stripped)
}

/// A cargo command for the kernel program, with `core` built from source.
fn bpf_cargo(args: &[&str]) -> Result<Command> {
    let mut command = cargo();
    command
        .args(args)
        .args([
            "--package",
            "shaper-ebpf",
            "--bins",
            "--target",
            TARGET,
            "-Zbuild-std=core",
        ])
        // `-Z` is for nightly; this lets the stable compiler do the same.
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTC_WRAPPER");
    if let Source::Library(library) = setup::source()? {
        command.env("__CARGO_TESTS_ONLY_SRC_ROOT", library);
    }
    Ok(command)
}

fn flags(rustc: &Rustc) -> Result<Vec<OsString>> {
    let mut linker = OsString::from("-Clinker=");
    linker.push(setup::bpf_linker(rustc)?);
    let mut flags: Vec<OsString> = ["-Cdebuginfo=2", "-Clink-arg=--btf", "-Ctarget-cpu=v3"]
        .map(Into::into)
        .into();
    flags.push(linker);
    // A slot on the stack that holds four bytes after eight is refused to loaders without CAP_PERFMON; see `stored.rs`.
    flags.push("-Clink-arg=--llvm-args=-no-stack-slot-sharing".into());
    flags.push("--cfg=bpf_target_arch=\"x86_64\"".into());
    let library = match setup::source()? {
        Source::Sysroot => rustc.sysroot.join("lib/rustlib/src/rust/library"),
        Source::Library(library) => library,
    };
    // The last prefix that matches counts, so the narrower ones come last.
    let cargo_home = cargo_home()?;
    let mut paths = vec![
        (rustc.sysroot.clone(), "/sysroot"),
        (cargo_home.clone(), "/cargo"),
    ];
    // Cargo names these after where the crates came from.
    let sources = entries_of(&cargo_home.join("registry/src"))?;
    paths.extend(sources.into_iter().map(|dir| (dir, "/crates")));
    paths.extend([
        (process::workspace().to_owned(), "/shaper"),
        (library, "/library"),
    ]);
    for (from, to) in paths {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flags.push(flag);
    }
    Ok(flags)
}

/// What stands in a directory, which need not be there.
fn entries_of(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn cargo_home() -> Result<PathBuf> {
    match env::var_os("CARGO_HOME") {
        Some(home) => Ok(home.into()),
        None => Ok(PathBuf::from(env::var_os("HOME").context("HOME is not set")?).join(".cargo")),
    }
}

/// Size and digest of a file.
fn described(file: &Path) -> Result<String> {
    let digest = process::output(Command::new("sha256sum").arg(file))?;
    let digest = digest.split(' ').next().unwrap_or_default();
    Ok(format!("{} bytes, sha256 {digest}", fs::metadata(file)?.len()))
}
