//! `shaper man`: writes the manual pages.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::CommandFactory;
use clap_mangen::Man;

use super::{Cli, Context};

/// Commands for whoever administers the system.
const SECTION: &str = "8";

/// Write the manual pages, one for each command
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to.
    directory: PathBuf,
}

pub(crate) fn run(args: &Args, context: &Context, _out: &mut impl Write) -> anyhow::Result<()> {
    let directory = &args.directory;
    let mut command = Cli::command();
    // Gives the commands within their full names, and the options of all.
    command.build();
    write(&command, directory)
        .with_context(|| format!("cannot write manual pages to `{}`", directory.display()))?;
    context.detail(format_args!(
        "wrote the manual pages to `{}`",
        directory.display()
    ));
    Ok(())
}

fn write(command: &clap::Command, directory: &Path) -> std::io::Result<()> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        write(inner, directory)?;
    }
    Man::new(command.clone())
        .section(SECTION)
        .manual("shaper")
        .generate_to(directory)
        .map(drop)
}
