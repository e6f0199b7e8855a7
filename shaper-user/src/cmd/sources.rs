//! Where policies come from: the configuration, another file, standard input.

use std::io::{self, ErrorKind};
use std::path::Path;

use super::Context;
use crate::config::{Config, ConfigError, RuleConfig, Source};
use crate::paths;
use crate::policy::{Policy, PolicyError, Problem};
use crate::store::{Policies, Running};

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

/// Takes those rules of `shaper set` out of `config` that are not valid beside the rest of it, such as those of a
/// group that is gone, and that `may` be taken out. They are kept, but not in force; each is told with its remedy.
pub(super) fn set_aside(config: &mut Config, context: &Context, may: impl Fn(&RuleConfig) -> bool) {
    let is_ours = |rule: &RuleConfig| rule.source != Source::Config;
    if !config.rules.iter().any(is_ours) {
        return;
    }
    let (ours, rules) = std::mem::take(&mut config.rules)
        .into_iter()
        .partition::<Vec<_>, _>(is_ours);
    config.rules = rules;
    let mut misfits = Policy::misfits(config, &ours).into_iter().peekable();
    for (index, rule) in ours.into_iter().enumerate() {
        match misfits.next_if(|(misfit, _)| *misfit == index) {
            Some((_, error)) if may(&rule) => {
                context.note(format_args!("warning: {}", not_in_force(&rule, &error)));
                if rule.source == Source::Kept {
                    config.aside.push(rule);
                }
            }
            _ => config.rules.push(rule),
        }
    }
}

/// Whether `rule` is kept and has not been in force so far.
pub(super) fn is_aside(running: &Running, rule: &RuleConfig) -> bool {
    let is_same = |aside: &RuleConfig| written_target(aside) == written_target(rule);
    running.aside.iter().any(is_same)
}

/// Why `rule` is left out, and what to do.
fn not_in_force(rule: &RuleConfig, error: &PolicyError) -> String {
    let (target, unset) = (written_target(rule), unset_command(rule));
    format!(
        "the rule of `shaper set` for {target} is not in force: {error}; mend the configuration and run `shaper reload`, \
         or take the rule away with `{unset}`"
    )
}

/// `203.0.113.7 imap`, as it was typed.
pub(super) fn written_target(rule: &RuleConfig) -> String {
    let service = rule
        .service
        .as_ref()
        .map(|service| format!(" {}", service.get_ref()));
    format!("{}{}", rule.destination.get_ref(), service.unwrap_or_default())
}

/// What takes `rule` away.
pub(super) fn unset_command(rule: &RuleConfig) -> String {
    let service = rule
        .service
        .as_ref()
        .map(|service| format!(" --service {}", service.get_ref()));
    format!(
        "shaper unset {}{}",
        rule.destination.get_ref(),
        service.unwrap_or_default()
    )
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
