//! The sections and keys that can be written, one type each.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{Place, plain};

/// A text with its place in the file.
pub type Text = toml::Spanned<String>;

/// A part that most rules do not have: there may be a million of them.
pub type Rare<T> = Option<Box<T>>;

/// A text that stands in no file.
#[must_use]
pub fn text(value: impl Into<String>) -> Text {
    toml::Spanned::new(0..0, value.into())
}

/// A text that stands in no file, as a part that most rules do not have.
#[must_use]
pub fn rare(value: impl Into<String>) -> Box<Text> {
    Box::new(text(value))
}

/// A key that is not for here: its presence is all that matters.
pub(super) type Unsupported = Option<toml::Spanned<IgnoredAny>>;

/// A point in time with its zone, as TOML writes it.
pub type Moment = toml::Spanned<toml::value::Datetime>;

/// A moment that stands in no file, written like `2026-12-31T23:00:00Z`.
///
/// # Errors
///
/// If `rfc3339` is not a date and time.
pub fn moment(rfc3339: &str) -> Result<Moment, String> {
    let time: toml::value::Datetime = rfc3339.parse().map_err(|error| format!("{error}"))?;
    Ok(toml::Spanned::new(0..0, time))
}

/// Who wrote a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The operator, in the configuration.
    #[default]
    Config,
    /// `shaper set`, kept across reboots.
    Kept,
    /// `shaper set --temporary`.
    Temporary,
}

impl Source {
    /// Its name in lists and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Kept | Self::Temporary => "cli",
        }
    }
}

/// `/etc/shaper/shaper.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Document {
    pub(super) interface: BTreeMap<Text, InterfaceConfig>,
    pub(super) defaults: DefaultsConfig,
    pub(super) exempt: Option<ExemptConfig>,
    pub(super) service: BTreeMap<Text, ServiceConfig>,
    pub(super) group: BTreeMap<Text, GroupConfig>,
    pub(super) rule: Option<Vec<RuleConfig>>,
    pub(super) metrics: Unsupported,
}

/// A file of `rules.d`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RulesDocument {
    pub(super) exempt: Option<ExemptConfig>,
    pub(super) service: BTreeMap<Text, ServiceConfig>,
    pub(super) group: BTreeMap<Text, GroupConfig>,
    pub(super) rule: Option<Vec<RuleConfig>>,
    pub(super) interface: Unsupported,
    pub(super) defaults: Unsupported,
    pub(super) metrics: Unsupported,
}

/// `[interface.NAME]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct InterfaceConfig {
    /// Bytes per packet on the wire beyond what the kernel counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overhead: Option<toml::Spanned<i64>>,
    /// `pace` or `police`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Text>,
}

/// `[defaults]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DefaultsConfig {
    /// A size, or a time at the rule's rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<Text>,
    /// Longest queue before packets are dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub horizon: Option<Text>,
    /// Queue above which packets are marked; or `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecn: Option<Text>,
    /// Clients that have buckets of their own at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_clients: Option<toml::Spanned<i64>>,
}

/// `[exempt]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExemptConfig {
    /// Prefixes that are never limited.
    pub prefixes: Vec<Text>,
    /// Who wrote it.
    #[serde(skip)]
    pub source: Source,
    /// Index of the file it stands in.
    #[serde(skip)]
    pub(super) file: usize,
}

/// `[service.NAME]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceConfig {
    /// For example `"tcp:993"` or `"udp:8000-8099"`.
    pub ports: Vec<Text>,
    /// Index of the file it stands in.
    #[serde(skip)]
    pub(super) file: usize,
}

/// `[group.NAME]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// How fast all together.
    pub rate: Text,
    /// A size, or a time at the rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Text>,
    /// Longest queue before packets are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon: Option<Text>,
    /// Queue above which packets are marked; or `off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecn: Option<Text>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Index of the file it stands in.
    #[serde(skip)]
    pub(super) file: usize,
}

/// One `[[rule]]` table, exactly as the operator wrote it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// What the operator calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Rare<Text>,
    /// Address, prefix or `any`.
    pub destination: Text,
    /// Name of a service, or ports of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Rare<Text>,
    /// What has a bucket of its own: `rule`, `ip`, `client` or `/N`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Rare<Text>,
    /// For example `"20mbit"`, `"unlimited"` or `"block"`.
    pub rate: Text,
    /// Name of the group that it shares a limit with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Rare<Text>,
    /// A size, or a time at the rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Rare<Text>,
    /// Longest queue before packets are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon: Rare<Text>,
    /// Queue above which packets are marked; or `off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecn: Rare<Text>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Rare<Moment>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Who wrote it.
    #[serde(skip)]
    pub source: Source,
    /// Index of the file it stands in.
    #[serde(skip)]
    pub(super) file: usize,
}

impl RuleConfig {
    /// A rule that stands in no file.
    #[must_use]
    pub fn new(destination: impl Into<String>, rate: impl Into<String>, source: Source) -> Self {
        Self::read(text(destination), text(rate), source).detached(source)
    }

    /// A rule that was read from the main file.
    pub(super) fn read(destination: Text, rate: Text, source: Source) -> Self {
        Self {
            destination,
            rate,
            source,
            file: 0,
            name: None,
            service: None,
            per: None,
            group: None,
            burst: None,
            horizon: None,
            ecn: None,
            expires: None,
            comment: None,
        }
    }

    /// The same rule, written by `source`, and standing in none of the operator's files.
    #[must_use]
    pub fn detached(mut self, source: Source) -> Self {
        self.source = source;
        self.file = usize::MAX;
        self
    }

    /// Adds it to `text`, as `Config::rules_text` has it.
    pub fn add_text_to(&self, text: &mut String) {
        plain::add_text(text, self);
    }

    /// Where `part` of it stands.
    #[must_use]
    pub fn place<T>(&self, part: &toml::Spanned<T>) -> Place {
        Place::new(self.file, part.span())
    }
}

impl ExemptConfig {
    /// Prefixes that stand in no file.
    #[must_use]
    pub fn new(prefixes: Vec<Text>, source: Source) -> Self {
        Self {
            prefixes,
            source,
            file: usize::MAX,
        }
    }

    /// Where `prefix`, one of its prefixes, stands.
    #[must_use]
    pub fn place(&self, prefix: &Text) -> Place {
        Place::new(self.file, prefix.span())
    }
}

impl ServiceConfig {
    /// A service that stands in no file.
    #[must_use]
    pub fn new(ports: Vec<Text>) -> Self {
        Self {
            ports,
            file: usize::MAX,
        }
    }

    /// Where `part` of it, its name included, stands.
    #[must_use]
    pub fn place(&self, part: &Text) -> Place {
        Place::new(self.file, part.span())
    }
}

impl GroupConfig {
    /// A group that stands in no file.
    #[must_use]
    pub fn new(rate: impl Into<String>) -> Self {
        Self {
            rate: text(rate),
            burst: None,
            horizon: None,
            ecn: None,
            comment: None,
            file: usize::MAX,
        }
    }

    /// Where `part` of it, its name included, stands.
    #[must_use]
    pub fn place(&self, part: &Text) -> Place {
        Place::new(self.file, part.span())
    }
}
