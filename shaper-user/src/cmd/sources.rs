//! Where policies come from: the configuration, another file, standard input.

use std::io::{self, ErrorKind};
use std::path::Path;

use super::Context;
use crate::config::{Config, ConfigError};
use crate::paths;
use crate::policy::{Policy, Problem};
use crate::store::Policies;

/// The configuration; an empty one if the file is not there and nobody asked for it by name.
pub(super) fn configuration_or_none(context: &Context) -> anyhow::Result<Config> {
    let path = &context.paths.config;
    match Config::load(path) {
        Err(ConfigError::Read {
            path: missing,
            source,
        }) if source.kind() == ErrorKind::NotFound && missing == Path::new(paths::CONFIG) => {
            context.detail(format_args!("there is no `{}`; going on without", path.display()));
            Ok(Config::default())
        }
        loaded => Ok(loaded?),
    }
}

/// Adds what `shaper set` and `shaper exempt` made and keep across reboots.
pub(super) fn add_kept(config: &mut Config, policies: &Policies) -> anyhow::Result<()> {
    let kept = policies.kept()?;
    config.exempt.push(kept.exempt);
    config.rules.extend(kept.rules);
    Ok(())
}

/// The configuration in `file`, or in standard input if that is `-`.
pub(super) fn configuration_in(file: &Path) -> anyhow::Result<Config> {
    if file == Path::new("-") {
        return Ok(Config::load_from(Path::new("<stdin>"), io::stdin().lock())?);
    }
    Ok(Config::load(file)?)
}

/// The policy that `config` is; or all that is wrong with it, each with the line it is in.
pub(crate) fn policy(config: &Config) -> anyhow::Result<Policy> {
    Policy::try_from(config).map_err(|problems| {
        let reports = problems
            .0
            .into_iter()
            .map(|Problem { place, error }| config.report(&place, &error.to_string(), error.hint()))
            .collect();
        ConfigError::Invalid { reports }.into()
    })
}

/// What is valid in `config`, but surely not what was meant: each with the line it is in.
pub(super) fn warnings(config: &Config, policy: &Policy) -> Vec<String> {
    let show = |problem: &Problem| {
        config
            .report(&problem.place, &problem.error.to_string(), problem.error.hint())
            .to_string()
    };
    policy.warnings().iter().map(show).collect()
}
