//! bpf-linker, built against the LLVM that rustc brings along.
//!
//! Debian's LLVM is older than rustc's, and bitcode must be read by the LLVM that wrote
//! it. rustc ships its LLVM as a shared library: a folder of links makes it look installed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::cargo::{Rustc, cargo};
use crate::process::{self, TempDir};

use super::{publish, step};

const VERSION: &str = "0.13.0";

/// Where the linker for this compiler is. It needs the sysroot's `lib` in `LD_LIBRARY_PATH`.
pub(crate) fn bpf_linker(rustc: &Rustc) -> Result<PathBuf> {
    Ok(dir(rustc)?.join("bin/bpf-linker"))
}

fn dir(rustc: &Rustc) -> Result<PathBuf> {
    // Linked with one compiler's LLVM, it is of no use to another.
    Ok(process::cache()?.join(format!("bpf-linker-{VERSION}-rust-{}", rustc.release)))
}

/// Builds the linker if it is missing.
pub(super) fn ready() -> Result<()> {
    let rustc = Rustc::ask()?;
    if bpf_linker(&rustc)?.exists() {
        return Ok(());
    }
    step(&format!(
        "building bpf-linker {VERSION} with rustc's LLVM {} (two minutes)",
        rustc.llvm_major
    ));
    let build = TempDir::new_in(&process::cache()?, "bpf-linker")?;
    let llvm = build.path().join("llvm");
    fs::create_dir_all(llvm.join("lib"))?;
    let library = library(&rustc)?;
    for name in [
        format!("libLLVM-{}.so", rustc.llvm_major),
        "libLLVM.so".to_owned(),
    ] {
        symlink(&library, llvm.join("lib").join(name))?;
    }
    let root = build.path().join("root");
    process::run(
        cargo()
            .args([
                "install",
                "--quiet",
                "--locked",
                "bpf-linker",
                "--version",
                VERSION,
                "--no-default-features",
            ])
            .args(["--features", &format!("llvm-{}", rustc.llvm_major)])
            .arg("--root")
            .arg(&root)
            .arg("--target-dir")
            .arg(build.path().join("target"))
            .current_dir(build.path())
            .env("LLVM_PREFIX", &llvm)
            .env("LD_LIBRARY_PATH", rustc.lib())
            .env_remove("CARGO_TARGET_DIR"),
    )
    .context("bpf-linker did not build; is there a C compiler, and is the crate registry reachable?")?;
    publish(&root, &dir(&rustc)?)
}

/// rustc's own libLLVM.
fn library(rustc: &Rustc) -> Result<PathBuf> {
    let prefix = format!("libLLVM.so.{}", rustc.llvm_major);
    fs::read_dir(rustc.lib())?
        .flatten()
        .map(|file| file.path())
        .find(|file| {
            file.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
        })
        .with_context(|| {
            format!(
                "no `{prefix}*` in `{}`; use a toolchain that rustup installed",
                rustc.lib().display()
            )
        })
}
