//! `cargo xtask bench`: what a packet costs, and what a million rules do, written into docs/benchmarks.md.
//!
//! The program `bench` of `shaper-tests` measures packets; this runs it in guests whose clock
//! counts instructions, and on this machine, and makes a table of its lines. The program `million` measures commands, on
//! this machine alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::demo::build;
use crate::lab::{Guest, GuestFile};
use crate::process;
use crate::setup::Kernel;

/// What is measured, in a guest.
const SHAPER: &str = "/usr/bin/shaper";
const PAGE: &str = "docs/benchmarks.md";
const START: &str = "<!-- written by `cargo xtask bench` -->";
const END: &str = "<!-- end of what `cargo xtask bench` writes -->";

/// Count the instructions that a packet costs, and write the table in docs/benchmarks.md.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only guests with these kernels; leaves the page alone.
    #[arg(short, long, value_enum, num_args = 1..)]
    kernel: Vec<Kernel>,
    /// Do not measure on this machine; leaves the page alone.
    #[arg(long)]
    no_native: bool,
    /// Print the table and leave the page alone.
    #[arg(long)]
    dry_run: bool,
    /// Only what a million rules cost on this machine; leaves the page alone.
    #[arg(long, conflicts_with_all = ["kernel", "no_native"])]
    million: bool,
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let (shaper, bench, stack) = (build("shaper")?, build("bench")?, build("bench_stack")?);
    if options.million {
        let table = million(&shaper)?.to_markdown();
        println!("\n{table}");
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::default();
    for kernel in Kernel::ALL {
        if !options.kernel.is_empty() && !options.kernel.contains(&kernel) {
            continue;
        }
        let text = in_guest(
            kernel,
            &[
                (&shaper, SHAPER),
                (&bench, "/lab/bench"),
                (&stack, "/lab/bench_stack"),
            ],
        )?;
        ensure!(
            table.read(&text) > 0,
            "the benchmark printed no result with kernel {}",
            kernel.name()
        );
    }
    if !options.no_native && process::is_root() {
        println!("bench: on this machine");
        let text = process::output(Command::new(&bench).env("SHAPER_BIN", &shaper))?;
        print!("{text}");
        table.read(&text);
    }
    let mut table = table.to_markdown();
    if !options.no_native && process::is_root() {
        table = format!("{table}\n{}", million(&shaper)?.to_markdown());
    }
    println!("\n{table}");
    // A page with some of the kernels would look like a page with all of them.
    if !options.dry_run && options.kernel.is_empty() && !options.no_native {
        write(&process::workspace().join(PAGE), &table)?;
        println!("bench: wrote {PAGE}");
    }
    Ok(ExitCode::SUCCESS)
}

/// What a million rules of each family cost on this machine.
fn million(shaper: &Path) -> Result<Table> {
    let million = build("million")?;
    let mut table = Table::default();
    for args in [&["1000000"][..], &["1000000", "v6"]] {
        println!("bench: {} on this machine", args.join(" "));
        let text = process::output(Command::new(&million).args(args).env("SHAPER_BIN", shaper))?;
        print!("{text}");
        ensure!(table.read(&text) > 0, "the benchmark printed no result");
    }
    Ok(table)
}

