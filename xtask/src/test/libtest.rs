//! Reads what Rust's test programs print.
//!
//! The closing line of each program is what counts: a program that crashed has none.

/// The start of the line that says which program follows; guests and hosts print it.
pub(super) const PROGRAM: &str = "::: ";
/// Between the program's name and its exit code, in the line after it.
pub(super) const EXIT: &str = " ended with ";

/// After a program's name: it failed and is run a second time, and only that counts.
pub(super) const AGAIN: &str = " again";

/// Gets all the output that passes by.
pub(super) type Show = Box<dyn FnMut(&[u8])>;

/// Counts the tests in a stream of output.
pub(super) struct Tests {
    show: Show,
    line: Vec<u8>,
    program: Option<String>,
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
    /// Starts counting; `show` gets all that passes by.
    pub(super) fn new(show: Show) -> Self {
        Self {
            show,
            line: Vec::new(),
            program: None,
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

    /// The layer failed for a reason that no test tells.
    pub(super) fn fail(&mut self, why: &str) {
        (self.show)(format!("{why}\n").as_bytes());
        self.tally
            .failures
            .push(self.named(why.lines().next().unwrap_or_default()));
    }

    /// Something other than a program is done a second time.
    pub(super) fn again(&mut self, what: &str) {
        (self.show)(format!("{what}, again\n").as_bytes());
        self.tally.second_tries.push(what.to_owned());
    }

    /// What runs the programs is gone, perhaps in the middle of a line; which of them it was at.
    pub(super) fn interrupted(&mut self) -> Option<String> {
        self.line.clear();
        (self.show)(b"\n");
        self.program.clone()
    }

    /// A command ended, with this status.
    pub(super) fn end(&mut self, success: bool, status: &str) {
        self.close();
        if !success && self.tally.failures.len() == self.before.1 {
            self.fail(&format!("failed without saying why ({status})"));
        }
        self.program = None;
    }

    /// Takes a piece of output.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        (self.show)(bytes);
        for byte in bytes {
            if *byte == b'\n' {
                let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
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
                self.tally.passed = self.before.0;
                self.tally.failures.truncate(self.before.1);
                self.tally.second_tries.push(program.to_owned());
            } else {
                self.close();
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
mod tests {
    use super::*;

    fn tally(text: &str) -> Tally {
        let mut tests = Tests::new(Box::new(|_| {}));
        tests.take(text.as_bytes());
        tests.finish()
    }

    const GOOD: &str = "running 2 tests\ntest a ... ok\ntest b ... ok\n\n\
        test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
    const BAD: &str = "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\n    indented\n\n\
        failures:\n    b\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n";

    #[test]
    fn the_closing_lines_are_added_up() {
        assert_eq!(
            tally(&[GOOD, GOOD].concat()),
            Tally {
                passed: 4,
                ..Tally::default()
            }
        );
    }

    #[test]
    fn a_failed_test_is_named_once() {
        let text =
            format!("::: lab_x\n{BAD}::: lab_x ended with 101\n::: lab_y\n{GOOD}::: lab_y ended with 0\n");
        assert_eq!(
            tally(&text),
            Tally {
                passed: 3,
                failures: vec!["lab_x: b".to_owned()],
                ..Tally::default()
            }
        );
    }

    #[test]
    fn of_a_program_that_is_run_again_the_second_time_counts() {
        let run = |second: &str, code| {
            tally(&format!(
                "::: lab_w\n{GOOD}::: lab_w ended with 0\n::: lab_x\n{BAD}::: lab_x again\n{second}::: lab_x ended with {code}\n"
            ))
        };
        let expected = Tally {
            passed: 4,
            second_tries: vec!["lab_x".to_owned()],
            ..Tally::default()
        };
        assert_eq!(run(GOOD, 0), expected);
        assert_eq!(
            (run(BAD, 101).passed, run(BAD, 101).failures),
            (3, vec!["lab_x: b".to_owned()])
        );
        assert_eq!(run("", 139).failures, ["lab_x: ended before its tests did"]);
    }

    #[test]
    fn a_program_that_was_interrupted_can_be_run_again() {
        let mut tests = Tests::new(Box::new(|_| {}));
        let begun =
            format!("::: lab_w\n{GOOD}::: lab_w ended with 0\n::: lab_x\nrunning 2 tests\ntest a ... ");
        tests.take(begun.as_bytes());
        assert_eq!(tests.interrupted().as_deref(), Some("lab_x"));
        tests.take(format!("::: lab_x again\n{GOOD}::: lab_x ended with 0\n").as_bytes());
        assert_eq!(tests.interrupted(), None);
        let expected = Tally {
            passed: 4,
            second_tries: vec!["lab_x".to_owned()],
            ..Tally::default()
        };
        assert_eq!(tests.finish(), expected);
    }

    #[test]
    fn a_program_without_its_closing_line_has_failed() {
        let why = "ended before its tests did";
        assert_eq!(tally("running 2 tests\ntest a ... ok\n").failures, [why]);
        let text = format!(
            "::: lab_x\nrunning 2 tests\n::: lab_x ended with 139\n::: lab_y\n{GOOD}::: lab_y ended with 0\n"
        );
        assert_eq!(
            tally(&text),
            Tally {
                passed: 2,
                failures: vec![format!("lab_x: {why}")],
                ..Tally::default()
            }
        );
        assert_eq!(
            tally("::: lab_x\nnot found\n::: lab_x ended with 127\n").failures,
            [format!("lab_x: {why}")]
        );
    }

    #[test]
    fn a_good_closing_line_does_not_excuse_the_exit_code() {
        let text = format!("::: lab_x\n{GOOD}::: lab_x ended with 134\n");
        assert_eq!(
            tally(&text).failures,
            ["lab_x: failed without saying why (exit code 134)"]
        );
    }

    #[test]
    fn an_ignored_test_is_a_failure() {
        let text =
            "running 1 test\ntest result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(
            tally(text),
            Tally {
                passed: 0,
                failures: vec!["1 ignored".to_owned()],
                ..Tally::default()
            }
        );
    }

    #[test]
    fn a_command_that_fails_without_a_failed_test_is_a_failure() {
        let mut tests = Tests::new(Box::new(|_| {}));
        tests.take(b"error: could not compile\n");
        tests.end(false, "exit status: 101");
        assert_eq!(tests.finish().failures.len(), 1);
    }
}
