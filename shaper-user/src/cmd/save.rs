//! `shaper save`: what runs, as one configuration.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::change::running;
use super::{Context, Failure};
use crate::dataplane::Dataplane;
use crate::policy::Policy;
use crate::store::as_configuration;

/// Print what runs as a configuration: `shaper save | shaper apply -f -` changes nothing
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Into this file, which must not be there yet [default: standard output].
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Replace the file if it is there.
    #[arg(long, requires = "file")]
    force: bool,
}

pub(crate) fn run(args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    Dataplane::open(&context.paths)?;
    let mut running = running(context)?;
    // One rule for each target: the one that counts.
    let policy = Policy::try_from(&running)?;
    let overridden = policy.overridden();
    if !overridden.is_empty() {
        running
            .rules
            .retain(|rule| !super::set::is_one_of(rule, overridden, &policy));
    }
    let text = as_configuration(&running)?;
    match &args.file {
        None => out.write_all(text.as_bytes())?,
        Some(path) => write_file(path, &text, args.force)?,
    }
    Ok(())
}

fn write_file(path: &Path, text: &str, is_forced: bool) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    if is_forced {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let file = options.open(path);
    if let Err(error) = &file
        && error.kind() == std::io::ErrorKind::AlreadyExists
    {
        return Err(Failure::Usage {
            message: format!("`{}` is there already", path.display()),
            hint: Some("name another file, or repeat it with --force to replace this one".to_owned()),
        }
        .into());
    }
    file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    })
    .with_context(|| format!("cannot write `{}`", path.display()))
}