/// What the benchmarks print in a guest that has these programs.
fn in_guest(kernel: Kernel, programs: &[(&Path, &str)]) -> Result<String> {
    println!("bench: kernel {}", kernel.name());
    let script = format!("export SHAPER_BIN={SHAPER}\n/lab/bench && exec /lab/bench_stack\n");
    let mut guest = Guest::new(kernel, script);
    guest.icount = true;
    guest.timeout = Duration::from_mins(30);
    guest.files.extend(programs.iter().map(|(from, to)| GuestFile {
        from: (*from).to_owned(),
        to: (*to).into(),
    }));
    let mut text = Vec::new();
    let outcome = guest.run(&mut |bytes| {
        // Whoever read our output may have gone; the table is still written.
        let _ = io::stdout().write_all(bytes).and_then(|()| io::stdout().flush());
        text.extend(bytes);
    })?;
    ensure!(
        outcome.code == 0,
        "the benchmark failed with kernel {}; the guest's console is in {}",
        kernel.name(),
        outcome.console.display()
    );
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Results by path (in the order they came) and by kernel.
#[derive(Debug, Default)]
struct Table {
    kernels: Vec<String>,
    paths: Vec<String>,
    cells: BTreeMap<(String, String), String>,
}

impl Table {
    /// Takes the lines that are results, such as `{"kernel":"6.12","path":"ipv4 paced","instructions":231}`.
    fn read(&mut self, text: &str) -> usize {
        let mut n_results = 0;
        for line in text.lines() {
            let Ok(result) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            let text = |key: &str, other: &str| result[key].as_str().or_else(|| result[other].as_str());
            let (Some(kernel), Some(path)) = (text("policy", "kernel"), text("command", "path")) else {
                continue;
            };
            let units = [
                ("instructions", ""),
                ("nanoseconds", " ns"),
                ("milliseconds", " ms"),
                ("bytes", " bytes"),
            ];
            let number = |(key, unit): (&str, &str)| match &result[key] {
                Value::Number(number) => Some(format!("{number}{unit}")),
                _ => None,
            };
            let Some(cell) = units.into_iter().find_map(number) else {
                continue;
            };
            for (known, name) in [(&mut self.kernels, kernel), (&mut self.paths, path)] {
                if !known.iter().any(|known| known == name) {
                    known.push(name.to_owned());
                }
            }
            self.cells.insert((path.to_owned(), kernel.to_owned()), cell);
            n_results += 1;
        }
        n_results
    }

    fn to_markdown(&self) -> String {
        let mut text = format!(
            "| path | {} |\n|---|{}\n",
            self.kernels.join(" | "),
            "---:|".repeat(self.kernels.len())
        );
        for path in &self.paths {
            let _ = write!(text, "| {path} |");
            for kernel in &self.kernels {
                let cell = self.cells.get(&(path.clone(), kernel.clone()));
                let _ = write!(text, " {} |", cell.map_or("", String::as_str));
            }
            text.push('\n');
        }
        text
    }
}

/// Puts the table between the page's marks.
fn write(page: &Path, table: &str) -> Result<()> {
    let text =
        fs::read_to_string(page).unwrap_or_else(|_| format!("# What a packet costs\n\n{START}\n{END}\n"));
    let text = replaced(&text, table)
        .with_context(|| format!("`{}` has no lines `{START}` and `{END}`", page.display()))?;
    if let Some(folder) = page.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(page, text).with_context(|| format!("cannot write `{}`", page.display()))
}

fn replaced(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(START)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{START}\n\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_become_a_table_with_a_column_for_each_kernel() {
        let mut table = Table::default();
        let text = "noise\n{\"kernel\":\"6.1\",\"path\":\"miss\",\"instructions\":140}\n\
            {\"kernel\":\"6.12\",\"path\":\"miss\",\"instructions\":141}\n{\"kernel\":\"host\",\"path\":\"paced\",\"nanoseconds\":52.5}\n";
        assert_eq!(table.read(text), 3);
        assert_eq!(
            table.to_markdown(),
            "| path | 6.1 | 6.12 | host |\n|---|---:|---:|---:|\n| miss | 140 | 141 |  |\n| paced |  |  | 52.5 ns |\n"
        );
    }

    #[test]
    fn what_commands_cost_is_a_table_with_a_column_for_each_policy() {
        let mut table = Table::default();
        let text = "{\"kernel\":\"host\",\"policy\":\"9 rules\",\"command\":\"set\",\"milliseconds\":7}\n\
            {\"kernel\":\"host\",\"policy\":\"9 rules\",\"command\":\"memory\",\"bytes\":187}\n";
        assert_eq!(table.read(text), 2);
        assert_eq!(
            table.to_markdown(),
            "| path | 9 rules |\n|---|---:|\n| set | 7 ms |\n| memory | 187 bytes |\n"
        );
    }

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page = format!("before\n{START}\nold\n{END}\nafter\n");
        let expected = format!("before\n{START}\n\nnew\n\n{END}\nafter\n");
        assert_eq!(replaced(&page, "new\n"), Some(expected));
        assert_eq!(replaced("no marks", "new\n"), None);
    }
}
