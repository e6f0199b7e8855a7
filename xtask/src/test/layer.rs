//! Runs a layer and keeps what it printed.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
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

/// How output is shown.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shown {
    /// As it comes.
    AtOnce,
    /// Whole lines with the layer's name before them: others run at the same time.
    ByLine,
}

/// A layer of tests: runs it, keeps its output, counts.
pub(super) fn layer(name: &str, shown: Shown, run: impl FnOnce(&mut Tests) -> Result<()>) -> Result<Outcome> {
    heading(name);
    let started = Instant::now();
    let logs = process::workspace().join("target/test-logs");
    fs::create_dir_all(&logs)?;
    let log = logs.join(format!("{}.log", name.replace(' ', "-")));
    let mut tests = Tests::new(tee(name, shown, File::create(&log)?));
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

/// Shows what is written, and keeps it.
fn tee(name: &str, shown: Shown, mut log: File) -> Show {
    let mut writer: Box<dyn Write> = match shown {
        Shown::AtOnce => Box::new(io::stdout()),
        Shown::ByLine => Box::new(Prefixed {
            prefix: format!("{name} | "),
            line: Vec::new(),
        }),
    };
    Box::new(move |bytes| {
        // Whoever read our output may have gone; the tests still count.
        let _ = writer.write_all(bytes).and_then(|()| writer.flush());
        let _ = log.write_all(bytes);
    })
}

/// Writes whole lines to the standard output, each with a prefix.
struct Prefixed {
    prefix: String,
    line: Vec<u8>,
}

impl Write for Prefixed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend(part);
            if part.ends_with(b"\n") {
                let mut stdout = io::stdout().lock();
                stdout.write_all(self.prefix.as_bytes())?;
                stdout.write_all(&self.line)?;
                self.line.clear();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

/// Runs a command and hands its output, errors included, to `tests` as it comes.
pub(super) fn stream(command: &mut Command, tests: &mut Tests) -> Result<()> {
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
    let status = child.wait()?;
    tests.end(status.success(), &status.to_string());
    Ok(())
}
