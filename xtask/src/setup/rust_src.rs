//! The standard library's source: `core` for BPF is built from it.
//!
//! rustup's component where rustup has or can get it, else Debian's package of exactly
//! the compiler's version. `SHAPER_RUST_SRC=debian` skips rustup's.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::cargo::Rustc;
use crate::process::{self, TempDir};

use super::{apt::Suite, publish, step};

/// Suites that hold compilers newer than the release's own; backports keep several versions.
const SUITES: [&str; 2] = ["trixie-backports", "sid"];

/// Where the source is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// In the sysroot, where cargo looks for it.
    Sysroot,
    /// Elsewhere: this is its folder `library`.
    Library(PathBuf),
}

/// Finds the source, and fetches it when it is missing.
pub(crate) fn source() -> Result<Source> {
    let rustc = Rustc::ask()?;
    let from_debian = env::var("SHAPER_RUST_SRC").is_ok_and(|from| from == "debian");
    if !from_debian {
        if rustc
            .sysroot
            .join("lib/rustlib/src/rust/library/Cargo.lock")
            .exists()
        {
            return Ok(Source::Sysroot);
        }
        step("rustup component add rust-src");
        let added = process::output(
            Command::new("rustup")
                .args(["component", "add", "rust-src"])
                .current_dir(process::workspace()),
        );
        match added {
            Ok(_) => return Ok(Source::Sysroot),
            Err(error) => step(&format!(
                "that failed ({}); trying Debian's package",
                first_line(&error)
            )),
        }
    }
    debian(&rustc).map(Source::Library)
}

fn debian(rustc: &Rustc) -> Result<PathBuf> {
    let dir = process::cache()?.join(format!("rust-src-{}", rustc.release));
    let library = dir.join(format!("usr/src/rustc-{}/library", rustc.release));
    if library.join("Cargo.lock").exists() {
        return Ok(library);
    }
    let unpacked = TempDir::new_in(&process::cache()?, "rust-src")?;
    for suite in SUITES {
        let suite = Suite::open(suite)?;
        let known = suite.ask(&["madison", "rust-src"])?;
        let Some(version) = known.lines().find_map(|line| version_of(line, &rustc.release)) else {
            continue;
        };
        suite.unpack(&format!("rust-src={version}"), unpacked.path())?;
        publish(unpacked.path(), &dir)?;
        if !library.join("Cargo.lock").exists() {
            bail!("Debian's rust-src {version} has no `{}`", library.display());
        }
        return Ok(library);
    }
    bail!(
        "Debian has no rust-src {} in {}; run `rustup component add rust-src`",
        rustc.release,
        SUITES.join(" or ")
    )
}

/// The package version that a line of `apt-cache madison` names, if it is of this release.
fn version_of<'a>(line: &'a str, release: &str) -> Option<&'a str> {
    let version = line.split('|').nth(1)?.trim();
    let rest = version.strip_prefix(release)?;
    (!rest.starts_with(|c: char| c == '.' || c.is_ascii_digit())).then_some(version)
}

fn first_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let line = text
        .lines()
        .find(|line| line.starts_with("error"))
        .or_else(|| text.lines().next());
    line.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_compilers_own_version_will_do() {
        let line = " rust-src | 1.95.0+dfsg1-1~bpo13+1 | http://mirror.example/debian trixie-backports/main amd64 Packages";
        assert_eq!(version_of(line, "1.95.0"), Some("1.95.0+dfsg1-1~bpo13+1"));
        assert_eq!(version_of(line, "1.95"), None);
        assert_eq!(version_of(line, "1.94.0"), None);
    }
}
