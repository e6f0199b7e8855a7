//! `cargo xtask tidy`: rules about the source that no compiler knows.
//!
//! Which module may name what, how long a file may be, and what must not be left behind.
//! It reads `use` lines and text only; it does not parse Rust.

mod imports;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fmt};

use anyhow::{Context as _, Result};

use crate::process;

/// A file that grows past this has become two things.
const WARN_LINES: usize = 300;
/// Past this it is refused.
const MAX_LINES: usize = 400;

/// Check the rules about the source that no compiler knows.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {}

/// Runs the command.
pub(crate) fn run(_options: &Options) -> Result<ExitCode> {
    let (_, failed) = check()?;
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Checks every source file; returns how many passed and how many failed.
pub(crate) fn check() -> Result<(usize, usize)> {
    let (mut passed, mut failed) = (0, 0);
    for file in files()? {
        let path = file
            .strip_prefix(process::workspace())
            .unwrap_or(&file)
            .to_string_lossy()
            .into_owned();
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        let problems = problems(&path, &text, &machine_paths());
        for problem in &problems {
            println!("{problem}");
        }
        if problems.iter().any(|problem| problem.is_error) {
            failed += 1;
        } else {
            passed += 1;
        }
    }
    println!("tidy: {} files checked, {failed} with errors", passed + failed);
    Ok((passed, failed))
}

/// Something wrong in a file.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    path: String,
    line: usize,
    what: String,
    is_error: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_error { "error" } else { "warning" };
        write!(f, "{}:{}: {kind}: {}", self.path, self.line, self.what)
    }
}

/// The files of the workspace that people write.
fn files() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut todo = vec![process::workspace().to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot read `{}`", dir.display()))? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                if name != "target" && name != ".git" {
                    todo.push(path);
                }
            } else if is_text(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_text(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_none_or(|extension| ["rs", "toml", "md", "service", "sh"].contains(&extension))
}

/// Paths that exist on this machine only.
fn machine_paths() -> Vec<String> {
    let mut paths = vec![["/ho", "me/"].concat(), ["/ro", "ot/"].concat()];
    for dir in [
        Some(process::workspace().to_owned()),
        env::var_os("HOME").map(PathBuf::from),
    ] {
        // A short path such as `/src` also stands in text that means something else.
        paths.extend(
            dir.filter(|dir| dir.components().count() > 2)
                .map(|dir| dir.display().to_string()),
        );
    }
    paths
}

/// What is wrong in one file.
fn problems(path: &str, text: &str, machine_paths: &[String]) -> Vec<Problem> {
    let is_rust = Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "rs");
    let problem = |line, what: String, is_error| Problem {
        path: path.to_owned(),
        line,
        what,
        is_error,
    };
    let mut found = Vec::new();
    let n_lines = text.lines().count();
    if is_rust && n_lines > WARN_LINES {
        found.push(problem(
            n_lines,
            format!("{n_lines} lines: this has become two things"),
            n_lines > MAX_LINES,
        ));
    }
    for (index, line) in text.lines().enumerate() {
        for left in left_behind(line, is_rust) {
            found.push(problem(
                index + 1,
                format!("`{left}` was left behind; file an issue instead"),
                true,
            ));
        }
        for machine_path in machine_paths.iter().filter(|path| line.contains(path.as_str())) {
            found.push(problem(
                index + 1,
                format!("`{machine_path}` is a path of one machine"),
                true,
            ));
        }
    }
    if is_rust {
        let broken = imports::broken(path, text);
        found.extend(broken.into_iter().map(|(line, what)| problem(line, what, true)));
    }
    found
}

/// Marks of unfinished work in a line.
fn left_behind(line: &str, is_rust: bool) -> Vec<&'static str> {
    // In two parts, or this file would not pass.
    const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!(")];
    let marks = if is_rust { &MARKS[..] } else { &MARKS[1..2] };
    marks.iter().copied().filter(|mark| line.contains(mark)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(path: &str, text: &str) -> Vec<(usize, bool)> {
        let found = problems(path, text, &["/somewhere/".to_owned()]);
        found
            .into_iter()
            .map(|problem| (problem.line, problem.is_error))
            .collect()
    }

    #[test]
    fn a_long_file_is_warned_of_and_a_longer_one_refused() {
        assert!(whats("a.rs", &"x\n".repeat(WARN_LINES)).is_empty());
        assert_eq!(whats("a.rs", &"x\n".repeat(WARN_LINES + 1)), [(301, false)]);
        assert_eq!(whats("a.rs", &"x\n".repeat(MAX_LINES)), [(400, false)]);
        assert_eq!(whats("a.rs", &"x\n".repeat(MAX_LINES + 1)), [(401, true)]);
        assert!(whats("a.md", &"x\n".repeat(MAX_LINES + 1)).is_empty());
    }

    #[test]
    fn unfinished_work_is_refused() {
        assert_eq!(whats("a.rs", concat!("// TO", "DO: more\nfine\n")), [(1, true)]);
        assert_eq!(whats("a.rs", concat!("fine\ntodo", "!()\n")), [(2, true)]);
    }

    #[test]
    fn a_path_of_one_machine_is_refused() {
        assert_eq!(whats("README.md", "see /somewhere/else\n"), [(1, true)]);
    }
}
