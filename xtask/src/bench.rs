//! stub
use std::process::ExitCode;
/// stub
#[derive(Debug, clap::Args)]
pub(crate) struct Options {}
pub(crate) fn run(_o: &Options) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
