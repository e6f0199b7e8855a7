//! A host: a network namespace with a name, and threads and programs that run in it.

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};

use crate::traffic::sys;

/// A network namespace. Gone, with all it holds, when dropped.
#[derive(Debug)]
pub struct Host {
    name: String,
    netns: Arc<File>,
}

impl Host {
    /// A host with nothing but a loopback interface. `role` is a part of its name.
    #[must_use]
    pub fn new(role: &str) -> Self {
        static N_HOSTS: AtomicU32 = AtomicU32::new(0);
        let n = N_HOSTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("lab-{}-{n}-{role}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &name]));
        let path = format!("/run/netns/{name}");
        let netns = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let host = Self {
            name,
            netns: Arc::new(netns),
        };
        host.ip(["link set lo up"]);
        host
    }

    /// Name of its namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` with each line, in one batch.
    pub fn ip<Line: fmt::Display>(&self, lines: impl IntoIterator<Item = Line>) {
        self.batch("ip", lines);
    }

    /// Runs `tc` with each line, in one batch.
    pub fn tc<Line: fmt::Display>(&self, lines: impl IntoIterator<Item = Line>) {
        self.batch("tc", lines);
    }

    fn batch<Line: fmt::Display>(&self, program: &str, lines: impl IntoIterator<Item = Line>) {
        let mut text = String::new();
        for line in lines {
            let _ = writeln!(text, "{line}");
        }
        let mut child = Command::new(program)
            .args(["-n", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let written = child.stdin.take().expect("piped").write_all(text.as_bytes());
        let output = child.wait_with_output().expect("it was started");
        assert!(
            written.is_ok() && output.status.success(),
            "{program} on {}: {}\n{text}",
            self.name,
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// A program that will run in this network. It sees the file systems that this process sees.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let netns = Arc::clone(&self.netns);
        let mut command = Command::new(program);
        // SAFETY: between fork and exec only setns is called, on a descriptor that is open in both.
        unsafe {
            command.pre_exec(move || sys::enter(netns.as_raw_fd()));
        }
        command
    }

    /// Runs a program to its end and returns what it printed; panics if it failed.
    pub fn output(&self, program: &str, args: &[&str]) -> String {
        let output = run(self.command(program).args(args));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs `work` on a thread of its own in this network.
    pub fn spawn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let netns = Arc::clone(&self.netns);
        thread::spawn(move || {
            sys::enter(netns.as_raw_fd()).expect("root may enter a namespace");
            work()
        })
    }

    /// Runs `work` in this network and waits for its result.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let work = || {
            sys::enter(self.netns.as_raw_fd()).expect("root may enter a namespace");
            work()
        };
        match thread::scope(|scope| scope.spawn(work).join()) {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Sets `/proc/sys/{key}`.
    pub fn sysctl(&self, key: &str, value: &str) {
        let path = format!("/proc/sys/{key}");
        self.run(|| fs::write(&path, value))
            .unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // No panic here: while a test is already failing it would abort and hide the reason.
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

/// Runs a command to its end; panics with what it said if it failed.
pub fn run(command: &mut Command) -> Output {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
