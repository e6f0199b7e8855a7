//! What is made of what test programs print.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;

/// What was to be seen.
#[derive(Clone, Default)]
struct Shown(Rc<RefCell<String>>);

impl Show for Shown {
    fn keep(&mut self, _bytes: &[u8]) {}

    fn say(&mut self, text: &str) {
        let mut shown = self.0.borrow_mut();
        shown.push_str(text.trim_end());
        shown.push('\n');
    }
}

fn tally(text: &str) -> Tally {
    let mut tests = Tests::new(Box::new(Shown::default()));
    tests.take(text.as_bytes());
    tests.finish()
}

const GOOD: &str = "running 2 tests\ntest a ... ok\ntest b ... ok\n\n\
    test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
const BAD: &str = "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\n    indented\n\n\
    failures:\n    b\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n";

#[test]
fn of_what_passed_one_line_is_to_be_seen_and_of_what_failed_all() {
    let shown = Shown::default();
    let mut tests = Tests::new(Box::new(shown.clone()));
    tests.take(format!("::: lab_w\n{GOOD}::: lab_w ended with 0\n").as_bytes());
    assert_eq!(
        shown.0.replace(String::new()),
        "lab_w: 2 passed, finished in 0.00s\n"
    );
    tests.take(format!("::: lab_x\n{BAD}::: lab_x ended with 101\n").as_bytes());
    let failed = shown.0.replace(String::new());
    assert!(failed.contains("---- b stdout ----"), "{failed}");
    tests.take(format!("::: lab_y\n{BAD}::: lab_y again\n{GOOD}::: lab_y ended with 0\n").as_bytes());
    let seen = shown.0.replace(String::new());
    assert!(seen.contains("---- b stdout ----") && seen.ends_with("lab_y: 2 passed, finished in 0.00s\n"));
    tests.take(b"::: lab_z\nrunning 2 tests\ntest a ... ");
    tests.interrupted();
    assert!(shown.0.replace(String::new()).contains("running 2 tests"));
}

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
    let text = format!("::: lab_x\n{BAD}::: lab_x ended with 101\n::: lab_y\n{GOOD}::: lab_y ended with 0\n");
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
    let mut tests = Tests::new(Box::new(Shown::default()));
    let begun = format!("::: lab_w\n{GOOD}::: lab_w ended with 0\n::: lab_x\nrunning 2 tests\ntest a ... ");
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
    let text = "running 1 test\ntest result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n";
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
    let mut tests = Tests::new(Box::new(Shown::default()));
    tests.take(b"error: could not compile\n");
    tests.end(false, "exit status: 101");
    assert_eq!(tests.finish().failures.len(), 1);
}
