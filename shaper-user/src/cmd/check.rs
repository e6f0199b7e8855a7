//! `shaper check`: is this configuration a policy?

use std::io::Write;
use std::path::{Path, PathBuf};

use super::sources::{configuration_in, policy, warnings};
use super::{Context, failure};
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
    let mut failed = None;
    for file in files {
        match check(file, context) {
            Ok(one) => checked.push(one),
            // The last one ends the command, as the only one would.
            Err(error) => {
                if let Some(earlier) = failed.replace(error) {
                    failure::report(&earlier, context);
                }
            }
        }
    }
    if !checked.is_empty() {
        say(checked, context, out)?;
    }
    failed.map_or(Ok(()), Err)
}

fn check(file: &Path, context: &Context) -> anyhow::Result<Checked> {
    let config = configuration_in(file)?;
    let policy = policy(&config)?;
    let warnings = warnings(&config, &policy);
    for warning in &warnings {
        context.note(format_args!("warning: {warning}"));
    }
    Ok(Checked {
        file: file.display().to_string(),
        n_rules: policy.rules().len(),
        n_exempt: policy.exempt().iter().count(),
        warnings,
    })
}

fn say(checked: Vec<Checked>, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
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
