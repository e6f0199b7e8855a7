//! Stock Debian kernels, unpacked in the cache.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::process::{self, TempDir};

use super::{apt::Suite, publish, step};

/// A kernel that the product is tested on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kernel {
    /// Debian 12.
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13.
    #[value(name = "6.12")]
    V6_12,
    /// Debian 13's backports.
    #[value(name = "7")]
    V7,
}

impl Kernel {
    /// All of them, oldest first.
    pub(crate) const ALL: [Self; 3] = [Self::V6_1, Self::V6_12, Self::V7];

    /// As it is written on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::V7 => "7",
        }
    }

    fn suite(self) -> &'static str {
        match self {
            Self::V6_1 => "bookworm-security",
            Self::V6_12 => "trixie",
            Self::V7 => "trixie-backports",
        }
    }

    fn dir(self) -> Result<PathBuf> {
        Ok(process::cache()?.join("kernels").join(self.name()))
    }
}

/// What of a kernel is needed to boot it.
#[derive(Debug)]
pub(crate) struct KernelFiles {
    /// The compressed image.
    pub(crate) image: PathBuf,
    /// The folder of modules, named after the exact version.
    pub(crate) modules: PathBuf,
}

/// Fetches a kernel that is not in the cache.
pub(super) fn ready(kernel: Kernel) -> Result<()> {
    if files(kernel).is_ok() {
        return Ok(());
    }
    step(&format!("kernel {} is not in the cache", kernel.name()));
    let suite = Suite::open(kernel.suite())?;
    let dir = TempDir::new_in(&process::cache()?, "kernel")?;
    for package in packages(&suite)? {
        suite.unpack(&package, dir.path())?;
    }
    publish(dir.path(), &kernel.dir()?)?;
    files(kernel).map(drop)
}

/// The meta package's dependencies that hold the image and the modules: how many there are differs by suite.
fn packages(suite: &Suite) -> Result<Vec<String>> {
    let (mut found, mut todo) = (Vec::new(), vec!["linux-image-cloud-amd64".to_owned()]);
    while let Some(package) = todo.pop() {
        let text = suite.ask(&["depends", "--no-recommends", "--no-suggests", &package])?;
        for dependency in text.lines().filter_map(kernel_dependency) {
            if !found.iter().any(|known| known == dependency) {
                found.push(dependency.to_owned());
                todo.push(dependency.to_owned());
            }
        }
    }
    Ok(found)
}

/// The kernel package that a line of `apt-cache depends` names.
fn kernel_dependency(line: &str) -> Option<&str> {
    let package = line.trim().strip_prefix("Depends: ")?;
    ["image", "binary", "modules", "base"]
        .iter()
        .any(|part| {
            package
                .strip_prefix("linux-")
                .is_some_and(|rest| rest.starts_with(&format!("{part}-")))
        })
        .then_some(package)
}

/// Finds a kernel's files in the cache.
pub(super) fn files(kernel: Kernel) -> Result<KernelFiles> {
    let dir = kernel.dir()?;
    let modules = ["lib/modules", "usr/lib/modules"]
        .iter()
        .find_map(|sub| fs::read_dir(dir.join(sub)).ok()?.flatten().next())
        .with_context(|| {
            format!(
                "no modules of kernel {} in the cache; run `cargo xtask setup`",
                kernel.name()
            )
        })?
        .path();
    let image = image_in(&dir.join("boot"))
        .or_else(|| image_in(&modules))
        .or_else(|| find_image(&dir, 6))
        .with_context(|| format!("no image of kernel {} below `{}`", kernel.name(), dir.display()))?;
    Ok(KernelFiles { image, modules })
}

fn image_in(dir: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(dir).ok()?.flatten();
    files.map(|file| file.path()).find(|file| {
        file.is_file()
            && file
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
    })
}

fn find_image(dir: &Path, depth: usize) -> Option<PathBuf> {
    if let Some(image) = image_in(dir) {
        return Some(image);
    }
    let dirs = fs::read_dir(dir)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    dirs.take(100)
        .find_map(|dir| find_image(&dir, depth.checked_sub(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packages_of_the_kernel_are_followed() {
        assert_eq!(
            kernel_dependency("  Depends: linux-image-6.1.0-56-cloud-amd64"),
            Some("linux-image-6.1.0-56-cloud-amd64")
        );
        assert_eq!(
            kernel_dependency("  Depends: linux-binary-7.3"),
            Some("linux-binary-7.3")
        );
        assert_eq!(kernel_dependency("  Depends: kmod"), None);
        assert_eq!(kernel_dependency("  Depends: linux-initramfs-tool"), None);
        assert_eq!(kernel_dependency("linux-image-cloud-amd64"), None);
    }
}
