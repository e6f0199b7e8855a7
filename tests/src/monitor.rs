//! The monitor, and what it says.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// No event takes that long, however busy the machine is.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// `shaper monitor` at work, and what it says. Ended when dropped.
#[derive(Debug)]
pub struct Monitor {
    child: Child,
    lines: Receiver<String>,
}

impl Monitor {
    /// Starts `command`, which is `shaper monitor`; it has looked once, and found shaper up.
    ///
    /// # Panics
    ///
    /// If it does not start, or finds something else.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let monitor = Self::begin(command);
        monitor.hear("shaper is up");
        monitor
    }

    /// As [`start`](Self::start), but nobody has waited for anything.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn begin(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    /// Waits until it says something with `text` in it; how long that took.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn hear(&self, text: &str) -> Duration {
        let began = Instant::now();
        let mut heard = Vec::new();
        loop {
            let left = PATIENCE.saturating_sub(began.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(text) => return began.elapsed(),
                Ok(line) => heard.push(line),
                Err(error) => panic!("no `{text}` among {heard:?}: {error}"),
            }
        }
    }

    /// Waits until it has said each of these, in any order; all that it said.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn hear_all(&self, texts: &[&str]) -> Vec<String> {
        let (began, mut heard) = (Instant::now(), Vec::<String>::new());
        while !texts
            .iter()
            .all(|text| heard.iter().any(|line| line.contains(text)))
        {
            let left = PATIENCE.saturating_sub(began.elapsed());
            let line = self.lines.recv_timeout(left);
            heard.push(line.unwrap_or_else(|error| panic!("not all of {texts:?} among {heard:?}: {error}")));
        }
        heard
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// If it has been waited for.
    pub fn signal(&self, signal: i32) {
        // SAFETY: a system call; the child has not been waited for, so the number is its own.
        assert_eq!(unsafe { libc::kill(self.child.id().cast_signed(), signal) }, 0);
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }

    /// Its own memory in kB, and its descriptors, when it does not look at anything: the least of what is seen in a while.
    ///
    /// The rest of what is resident are pages of files and maps. The kernel maps those of its binary in handfuls, and takes them away
    /// when it wants to: they say nothing of what the monitor keeps.
    #[must_use]
    pub fn at_rest(&self) -> (u64, usize) {
        // It looks three times a second.
        const A_WHILE: Duration = Duration::from_secs(1);
        let (began, mut least) = (Instant::now(), (u64::MAX, usize::MAX));
        while began.elapsed() < A_WHILE {
            let own = self.kilobytes(&["RssAnon:", "VmSwap:"]);
            least = (least.0.min(own), least.1.min(self.n_descriptors()));
            thread::sleep(Duration::from_millis(20));
        }
        least
    }

    /// The most that was ever resident, in kB, pages of files and maps included.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.kilobytes(&["VmHWM:"])
    }

    /// The sum of these lines of its status.
    fn kilobytes(&self, names: &[&str]) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let value = |name: &&str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        names.iter().map(value).sum()
    }

    fn n_descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
