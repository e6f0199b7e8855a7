//! `cargo xtask setup`: makes a fresh Debian machine ready.
//!
//! Each part knows whether it is there already; the other commands ask for the
//! parts they need with [`need`], so nobody has to remember this one.

mod apt;
mod debian;
mod kernels;
mod linker;
mod packages;
mod rust_src;

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::process;

pub(crate) use kernels::{Kernel, KernelFiles};
pub(crate) use linker::bpf_linker;
pub(crate) use rust_src::{Source, source};

/// Install what building and testing need: packages, rust-src, bpf-linker, kernels.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these parts.
    #[arg(value_enum)]
    parts: Vec<Part>,
}

/// Something that has to be there before a command can work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Debian packages: QEMU, iproute2, iperf3 and what else the lab copies into its guests.
    Packages,
    /// The standard library's source, to build `core` for BPF.
    RustSrc,
    /// bpf-linker, linked with rustc's own LLVM.
    Linker,
    /// Debian's kernels 6.1, 6.12 and 7, unpacked in the cache and not installed.
    Kernels,
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let all = [Part::Packages, Part::RustSrc, Part::Linker, Part::Kernels];
    let parts = if options.parts.is_empty() {
        &all[..]
    } else {
        &options.parts
    };
    need(parts)?;
    for part in parts {
        println!("setup: {}: ready", part.name());
    }
    println!(
        "setup: done; downloads and tools are in {}",
        process::cache()?.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Makes these parts ready; silent and fast where they are.
pub(crate) fn need(parts: &[Part]) -> Result<()> {
    let _lock = lock()?;
    for part in parts {
        match part {
            Part::Packages => packages::ready(),
            Part::RustSrc => source().map(drop),
            Part::Linker => linker::ready(),
            Part::Kernels => Kernel::ALL.into_iter().try_for_each(kernels::ready),
        }
        .with_context(|| format!("setup: {}", part.name()))?;
    }
    Ok(())
}

/// Makes one kernel ready, and what boots it.
pub(crate) fn need_kernel(kernel: Kernel) -> Result<KernelFiles> {
    need(&[Part::Packages])?;
    let _lock = lock()?;
    kernels::ready(kernel)?;
    kernels::files(kernel)
}

/// Makes the root of guests with systemd ready, and says where it is.
pub(crate) fn need_debian() -> Result<PathBuf> {
    let _lock = lock()?;
    debian::ready()
}

/// Installs `package` if nobody has its `program`: what only some commands need.
pub(crate) fn need_program(program: &str, package: &'static str) -> Result<()> {
    let _lock = lock()?;
    packages::install_program(program, package)
}

/// Held while something is made ready: two commands at once must not install the same thing twice.
fn lock() -> Result<File> {
    let path = process::cache()?.join("setup.lock");
    let lock = File::create(&path).with_context(|| format!("cannot write `{}`", path.display()))?;
    lock.lock()
        .with_context(|| format!("cannot lock `{}`", path.display()))?;
    Ok(lock)
}

/// Says what is being done: these steps take long enough to wonder.
fn step(what: &str) {
    println!("setup: {what}");
}

/// Replaces `dir` by `built`, so that a folder in the cache is always complete.
fn publish(built: &std::path::Path, dir: &std::path::Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove `{}`", dir.display()))?;
    }
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::rename(built, dir).with_context(|| format!("cannot rename to `{}`", dir.display()))
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Packages => "packages",
            Self::RustSrc => "rust-src",
            Self::Linker => "bpf-linker",
            Self::Kernels => "kernels",
        }
    }
}
