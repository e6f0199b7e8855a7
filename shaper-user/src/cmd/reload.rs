//! `shaper reload`: applies the configuration again.

use std::io::Write;

use super::{Context, apply};
use crate::config::Config;

/// Apply the configuration again; rules of `shaper set` stay
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let config = Config::load(&context.paths.config)?;
    apply::apply(config, false, false, context, out)
}
