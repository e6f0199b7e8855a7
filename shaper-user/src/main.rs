//! `shaper`: parses the command line, runs one command, turns its error into an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use shaper_user::cmd;

fn main() -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let code = cmd::main(std::env::args_os(), &mut out);
    // A reader that went away (`shaper list | head`) is no failure of ours.
    let _ = out.flush();
    ExitCode::from(code)
}
