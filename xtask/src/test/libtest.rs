//! Reads what Rust's test programs print.
//!
//! The closing line of each program is what counts: a program that crashed has none. One line of each is passed on, and
//! all of it if a test failed.

/// The start of the line that says which program follows; guests and hosts print it.
pub(super) const PROGRAM: &str = "::: ";
/// Between the program's name and its exit code, in the line after it.
pub(super) const EXIT: &str = " ended with ";

/// After a program's name: it failed and is run a second time, and only that counts.
pub(super) const AGAIN: &str = " again";

/// Where the output goes.
pub(super) trait Show {
    /// All of it, as it comes.
    fn keep(&mut self, bytes: &[u8]);
    /// What whoever waits is to see: whole lines.
    fn say(&mut self, text: &str);
}

/// Counts the tests in a stream of output.
pub(super) struct Tests {
    show: Box<dyn Show>,
    line: Vec<u8>,
    program: Option<String>,
    /// What the program has printed.
    printed: String,
    /// How long it took, in its own words.
    took: String,
    n_open: usize,
    /// What had been counted when the program started.
    before: (usize, usize),
    names: Option<Vec<String>>,
    tally: Tally,
}

/// How many tests there were.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Tests that passed.
    pub(super) passed: usize,
    /// Tests that failed, and other reasons why the layer did.
    pub(super) failures: Vec<String>,
    /// Programs that were run a second time.
    pub(super) second_tries: Vec<String>,
}

impl Tally {
    pub(super) fn n_tests(&self) -> usize {
        self.passed + self.failures.len()
    }
}

impl Tests {
    /// Starts counting.
    pub(super) fn new(show: Box<dyn Show>) -> Self {
        Self {
            show,
            line: Vec::new(),
            program: None,
            printed: String::new(),
            took: String::new(),
            n_open: 0,
            before: (0, 0),
            names: None,
            tally: Tally::default(),
        }
    }

    /// Another test program starts.
    pub(super) fn start(&mut self, program: &str) {
        self.take(format!("{PROGRAM}{program}\n").as_bytes());
    }

    /// The program starts a second time; what it found the first time does not count.
    pub(super) fn start_again(&mut self, program: &str) {
        self.take(format!("{PROGRAM}{program}{AGAIN}\n").as_bytes());
    }

    /// The layer failed for a reason that no test tells.
    pub(super) fn fail(&mut self, why: &str) {
        self.say(why);
        self.tally
            .failures
            .push(self.named(why.lines().next().unwrap_or_default()));
    }

    /// Something other than a program is done a second time.
    pub(super) fn again(&mut self, what: &str) {
        self.say(&format!("{what}, again"));
        self.tally.second_tries.push(what.to_owned());
    }

    fn say(&mut self, text: &str) {
        self.show.say(text);
        self.show.keep(format!("{text}\n").as_bytes());
    }

    /// What runs the programs is gone, perhaps in the middle of a line; which of them it was at.
    pub(super) fn interrupted(&mut self) -> Option<String> {
        self.printed
            .push_str(&String::from_utf8_lossy(&std::mem::take(&mut self.line)));
        self.show.keep(b"\n");
        self.show.say(&std::mem::take(&mut self.printed));
        self.program.clone()
    }

    /// A command ended, with this status.
    pub(super) fn end(&mut self, success: bool, status: &str) {
        self.close();
        if !success && self.tally.failures.len() == self.before.1 {
            self.fail(&format!("failed without saying why ({status})"));
        }
        self.pass_on();
        self.program = None;
        self.before = (self.tally.passed, self.tally.failures.len());
    }

    /// Says how the program went that has just ended.
    fn pass_on(&mut self) {
        let printed = std::mem::take(&mut self.printed);
        let took = std::mem::take(&mut self.took);
        let n_passed = self.tally.passed - self.before.0;
        if self.tally.failures.len() > self.before.1 {
            self.show.say(&printed);
        } else if let Some(name) = &self.program
            && n_passed > 0
        {
            self.show.say(&format!("{name}: {n_passed} passed, {took}"));
        }
    }

    /// Takes a piece of output.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.show.keep(bytes);
        for byte in bytes {
            if *byte == b'\n' {
                let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
                self.printed.push_str(&line);
                self.printed.push('\n');
                self.line(line.trim_end());
            } else {
                self.line.push(*byte);
            }
        }
    }

    /// The numbers.
    pub(super) fn finish(mut self) -> Tally {
        self.close();
        self.tally
    }

    fn line(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix(PROGRAM) {
            self.names = None;
            if let Some((_, code)) = rest.split_once(EXIT) {
                self.end(code == "0", &format!("exit code {code}"));
                return;
            }
            if let Some(program) = rest.strip_suffix(AGAIN) {
                // The first try, whose failures are forgotten.
                self.show.say(&std::mem::take(&mut self.printed));
                self.tally.passed = self.before.0;
                self.tally.failures.truncate(self.before.1);
                self.tally.second_tries.push(program.to_owned());
            } else {
                self.close();
                self.printed.clear();
                self.program = Some(rest.to_owned());
                self.before = (self.tally.passed, self.tally.failures.len());
            }
            // It must say how it went, even if it never says that it runs.
            self.n_open = 1;
        } else if is_start(line) {
            self.n_open = if self.program.is_some() {
                1
            } else {
                self.n_open + 1
            };
        } else if line == "failures:" {
            self.names = Some(Vec::new());
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.result(result);
        } else if let Some(names) = &mut self.names
            && let Some(name) = line.strip_prefix("    ")
        {
            names.push(name.to_owned());
        }
    }

    /// The closing line of a program.
    fn result(&mut self, result: &str) {
        self.n_open = self.n_open.saturating_sub(1);
        let count = |what: &str| -> usize {
            let words: Vec<_> = result
                .split([' ', ';', '.'])
                .filter(|word| !word.is_empty())
                .collect();
            let number = words
                .windows(2)
                .find(|pair| pair[1] == what)
                .map_or("0", |pair| pair[0]);
            number.parse().unwrap_or(0)
        };
        result
            .split("; ")
            .last()
            .unwrap_or_default()
            .clone_into(&mut self.took);
        self.tally.passed += count("passed");
        let names = self.names.take().unwrap_or_default();
        for index in 0..count("failed") {
            let failure = self.named(names.get(index).map_or("a test", String::as_str));
            self.tally.failures.push(failure);
        }
        if count("ignored") > 0 {
            let failure = self.named(&format!("{} ignored", count("ignored")));
            self.tally.failures.push(failure);
        }
    }

    /// Programs that started and never said how it went.
    fn close(&mut self) {
        for _ in 0..std::mem::take(&mut self.n_open) {
            self.fail("ended before its tests did");
        }
    }

    fn named(&self, what: &str) -> String {
        self.program
            .as_ref()
            .map_or_else(|| what.to_owned(), |program| format!("{program}: {what}"))
    }
}

/// Whether a line is the first of a program's: `running 3 tests`.
fn is_start(line: &str) -> bool {
    let words: Vec<_> = line.split(' ').collect();
    matches!(words[..], ["running", number, "test" | "tests"] if number.parse::<usize>().is_ok())
}

#[cfg(test)]
#[path = "libtest_tests.rs"]
mod tests;
