//! The sections and keys that can be written, one type each.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::Place;

/// A text with its place in the file.
pub type Text = toml::Spanned<String>;

/// A text that stands in no file.
#[must_use]
pub fn text(value: impl Into<String>) -> Text {
    toml::Spanned::new(0..0, value.into())
}

/// A key of a later version: its presence is all that matters.
pub type Unsupported = Option<toml::Spanned<IgnoredAny>>;

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
    pub(super) interface: std::collections::BTreeMap<Text, InterfaceConfig>,
    pub(super) defaults: DefaultsConfig,
    pub(super) exempt: Option<ExemptConfig>,
    pub(super) rule: Vec<RuleConfig>,
    pub(super) service: Unsupported,
    pub(super) group: Unsupported,
    pub(super) metrics: Unsupported,
}

/// A file of `rules.d`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RulesDocument {
    pub(super) exempt: Option<ExemptConfig>,
    pub(super) rule: Vec<RuleConfig>,
}

/// `[interface.NAME]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct InterfaceConfig {
    /// Bytes per packet on the wire beyond what the kernel counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overhead: Option<toml::Spanned<i64>>,
    /// `pace`.
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
}

/// `[exempt]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExemptConfig {
    /// Prefixes that are never limited.
    pub prefixes: Vec<Text>,
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
    pub name: Option<Text>,
    /// Address, prefix or `any`.
    pub destination: Text,
    /// For example `"20mbit"`.
    pub rate: Text,
    /// A size, or a time at the rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Text>,
    /// Longest queue before packets are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon: Option<Text>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(default, skip_serializing)]
    service: Unsupported,
    #[serde(default, skip_serializing)]
    per: Unsupported,
    #[serde(default, skip_serializing)]
    group: Unsupported,
    #[serde(default, skip_serializing)]
    expires: Unsupported,
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
        Self {
            destination: text(destination),
            rate: text(rate),
            source,
            file: usize::MAX,
            name: None,
            burst: None,
            horizon: None,
            comment: None,
            service: None,
            per: None,
            group: None,
            expires: None,
        }
    }

    /// Where `part` of it stands.
    #[must_use]
    pub fn place<T>(&self, part: &toml::Spanned<T>) -> Place {
        Place {
            file: self.file,
            span: part.span(),
        }
    }

    /// Keys of a later version that it has, each with its place.
    pub(super) fn unsupported(&self) -> impl Iterator<Item = (&'static str, Place)> {
        [
            ("service", &self.service),
            ("per", &self.per),
            ("group", &self.group),
            ("expires", &self.expires),
        ]
        .into_iter()
        .filter_map(|(key, value)| value.as_ref().map(|value| (key, self.place(value))))
    }
}

impl ExemptConfig {
    /// Where `prefix`, one of its prefixes, stands.
    #[must_use]
    pub fn place(&self, prefix: &Text) -> Place {
        Place {
            file: self.file,
            span: prefix.span(),
        }
    }
}
