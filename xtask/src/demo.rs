//! `cargo xtask demo`: shows that it works, on this machine or in a guest.
//!
//! The demonstration itself is the program `demo` of `shaper-tests`; this finds it a
//! kernel that has `fq`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::cargo::executables;
use crate::lab::{Guest, GuestFile};
use crate::process;
use crate::setup::{self, Kernel, Part};

/// Limit real traffic between network namespaces, and show what it came to.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// In a guest with this kernel, even if this machine's would do.
    #[arg(short, long, value_enum)]
    kernel: Option<Kernel>,
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    println!("demo: setting up");
    setup::need(&[Part::Packages])?;
    println!("demo: building");
    let [shaper, demo] = ["shaper", "demo"].map(build);
    let (shaper, demo) = (shaper?, demo?);
    if options.kernel.is_none() && process::is_root() && has_fq() {
        println!("demo: this machine's kernel has fq; running here");
        let status = Command::new(&demo)
            .env("SHAPER_BIN", &shaper)
            .status()
            .context("cannot start the demo")?;
        return Ok(if status.success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    let kernel = options.kernel.unwrap_or(Kernel::V6_12);
    if options.kernel.is_none() {
        println!(
            "demo: not root, or this machine's kernel has no fq: running in a guest with Debian's kernel 6.12"
        );
    }
    let mut guest = Guest::new(kernel, "export SHAPER_BIN=/usr/bin/shaper\nexec /lab/demo\n");
    guest.files.push(GuestFile {
        from: shaper,
        to: "/usr/bin/shaper".into(),
    });
    guest.files.push(GuestFile {
        from: demo,
        to: "/lab/demo".into(),
    });
    let outcome = guest.run(&mut |bytes| {
        // Whoever read our output may have gone; the result still counts.
        let _ = io::stdout().write_all(bytes).and_then(|()| io::stdout().flush());
    })?;
    if outcome.code != 0 {
        println!(
            "demo: failed; the guest's console is in {}",
            outcome.console.display()
        );
    }
    Ok(ExitCode::from(outcome.code))
}

/// Builds a program of the product or of its tests, optimised.
pub(crate) fn build(name: &str) -> Result<PathBuf> {
    let package = if name == "shaper" {
        "shaper-user"
    } else {
        "shaper-tests"
    };
    let built = executables(&["build", "--quiet", "--release", "-p", package, "--bin", name])?;
    let program = built
        .into_iter()
        .find(|program| program.name == name && program.kind == "bin");
    Ok(program
        .with_context(|| format!("package `{package}` has no program `{name}`"))?
        .path)
}

/// Whether this machine's kernel has the `fq` qdisc: tried where nobody is disturbed.
fn has_fq() -> bool {
    let try_it = "ip link set lo up && tc qdisc add dev lo root fq";
    process::output(Command::new("unshare").args(["--net", "sh", "-c", try_it])).is_ok()
}
