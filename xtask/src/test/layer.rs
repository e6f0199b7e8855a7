//! Runs a layer and keeps what it printed.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::process;

use super::libtest::{Show, Tests};

/// What a layer found.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The layer.
    pub(super) name: String,
    /// Tests that passed.
    pub(super) passed: usize,
    /// What failed.
    pub(super) failures: Vec<String>,
    /// Programs that were run a second time.
    pub(super) second_tries: Vec<String>,
    /// Where its output is.
    pub(super) log: Option<PathBuf>,
}

/// Says which layer starts.
fn heading(name: &str) {
    println!("\n=== {name}");
}

/// A layer that is one check.
pub(super) fn check(name: &str, holds: impl FnOnce() -> Result<bool>) -> Outcome {
    heading(name);
    let started = Instant::now();
    let mut outcome = Outcome {
        name: name.to_owned(),
        ..Outcome::default()
    };
    match holds() {
        Ok(true) => outcome.passed = 1,
        Ok(false) => outcome.failures.push("see above".to_owned()),
        Err(error) => {
            println!("{error:#}");
            outcome
                .failures
                .push(format!("{error:#}").lines().next().unwrap_or_default().to_owned());
        }
    }
    let word = if outcome.passed == 1 { "passed" } else { "failed" };
    println!(
        "{name}: 1 check {word} in {:.1} s",
        started.elapsed().as_secs_f32()
    );
    outcome
}

/// A layer of tests: runs it, keeps its output, counts.
pub(super) fn layer(name: &str, run: impl FnOnce(&mut Tests) -> Result<()>) -> Result<Outcome> {
    heading(name);
    let started = Instant::now();
    let logs = process::workspace().join("target/test-logs");
    fs::create_dir_all(&logs)?;
    let log = logs.join(format!("{}.log", name.replace(' ', "-")));
    let mut tests = Tests::new(Box::new(Tee {
        name: name.to_owned(),
        log: File::create(&log)?,
    }));
    if let Err(error) = run(&mut tests) {
        tests.fail(&format!("{error:#}"));
    }
    let tally = tests.finish();
    println!(
        "{name}: {} tests, {} passed, {} failed in {:.1} s",
        tally.n_tests(),
        tally.passed,
        tally.failures.len(),
        started.elapsed().as_secs_f32()
    );
    Ok(Outcome {
        name: name.to_owned(),
        passed: tally.passed,
        failures: tally.failures,
        second_tries: tally.second_tries,
        log: Some(log),
    })
}

/// Says what is to be said with the layer's name before each line, as others run at the same time; keeps all.
struct Tee {
    name: String,
    log: File,
}

impl Show for Tee {
    fn keep(&mut self, bytes: &[u8]) {
        // Without its log a test still counts.
        let _ = self.log.write_all(bytes);
    }

    fn say(&mut self, text: &str) {
        let lines: String = text
            .lines()
            .map(|line| format!("{} | {line}\n", self.name))
            .collect();
        // Whoever read our output may have gone; the tests still count.
        let _ = io::stdout().lock().write_all(lines.as_bytes());
    }
}

/// Runs a command and hands its output, errors included, to `tests` as it comes; how it ended.
pub(super) fn stream(command: &mut Command, tests: &mut Tests) -> Result<ExitStatus> {
    let (mut reader, writer) = io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{}`", process::shown(command)))?;
    // The command holds the writing end too: without this the output would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut buffer = [0; 1 << 14];
    loop {
        let n_bytes = reader.read(&mut buffer)?;
        if n_bytes == 0 {
            break;
        }
        tests.take(&buffer[..n_bytes]);
    }
    Ok(child.wait()?)
}
