//! What our files hold, and how it becomes a configuration and back.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Brief, Kept, Running};
use crate::config::{
    Config, DefaultsConfig, ExemptConfig, GroupConfig, InterfaceConfig, RuleConfig, ServiceConfig, Source,
    Text,
};
use crate::store::StoreError;

/// `policy.toml` and `policy.next`: a configuration but for its rules, and what `shaper set` and `shaper exempt` made.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RunningFile {
    /// The file with the rules of the configuration; empty: there are none.
    pub(super) rules: String,
    pub(super) facts: Facts,
    interface: BTreeMap<Text, InterfaceConfig>,
    defaults: DefaultsConfig,
    exempt: ExemptConfig,
    kept_exempt: ExemptConfig,
    service: BTreeMap<Text, ServiceConfig>,
    group: BTreeMap<Text, GroupConfig>,
    kept: Vec<RuleConfig>,
    temporary: Vec<RuleConfig>,
    aside: Vec<RuleConfig>,
}

/// What matters of all rules to a change of a single one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Facts {
    /// Services that rules of the configuration are for, as written.
    pub services: Vec<String>,
    /// When the first rule of the configuration ends, in seconds after 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_end_unix_secs: Option<u64>,
    /// Packets that `fq` must be able to hold for all rules.
    pub limit_packets: u32,
    /// Packets that `fq` must be able to hold in one flow.
    pub flow_limit_packets: u32,
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
    pub(super) deadline_unix_secs: u64,
    pub(super) before: RunningFile,
}

/// `running` as one configuration, whoever wrote its parts: what `shaper apply` reads back as the same policy.
///
/// # Errors
///
/// If it cannot be written as text.
pub fn as_configuration(running: &Running) -> Result<String, StoreError> {
    let file = RunningFile::from(running);
    let mut exempt = file.exempt;
    exempt.prefixes.extend(file.kept_exempt.prefixes);
    let saved = SavedFile {
        interface: file.interface,
        defaults: file.defaults,
        exempt: Some(exempt).filter(|exempt| !exempt.prefixes.is_empty()),
        service: file.service,
        group: file.group,
    };
    let mut text = toml::to_string(&saved).map_err(|error| StoreError::Damaged {
        path: PathBuf::from("<stdout>"),
        reason: error.to_string(),
    })?;
    for source in [Source::Config, Source::Kept, Source::Temporary] {
        text += &running.rules_text(source);
    }
    Ok(text)
}

/// A configuration without its rules, and without what would be empty.
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
}

fn written_by(source: Source, rules: Vec<RuleConfig>) -> impl Iterator<Item = RuleConfig> {
    rules.into_iter().map(move |rule| rule.detached(source))
}

impl RunningFile {
    /// But for the rules of the configuration, of which only `some` are looked at.
    pub(super) fn brief(mut self, some: Vec<RuleConfig>) -> Brief {
        Brief {
            facts: std::mem::take(&mut self.facts),
            rules: std::mem::take(&mut self.rules),
            running: self.with(some),
        }
    }

    /// As a configuration whose own rules are `configured`.
    pub(super) fn with(self, configured: Vec<RuleConfig>) -> Running {
        let file = self;
        let rules = written_by(Source::Config, configured)
            .chain(written_by(Source::Kept, file.kept))
            .chain(written_by(Source::Temporary, file.temporary));
        let mut running = Config::of_rules(rules.collect());
        running.aside = written_by(Source::Kept, file.aside).collect();
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

impl From<&Running> for RunningFile {
    /// But for the rules of the configuration, which stand in a file of their own.
    fn from(running: &Running) -> Self {
        let of = |source| running.rules_of(source).cloned().collect();
        Self {
            rules: String::new(),
            facts: Facts::default(),
            interface: running.interfaces.clone(),
            defaults: running.defaults.clone(),
            exempt: exempt_of(running, |source| source == Source::Config),
            kept_exempt: exempt_of(running, |source| source != Source::Config),
            service: running.services.iter().cloned().collect(),
            group: running.groups.iter().cloned().collect(),
            kept: of(Source::Kept),
            temporary: of(Source::Temporary),
            aside: running.aside.clone(),
        }
    }
}

impl From<&Running> for KeptFile {
    fn from(running: &Running) -> Self {
        Self {
            exempt: exempt_of(running, |source| source != Source::Config),
            rule: running
                .rules_of(Source::Kept)
                .chain(&running.aside)
                .cloned()
                .collect(),
        }
    }
}

impl KeptFile {
    pub(super) fn is_empty(&self) -> bool {
        self.rule.is_empty() && self.exempt.prefixes.is_empty()
    }
}
