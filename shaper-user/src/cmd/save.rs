//! `shaper save`: what runs, as one configuration.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt as _, fchown};
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

/// Makes the file, or replaces it: whatever fails, and be it the power, finds the old one or the new one whole.
fn write_file(path: &Path, text: &str, is_forced: bool) -> anyhow::Result<()> {
    let about = || format!("cannot write `{}`", path.display());
    let found = fs::metadata(path).ok();
    if found.is_some() && !is_forced {
        return Err(is_there_already(path));
    }
    if found.as_ref().is_some_and(|found| !found.is_file()) {
        // A pipe or a terminal cannot be replaced.
        return fs::write(path, text).with_context(about);
    }
    // Where a link leads is what is replaced.
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let temporary = place.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = write_whole(&temporary, text, found.as_ref()).and_then(|()| {
        if is_forced {
            fs::rename(&temporary, &place)
        } else {
            // Unlike a rename, it fails if somebody else was faster.
            fs::hard_link(&temporary, &place)
        }
    });
    // After a rename there is nothing to remove.
    let _ = fs::remove_file(&temporary);
    match written {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(is_there_already(path)),
        Err(error) => Err(error).with_context(about),
        Ok(()) => sync_directory(&place).with_context(about),
    }
}

fn is_there_already(path: &Path) -> anyhow::Error {
    Failure::Usage {
        message: format!("`{}` is there already", path.display()),
        hint: Some("name another file, or repeat it with --force to replace this one".to_owned()),
    }
    .into()
}

/// Makes a file of its own, on the disk for good, with owner and permissions as those of `like`.
fn write_whole(path: &Path, text: &str, like: Option<&Metadata>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    if let Some(like) = like {
        fchown(&file, Some(like.uid()), Some(like.gid()))?;
        file.set_permissions(like.permissions())?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    File::open(above.unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all())
}
