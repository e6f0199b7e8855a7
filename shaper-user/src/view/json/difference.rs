//! How two policies differ, as JSON.

use serde::Serialize;

use super::{Head, RuleBody, document};
use crate::policy::{Diff, Difference, Part};

#[derive(Serialize)]
struct AppliedBody {
    applied: DiffBody,
    is_dry_run: bool,
}

#[derive(Serialize)]
struct DiffBody {
    added: usize,
    removed: usize,
    changed: usize,
    unchanged: usize,
}

impl From<&Diff> for DiffBody {
    fn from(diff: &Diff) -> Self {
        let Diff {
            added,
            removed,
            changed,
            unchanged,
        } = *diff;
        Self {
            added,
            removed,
            changed,
            unchanged,
        }
    }
}

/// What `apply` changed.
#[must_use]
pub fn applied(head: &Head, diff: &Diff, is_dry_run: bool) -> String {
    let applied = DiffBody::from(diff);
    document(head, AppliedBody { applied, is_dry_run })
}

#[derive(Serialize)]
struct DifferencesBody<'a> {
    differences: Vec<DifferenceBody<'a>>,
    summary: DiffBody,
}

#[derive(Serialize)]
struct DifferenceBody<'a> {
    before: Option<PartBody<'a>>,
    after: Option<PartBody<'a>>,
}

/// One of its keys is there, and says what kind of part it is.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum PartBody<'a> {
    ExemptPrefix(String),
    Group {
        name: &'a str,
        rate_bits_per_second: u64,
        burst_bytes: u64,
        horizon_ns: u64,
        ecn_ns: Option<u64>,
    },
    Interface {
        pattern: &'a str,
        overhead_bytes: u32,
        enforcement: &'static str,
    },
    MaxClients(u32),
    Rule(Box<RuleBody<'a>>),
}

impl<'a> PartBody<'a> {
    fn new(part: &Part<'a>) -> Self {
        match part {
            Part::Exempt(prefix) => Self::ExemptPrefix(prefix.to_string()),
            Part::Group(group) => Self::Group {
                name: &group.name,
                rate_bits_per_second: group.limit.rate.bits_per_sec(),
                burst_bytes: group.limit.burst_bytes,
                horizon_ns: group.limit.horizon_ns,
                ecn_ns: group.limit.ecn_ns,
            },
            Part::Interface(interface) => Self::Interface {
                pattern: &interface.pattern,
                overhead_bytes: interface.overhead,
                enforcement: interface.enforcement.name(),
            },
            Part::MaxClients(max_clients) => Self::MaxClients(*max_clients),
            Part::Rule(rule) => Self::Rule(Box::new(RuleBody::new(rule, None))),
        }
    }
}

/// How two policies differ.
#[must_use]
pub fn differences(head: &Head, diff: &Diff, differences: &[Difference<'_>]) -> String {
    let bodies = differences.iter().map(|difference| DifferenceBody {
        before: difference.before.as_ref().map(PartBody::new),
        after: difference.after.as_ref().map(PartBody::new),
    });
    let body = DifferencesBody {
        differences: bodies.collect(),
        summary: diff.into(),
    };
    document(head, body)
}
