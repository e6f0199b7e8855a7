//! `shaper man`: writes the manual pages.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::CommandFactory;

use super::{Cli, Context};

/// Write the manual pages, one for each command
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to.
    directory: PathBuf,
}

pub(crate) fn run(args: &Args, context: &Context, _out: &mut impl Write) -> anyhow::Result<()> {
    let directory = &args.directory;
    clap_mangen::generate_to(Cli::command(), directory)
        .with_context(|| format!("cannot write manual pages to `{}`", directory.display()))?;
    context.detail(format_args!(
        "wrote the manual pages to `{}`",
        directory.display()
    ));
    Ok(())
}
