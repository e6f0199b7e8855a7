//! Guests with systemd as the first process: shaper's package unpacked, its units enabled, and a policy to boot with.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::dist;
use crate::lab::{GuestFile, quoted};
use crate::process::{self, TempDir};
use crate::setup::{self, Kernel};

use super::Options;
use super::layer::{self, Outcome};
use super::libtest::Tests;
use super::programs::{self, Programs};

/// Where the tests find the package itself.
const PACKAGE: &str = "/lab/shaper.deb";
/// And one of an older version.
const OLDER: &str = "/lab/older.deb";

/// What the tests are told, if whoever calls this is told: how often the package is upgraded.
const VARIABLES: [&str; 1] = ["SHAPER_UPGRADES"];

/// What systemd does hardly differs between kernels: one is enough, if none is asked for.
pub(super) fn kernels(chosen: &[Kernel]) -> &[Kernel] {
    if chosen.is_empty() {
        &[Kernel::V6_12]
    } else {
        chosen
    }
}

/// Makes ready what the layer needs besides the kernel: Debian's files, and what packs shaper.
pub(super) fn prepare(chosen: &[Kernel]) -> Result<()> {
    for kernel in kernels(chosen) {
        setup::need_kernel(*kernel)?;
    }
    setup::need_debian()?;
    dist::prepare_deb()
}

/// Runs the layer.
pub(super) fn layer(options: &Options, kernel: Kernel) -> Result<Outcome> {
    layer::layer(&format!("systemd {}", kernel.name()), |tests| {
        // The other test programs are many, and nothing here runs them.
        let programs = programs::build_those("systemd_", &options.program)?;
        let timeout = Duration::from_secs(options.timeout);
        run(tests, &programs, kernel, options.filter.as_deref(), timeout)
    })
}

/// Runs the tests in a guest that has booted with shaper.
fn run(
    tests: &mut Tests,
    programs: &Programs,
    kernel: Kernel,
    filter: Option<&str>,
    timeout: Duration,
) -> Result<()> {
    let Some(mut guest) = programs.guest(kernel, &["systemd_"], filter, None) else {
        return Ok(());
    };
    for name in VARIABLES {
        if let Ok(value) = std::env::var(name) {
            guest.script = format!("export {name}={}\n{}", quoted(&[value]), guest.script);
        }
    }
    let package = dist::test_package(programs.shaper())?;
    dist::check_deb(&package)?;
    let older = dist::older_test_package(&package)?;
    let unpacked = TempDir::new("shaper-package")?;
    process::output(
        Command::new("dpkg-deb")
            .arg("-x")
            .arg(&package)
            .arg(unpacked.path()),
    )?;
    // The later over the earlier: the package's binary, then the policy and the units of the tests.
    for (from, to) in [
        (unpacked.path(), "/"),
        (&process::workspace().join("tests/systemd"), "/"),
        (package.as_path(), PACKAGE),
        (older.as_path(), OLDER),
    ] {
        guest.files.push(GuestFile {
            from: from.to_owned(),
            to: Path::new(to).to_owned(),
        });
    }
    guest.has_systemd = true;
    guest.timeout = timeout;
    match guest.run(&mut |bytes| tests.take(bytes))? {
        outcome if outcome.code == 124 => tests.fail("the guest took too long"),
        _ => {}
    }
    Ok(())
}
