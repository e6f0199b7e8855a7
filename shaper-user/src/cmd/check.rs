//! `shaper check`: is this configuration a policy?

use std::io::Write;
use std::path::PathBuf;

use super::Context;
use super::sources::{configuration_in, policy, warnings};
use crate::view::json::{self, Checked};

/// Check a configuration without touching the kernel
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files to check, `-` for standard input [default: the configuration].
    files: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let default = [context.paths.config.clone()];
    let files = if args.files.is_empty() {
        &default[..]
    } else {
        &args.files
    };
    let mut checked = Vec::new();
    for file in files {
        let config = configuration_in(file)?;
        let policy = policy(&config)?;
        let warnings = warnings(&config, &policy);
        for warning in &warnings {
            context.note(format_args!("warning: {warning}"));
        }
        checked.push(Checked {
            file: file.display().to_string(),
            n_rules: policy.rules().len(),
            n_exempt: policy.exempt().iter().count(),
            warnings,
        });
    }
    if context.format.is_json() {
        writeln!(out, "{}", json::checked(&Context::head(), &checked))?;
        return Ok(());
    }
    for Checked { file, n_rules, .. } in checked {
        match n_rules {
            0 => writeln!(out, "{file}: valid, limits nothing")?,
            1 => writeln!(out, "{file}: valid, 1 rule")?,
            _ => writeln!(out, "{file}: valid, {n_rules} rules")?,
        }
    }
    Ok(())
}
