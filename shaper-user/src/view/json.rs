//! JSON for programs: versioned, in base units, with the unit in the key.

mod attached;
mod difference;
mod event;
mod explanation;
mod status;

use serde::Serialize;

use crate::policy::{Action, Deadline, Prefix, Rule, Source};
use crate::stats::Activity;

pub use self::event::event;
pub use attached::{AttachedInterface, attached, confirmed, down};
pub use difference::{applied, differences};
pub use explanation::explanations;
pub use status::{checks, status};

/// Changes only when a key changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// The first keys of every document.
#[derive(Clone, Debug, Serialize)]
pub struct Head {
    schema: u32,
    version: &'static str,
    time: String,
}

impl Head {
    /// A document of `unix_secs` seconds after 1970.
    #[must_use]
    pub fn new(unix_secs: u64) -> Self {
        Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            time: Deadline(unix_secs).to_string(),
        }
    }
}

#[derive(Serialize)]
struct ErrorDocument<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'a str,
    message: &'a str,
    hint: Option<&'a str>,
}

/// One error, on one line.
#[must_use]
pub fn error(code: &str, message: &str, hint: Option<&str>) -> String {
    to_line(&ErrorDocument {
        error: ErrorBody { code, message, hint },
    })
}

#[derive(Serialize)]
struct Note<'a> {
    note: &'a str,
}

/// Something the operator is told, on one line.
#[must_use]
pub fn note(text: &str) -> String {
    to_line(&Note { note: text })
}

/// A document: the head, and `body`'s keys behind it.
#[derive(Serialize)]
struct Document<'a, T> {
    #[serde(flatten)]
    head: &'a Head,
    #[serde(flatten)]
    body: T,
}

fn document<T: Serialize>(head: &Head, body: T) -> String {
    to_line(&Document { head, body })
}

#[derive(Serialize)]
struct RulesBody<'a> {
    rules: Vec<RuleBody<'a>>,
}

#[derive(Serialize)]
struct RuleBody<'a> {
    name: Option<&'a str>,
    destination: String,
    service: Option<&'a str>,
    per: String,
    group: Option<&'a str>,
    action: &'static str,
    rate_bits_per_second: Option<u64>,
    burst_bytes: Option<u64>,
    horizon_ns: Option<u64>,
    ecn_ns: Option<u64>,
    source: &'static str,
    is_temporary: bool,
    expires_at: Option<String>,
    comment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<StatsBody>,
}

#[derive(Serialize)]
struct StatsBody {
    sent_bytes: u64,
    sent_packets: u64,
    delayed_packets: u64,
    marked_packets: u64,
    dropped_packets: u64,
    now_bits_per_second: u64,
}

impl<'a> RuleBody<'a> {
    fn new(rule: &'a Rule, activity: Option<&Activity>) -> Self {
        let limit = rule.limit();
        Self {
            name: rule.name.as_deref(),
            destination: rule.destination.to_string(),
            service: rule.service.as_ref().map(|service| service.name.as_str()),
            per: rule.per.to_string(),
            group: rule.group.as_ref().map(|group| group.name.as_str()),
            action: match &rule.action {
                Action::Unlimited => "unlimited",
                Action::Block => "block",
                Action::Limit(_) => "limit",
            },
            rate_bits_per_second: rule.bytes_per_sec().map(|rate| rate.saturating_mul(8)),
            burst_bytes: limit.map(|limit| limit.burst_bytes),
            horizon_ns: limit.map(|limit| limit.horizon_ns),
            ecn_ns: limit.and_then(|limit| limit.ecn_ns),
            source: rule.source.name(),
            is_temporary: rule.source == Source::Temporary,
            expires_at: rule.expires.map(|expires| expires.to_string()),
            comment: rule.comment.as_deref(),
            stats: activity
                .filter(|_| rule.action != Action::Unlimited)
                .map(StatsBody::new),
        }
    }
}

impl StatsBody {
    fn new(activity: &Activity) -> Self {
        let bucket = &activity.bucket;
        Self {
            sent_bytes: bucket.sent_bytes,
            sent_packets: bucket.sent_packets,
            delayed_packets: bucket.paced_packets,
            marked_packets: bucket.marked_packets,
            dropped_packets: bucket.dropped_packets,
            now_bits_per_second: activity.sent_bytes_per_sec.saturating_mul(8),
        }
    }
}

/// Rules, with what they did where that is known.
#[must_use]
pub fn rules<'a>(head: &Head, rules: impl IntoIterator<Item = (&'a Rule, Option<&'a Activity>)>) -> String {
    let rules = rules
        .into_iter()
        .map(|(rule, activity)| RuleBody::new(rule, activity))
        .collect();
    document(head, RulesBody { rules })
}

/// One rule, for a line of its own.
#[must_use]
pub fn rule(rule: &Rule, activity: Option<&Activity>) -> String {
    to_line(&RuleBody::new(rule, activity))
}

#[derive(Serialize)]
struct ExemptBody {
    exempt: Vec<ExemptPrefix>,
}

#[derive(Serialize)]
struct ExemptPrefix {
    prefix: String,
    source: &'static str,
}

/// Exempt prefixes, each with who wrote it.
#[must_use]
pub fn exempt(head: &Head, prefixes: impl Iterator<Item = (Prefix, Source)>) -> String {
    let one = |(prefix, source): (Prefix, Source)| ExemptPrefix {
        prefix: prefix.to_string(),
        source: source.name(),
    };
    document(
        head,
        ExemptBody {
            exempt: prefixes.map(one).collect(),
        },
    )
}

/// One file that `check` found valid.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// Its path.
    pub file: String,
    /// Rules that count.
    #[serde(rename = "rules")]
    pub n_rules: usize,
    /// Exempt prefixes.
    #[serde(rename = "exempt_prefixes")]
    pub n_exempt: usize,
    /// What is surely not what was meant.
    pub warnings: Vec<String>,
}

#[derive(Serialize)]
struct CheckedBody<'a> {
    files: &'a [Checked],
}

/// What `check` found.
#[must_use]
pub fn checked(head: &Head, files: &[Checked]) -> String {
    document(head, CheckedBody { files })
}

/// Any value on one line; data of ours always has string keys, so it cannot fail.
pub(crate) fn to_line<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_object_on_one_line() {
        assert_eq!(
            error("not_up", "say \"up\"\n", None),
            r#"{"error":{"code":"not_up","message":"say \"up\"\n","hint":null}}"#
        );
    }

    #[test]
    fn every_key_of_a_rule_is_in_the_published_schema() {
        let schema: serde_json::Value =
            serde_json::from_str(include_str!("../../../packaging/shaper.schema.json")).unwrap();
        let config = crate::config::RuleConfig::new("203.0.113.7", "20mbit", Source::Kept);
        let policy = crate::policy::Policy::try_from(&crate::config::Config::of_rules(vec![config])).unwrap();
        let activity = Activity {
            bucket: shaper_common::bucket::Bucket::default(),
            sent_bytes_per_sec: 0,
            n_packets: 0,
            n_limited: 0,
        };
        let line = rule(&policy.rules()[0], Some(&activity));
        let printed: serde_json::Value = serde_json::from_str(&line).unwrap();
        let assert_known = |value: &serde_json::Value, definition: &str| {
            let mut printed: Vec<&String> = value.as_object().unwrap().keys().collect();
            let known = &schema["$defs"][definition];
            let mut known: Vec<&String> = known["properties"].as_object().unwrap().keys().collect();
            printed.sort();
            known.sort();
            assert_eq!(printed, known);
        };
        assert_known(&printed, "rule");
        assert_known(&printed["stats"], "stats");
    }
}
