//! Runs commands, and counts those that did not refuse, or changed something.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use shaper_tests::alone::{Ran, Server};
use shaper_tests::object;

/// Command lines.
pub(super) type Commands = &'static [&'static [&'static str]];

/// Everything in a directory: what it is, whose, and what it holds.
fn tree(path: &Path, lines: &mut Vec<String>) {
    let Ok(metadata) = path.symlink_metadata() else {
        return;
    };
    let kind = metadata.file_type();
    let mut line = format!("{} {:o} {}", path.display(), metadata.mode(), metadata.uid());
    if kind.is_symlink() {
        line += &format!(" -> {}", fs::read_link(path).unwrap().display());
    } else if kind.is_file() && metadata.len() > 0 && path.file_name() != Some(OsStr::new("lock")) {
        // Who holds the lock is written into it.
        line += &format!(" {:?}", fs::read(path).unwrap());
    }
    lines.push(line);
    if kind.is_dir() {
        let mut entries: Vec<PathBuf> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        entries.sort();
        for entry in &entries {
            tree(entry, lines);
        }
    }
}

pub(super) fn everything(server: &Server) -> Vec<String> {
    let mut lines = Vec::new();
    tree(server.dir(), &mut lines);
    tree(server.bpffs(), &mut lines);
    lines
}

/// What is wrong with how a command met a trap at `path`; nothing, if it refused as it should.
fn objections(ran: &Ran, path: &Path, before: &[String], after: &[String]) -> Option<String> {
    let said = format!("{}{}", ran.out, ran.err);
    // One of the two above may be what is named.
    let names = path
        .ancestors()
        .take(3)
        .any(|path| said.contains(&format!("`{}`", path.display())));
    let has_remedy = said.contains("\n  ");
    let changed: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    let gone: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    let is_well = ran.code > 0 && names && has_remedy && changed.is_empty() && gone.is_empty();
    (!is_well).then(|| format!("exit {}, said {said:?}, new {changed:?}, gone {gone:?}", ran.code))
}

/// Those of `commands` that there is time for.
pub(super) fn chosen(commands: Commands) -> Commands {
    if object::in_lab() {
        &commands[..1]
    } else {
        commands
    }
}

/// Counts what was tried, and keeps what went wrong.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) n_cases: usize,
    pub(super) n_commands: usize,
    pub(super) wrong: Vec<String>,
}

impl Tally {
    pub(super) fn try_all(&mut self, server: &Server, what: &str, path: &Path, commands: Commands) {
        self.n_cases += 1;
        for args in chosen(commands) {
            self.n_commands += 1;
            let before = everything(server);
            let ran = server.run(args);
            if let Some(objection) = objections(&ran, path, &before, &everything(server)) {
                self.wrong.push(format!("{what}, {args:?}: {objection}"));
            }
        }
    }

    pub(super) fn report(&self, what: &str) {
        println!(
            "{what}: {} layouts, {} commands, {} not as they should",
            self.n_cases,
            self.n_commands,
            self.wrong.len()
        );
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }
}
