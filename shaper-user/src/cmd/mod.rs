//! The command line: one command, one file.

mod cli;
mod context;
mod failure;

mod apply;
mod change;
mod check;
mod chores;
mod completions;
mod confirm;
mod diff;
mod doctor;
mod down;
mod exempt;
mod expire;
mod get;
mod import;
mod kernel_log;
mod list;
mod man;
mod monitor;
mod observe;
mod part;
mod patrol;
mod progress;
mod rails;
mod reload;
mod repair;
mod save;
mod set;
mod sources;
mod status;
mod trial;
mod unset;
mod up;
mod watch;

use std::ffi::OsString;
use std::io::Write;

use clap::Parser;

pub(crate) use change::Change;
pub use cli::Cli;
pub use context::{Context, Format, Verbosity};
pub use expire::expire;
pub(crate) use failure::Failure;
pub(crate) use sources::policy;

/// Parses `args`, runs one command, and says how it went: the exit code.
pub fn main(args: impl IntoIterator<Item = OsString>, out: &mut impl Write) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return failure::usage(&error, &args),
    };
    let context = cli.context();
    match cli.run(&context, out) {
        Ok(()) => 0,
        Err(error) => failure::report(&error, &context),
    }
}
