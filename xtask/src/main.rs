//! Build, test and demonstration commands of the workspace: `cargo xtask COMMAND`.
//!
//! Nothing here is part of the product and nothing of the workspace is linked: a
//! module per command, which owns its options and its `run`.

mod bench;
mod cargo;
mod demo;
mod dist;
mod ebpf;
mod lab;
mod process;
mod setup;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::Parser;

/// Build, test and demonstration commands of the shaper workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
enum Command {
    Setup(setup::Options),
    Ebpf(ebpf::Options),
    Lab(lab::Options),
    Test(test::Options),
    Tidy(tidy::Options),
    Demo(demo::Options),
    Bench(bench::Options),
    Dist(dist::Options),
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Setup(options) => setup::run(&options),
        Command::Ebpf(options) => ebpf::run(&options),
        Command::Lab(options) => lab::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Tidy(options) => tidy::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Dist(options) => dist::run(&options),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
