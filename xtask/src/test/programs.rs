//! The test programs of `shaper-tests`, built once, and how a guest runs them.
//!
//! A target's name says where it runs: `native_*` on this machine and in guests, `host_*` on this machine, `lab_*`
//! in guests, `exact_*` in guests whose clock counts instructions, `systemd_*` in guests
//! whose first process is systemd.

use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cargo::{Executable, executables};
use crate::lab::{Guest, GuestFile, quoted};
use crate::setup::Kernel;

use super::libtest::{AGAIN, EXIT, PROGRAM};

/// What the tests are about, in a guest.
const SHAPER: &str = "/usr/bin/shaper";

/// The variable that random tests start from.
const SEED: &str = "SHAPER_SEED";

/// Of the programs that run on this machine and in guests, those that run commands: how long these take depends on what
/// else the machine does. The others have a clock of their own.
const COMMANDS: [&str; 6] = [
    "native_commands",
    "native_declare",
    "native_ends",
    "native_plane",
    "native_stats",
    "native_up",
];

/// Takes minutes, and finds the same hook and queues on 7 as on 6.12: there only if it is named.
const ONLY_IF_NAMED: (&str, Kernel) = ("lab_crash", Kernel::V7);

/// Test programs, and the `shaper` that they test.
#[derive(Debug)]
pub(super) struct Programs {
    tests: Vec<Executable>,
    shaper: PathBuf,
    /// Where random tests start, the same for a second try.
    seed: u64,
    /// Whether somebody named them.
    are_named: bool,
}

/// Whether what else the machine does can make a program fail, so that it is run a second time.
pub(super) fn has_second_try(program: &str) -> bool {
    ["lab_", "host_", "systemd_"]
        .iter()
        .chain(&COMMANDS)
        .any(|prefix| program.starts_with(prefix))
}

/// Builds those whose names contain one of `wanted`, all if nothing is, optimised: a guest's processor is emulated.
pub(super) fn build(wanted: &[String]) -> Result<Programs> {
    build_those("", wanted)
}

/// Builds only those whose names start with `prefix`, too.
pub(super) fn build_those(prefix: &str, wanted: &[String]) -> Result<Programs> {
    let shaper = executables(&[
        "build",
        "--quiet",
        "--release",
        "-p",
        "shaper-user",
        "--bin",
        "shaper",
    ])?;
    let shaper = shaper
        .into_iter()
        .next()
        .context("package `shaper-user` has no program `shaper`")?
        .path;
    let patterns: Vec<_> = if wanted.is_empty() {
        vec![format!("--test={prefix}*")]
    } else {
        wanted.iter().map(|part| format!("--test=*{part}*")).collect()
    };
    let mut arguments = vec!["test", "--quiet", "--release", "-p", "shaper-tests", "--no-run"];
    arguments.extend(patterns.iter().map(String::as_str));
    let mut tests = executables(&arguments)?;
    tests.retain(|program| program.kind == "test" && program.name.starts_with(prefix));
    let seed = match std::env::var(SEED) {
        Ok(seed) => seed
            .parse()
            .with_context(|| format!("{SEED}={seed} is no number"))?,
        Err(_) => RandomState::new().hash_one(()),
    };
    println!("{SEED}={seed}");
    Ok(Programs {
        tests,
        shaper,
        seed,
        are_named: !wanted.is_empty(),
    })
}

impl Programs {
    /// The `shaper` that they test.
    pub(super) fn shaper(&self) -> &Path {
        &self.shaper
    }

    /// Those whose names start with one of these.
    pub(super) fn named(&self, prefixes: &[&str]) -> impl Iterator<Item = &Executable> {
        self.tests
            .iter()
            .filter(move |test| prefixes.iter().any(|prefix| test.name.starts_with(prefix)))
    }

    /// What a test program on this machine finds in its environment.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("SHAPER_BIN", self.shaper.display().to_string()),
            ("RUSTC_BOOTSTRAP", "1".to_owned()),
            (SEED, self.seed.to_string()),
        ]
    }

    /// A guest that runs those programs, of which the one named `again` is run a second time and those before it are not;
    /// none if there are none.
    pub(super) fn guest(
        &self,
        kernel: Kernel,
        prefixes: &[&str],
        filter: Option<&str>,
        again: Option<&str>,
    ) -> Option<Guest> {
        // RUSTC_BOOTSTRAP: `--report-time` is for nightly.
        let seed = self.seed;
        let script = format!("export SHAPER_BIN={SHAPER} RUSTC_BOOTSTRAP=1 {SEED}={seed}\nfailed=0\n");
        let mut guest = Guest::new(kernel, script);
        guest.files.push(GuestFile {
            from: self.shaper.clone(),
            to: SHAPER.into(),
        });
        let is_run =
            |program: &&Executable| self.are_named || (program.name.as_str(), kernel) != ONLY_IF_NAMED;
        let programs = self.named(prefixes).filter(is_run);
        for program in programs.skip_while(|program| again.is_some_and(|name| program.name != name)) {
            let announced = if again == Some(program.name.as_str()) {
                format!("{}{AGAIN}", program.name)
            } else {
                program.name.clone()
            };
            let to = format!("/lab/tests/{}", program.name);
            let words: Vec<_> = [to.clone()].into_iter().chain(arguments(filter)).collect();
            let command = quoted(&words);
            let second_try = if has_second_try(&program.name) {
                format!(
                    "[ $code = 0 ] || {{ echo '{PROGRAM}{}{AGAIN}'; {command}; code=$?; }}\n",
                    program.name
                )
            } else {
                String::new()
            };
            let _ = write!(
                guest.script,
                "echo '{PROGRAM}{announced}'\n{command}; code=$?\n{second_try}\
                 echo \"{PROGRAM}{name}{EXIT}$code\"\n[ $code = 0 ] || failed=1\n",
                name = program.name
            );
            guest.files.push(GuestFile {
                from: program.path.clone(),
                to: to.into(),
            });
        }
        guest.script.push_str("exit $failed\n");
        (guest.files.len() > 1).then_some(guest)
    }
}

/// What every test program is told: one test after the other, and the time that each took.
pub(super) fn arguments(filter: Option<&str>) -> Vec<String> {
    let fixed = [
        "--test-threads=1",
        "-Zunstable-options",
        "--report-time",
        "--show-output",
    ]
    .map(str::to_owned);
    fixed.into_iter().chain(filter.map(str::to_owned)).collect()
}
