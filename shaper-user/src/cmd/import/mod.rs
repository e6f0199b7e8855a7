//! `shaper import`: configurations made from what other tools are given. It changes nothing that runs.

mod csv;
mod draft;
mod matches;
mod script;
mod tc;
mod units;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Context, Failure, policy};
use crate::store::as_configuration;

/// Print a configuration made from a tc script or a list of clients
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What the file is.
    #[arg(value_enum)]
    kind: Kind,
    /// The file, `-` for standard input.
    file: PathBuf,
}

/// What a file to import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// A script of tc (HTB classes; fw, u32 and flower filters) and iptables or nft (marks).
    Tc,
    /// A list of clients with a heading, as LibreQoS has them: circuits, addresses, rates.
    Csv,
}

/// More is no list of clients.
const MAX_BYTES: u64 = 256 << 20;

pub(crate) fn run(args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let text = read(&args.file)?;
    let (config, notes) = match args.kind {
        Kind::Tc => tc::translate(&text),
        Kind::Csv => csv::translate(&text),
    };
    // Whatever is printed here is a valid configuration.
    policy(&config)?;
    out.write_all(as_configuration(&config)?.as_bytes())?;
    for note in &notes {
        let line = note.line;
        context.note(format_args!("line {line}: not translated: {}", note.what));
    }
    if notes.is_empty() {
        return Ok(());
    }
    Err(Failure::Differs {
        message: match notes.len() {
            1 => "1 line was not translated, or not in full".to_owned(),
            n => format!("{n} lines were not translated, or not in full"),
        },
    }
    .into())
}

fn read(path: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let opened = if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    let n_bytes = opened.with_context(|| format!("cannot read `{}`", path.display()))?;
    if n_bytes as u64 > MAX_BYTES {
        anyhow::bail!("`{}` is larger than {} MiB", path.display(), MAX_BYTES >> 20);
    }
    // Comments may be in any encoding; an address or a rate never holds what is replaced here.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
