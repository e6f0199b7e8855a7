//! `shaper completions`: what a shell needs to complete our command lines.

use std::io::Write;

use clap::CommandFactory;

use super::{Cli, Context};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// For which shell.
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args, _context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    // The generator panics where it cannot write: a pipe may be closed.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "shaper", &mut script);
    out.write_all(&script)?;
    Ok(())
}
