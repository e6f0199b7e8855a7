//! What our files hold, and how it becomes a configuration and back.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Kept, Running, Trial};
use crate::config::{
    Config, DefaultsConfig, ExemptConfig, GroupConfig, InterfaceConfig, RuleConfig, ServiceConfig, Source,
    Text,
};
use crate::store::StoreError;

/// `policy.toml` and `policy.next`: a configuration, and what `shaper set` and `shaper exempt` made.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RunningFile {
    interface: BTreeMap<Text, InterfaceConfig>,
    defaults: DefaultsConfig,
    exempt: ExemptConfig,
    kept_exempt: ExemptConfig,
    service: BTreeMap<Text, ServiceConfig>,
    group: BTreeMap<Text, GroupConfig>,
    rule: Vec<RuleConfig>,
    kept: Vec<RuleConfig>,
    temporary: Vec<RuleConfig>,
}

/// `rules.toml`: what `shaper set` and `shaper exempt` made, and what survives a reboot.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KeptFile {
    exempt: ExemptConfig,
    rule: Vec<RuleConfig>,
}

/// `policy.try`: how to take back a change that nobody has confirmed.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrialFile {
    deadline_unix_secs: u64,
    before: RunningFile,
}

/// `running` as one configuration, whoever wrote its parts: what `shaper apply` reads back as the same policy.
///
/// # Errors
///
/// If it cannot be written as text.
pub fn as_configuration(running: &Running) -> Result<String, StoreError> {
    let mut file = RunningFile::from(running);
    let by_us = std::mem::take(&mut file.kept_exempt);
    file.exempt.prefixes.extend(by_us.prefixes);
    let by_us = file.kept.drain(..).chain(file.temporary.drain(..));
    file.rule.extend(by_us);
    let saved = SavedFile::from(file);
    toml::to_string(&saved).map_err(|error| StoreError::Damaged {
        path: PathBuf::from("<stdout>"),
        reason: error.to_string(),
    })
}

/// A configuration without what would be empty.
#[derive(Debug, Serialize)]
struct SavedFile {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    interface: BTreeMap<Text, InterfaceConfig>,
    defaults: DefaultsConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    exempt: Option<ExemptConfig>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    service: BTreeMap<Text, ServiceConfig>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    group: BTreeMap<Text, GroupConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rule: Vec<RuleConfig>,
}

impl From<RunningFile> for SavedFile {
    fn from(file: RunningFile) -> Self {
        Self {
            interface: file.interface,
            defaults: file.defaults,
            exempt: Some(file.exempt).filter(|exempt| !exempt.prefixes.is_empty()),
            service: file.service,
            group: file.group,
            rule: file.rule,
        }
    }
}

fn written_by(source: Source, rules: Vec<RuleConfig>) -> impl Iterator<Item = RuleConfig> {
    rules.into_iter().map(move |rule| rule.detached(source))
}

impl From<RunningFile> for Running {
    fn from(file: RunningFile) -> Self {
        let rules = written_by(Source::Config, file.rule)
            .chain(written_by(Source::Kept, file.kept))
            .chain(written_by(Source::Temporary, file.temporary));
        let mut running = Config::of_rules(rules.collect());
        running.interfaces = file.interface;
        running.defaults = file.defaults;
        running.exempt = vec![
            ExemptConfig::new(file.exempt.prefixes, Source::Config),
            ExemptConfig::new(file.kept_exempt.prefixes, Source::Kept),
        ];
        running.services = file.service.into_iter().collect();
        running.groups = file.group.into_iter().collect();
        running
    }
}

fn exempt_of(running: &Running, is_meant: impl Fn(Source) -> bool) -> ExemptConfig {
    let configs = running.exempt.iter().filter(|config| is_meant(config.source));
    let prefixes = configs.flat_map(|config| config.prefixes.iter().cloned());
    ExemptConfig::new(prefixes.collect(), Source::Config)
}

impl From<KeptFile> for Kept {
    fn from(file: KeptFile) -> Self {
        Self {
            exempt: ExemptConfig::new(file.exempt.prefixes, Source::Kept),
            rules: written_by(Source::Kept, file.rule).collect(),
        }
    }
}

impl From<TrialFile> for Trial {
    fn from(file: TrialFile) -> Self {
        Self {
            deadline_unix_secs: file.deadline_unix_secs,
            before: file.before.into(),
        }
    }
}

impl From<&Trial> for TrialFile {
    fn from(trial: &Trial) -> Self {
        Self {
            deadline_unix_secs: trial.deadline_unix_secs,
            before: RunningFile::from(&trial.before),
        }
    }
}

impl From<&Running> for RunningFile {
    fn from(running: &Running) -> Self {
        let of = |source| running.rules_of(source).cloned().collect();
        Self {
            interface: running.interfaces.clone(),
            defaults: running.defaults.clone(),
            exempt: exempt_of(running, |source| source == Source::Config),
            kept_exempt: exempt_of(running, |source| source != Source::Config),
            service: running.services.iter().cloned().collect(),
            group: running.groups.iter().cloned().collect(),
            rule: of(Source::Config),
            kept: of(Source::Kept),
            temporary: of(Source::Temporary),
        }
    }
}

impl From<&Running> for KeptFile {
    fn from(running: &Running) -> Self {
        Self {
            exempt: exempt_of(running, |source| source != Source::Config),
            rule: running.rules_of(Source::Kept).cloned().collect(),
        }
    }
}

impl KeptFile {
    pub(super) fn is_empty(&self) -> bool {
        self.rule.is_empty() && self.exempt.prefixes.is_empty()
    }
}
