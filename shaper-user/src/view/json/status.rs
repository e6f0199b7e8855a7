//! JSON of `shaper status` and `shaper doctor`.

use std::collections::BTreeMap;

use serde::Serialize;
use shaper_common::outcome::Outcome;

use super::super::check::Check;
use super::super::status::{InterfaceRow, Status};
use super::{Head, document};

#[derive(Serialize)]
struct StatusBody<'a> {
    is_degraded: bool,
    interfaces: Vec<InterfaceBody<'a>>,
    rules_in_force: usize,
    max_rules: usize,
    limiting_rules: usize,
    dropped_packets_per_second: u64,
    seen_packets: u64,
    totals: BTreeMap<&'static str, u64>,
    is_fq_capped: bool,
    problems: Vec<ProblemBody<'a>>,
}

#[derive(Serialize)]
struct InterfaceBody<'a> {
    name: &'a str,
    hook: &'a str,
    is_attached: bool,
    position: Option<usize>,
    programs_on_hook: Option<usize>,
    is_policed: bool,
    fq_queues: u32,
    queues: u32,
    fq_dropped_packets: u64,
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    interface: Option<&'a str>,
    message: &'a str,
    hint: &'a str,
}

impl<'a> From<&'a InterfaceRow> for InterfaceBody<'a> {
    fn from(row: &'a InterfaceRow) -> Self {
        Self {
            name: &row.name,
            hook: row.hook,
            is_attached: row.position.is_some(),
            position: row.position.map(|(place, _)| place),
            programs_on_hook: row.position.map(|(_, n_programs)| n_programs),
            is_policed: row.is_policed,
            fq_queues: row.n_fq,
            queues: row.n_queues,
            fq_dropped_packets: row.fq_drops,
        }
    }
}

/// What `shaper status` says.
#[must_use]
pub fn status(head: &Head, status: &Status) -> String {
    let body = StatusBody {
        is_degraded: status.is_degraded(),
        interfaces: status.interfaces.iter().map(InterfaceBody::from).collect(),
        rules_in_force: status.n_rules,
        max_rules: status.max_rules,
        limiting_rules: status.n_limiting,
        dropped_packets_per_second: status.drops_per_sec,
        seen_packets: status.seen_packets(),
        totals: Outcome::ALL
            .map(Outcome::name)
            .into_iter()
            .zip(status.totals)
            .collect(),
        is_fq_capped: status.is_fq_capped,
        problems: status
            .problems()
            .map(|(interface, (message, hint))| ProblemBody {
                interface,
                message,
                hint,
            })
            .collect(),
    };
    document(head, body)
}

#[derive(Serialize)]
struct ChecksBody<'a> {
    checks: Vec<CheckBody<'a>>,
}

#[derive(Serialize)]
struct CheckBody<'a> {
    check: &'a str,
    state: String,
    found: &'a str,
    hint: Option<&'a str>,
}

impl<'a> From<&'a Check> for CheckBody<'a> {
    fn from(check: &'a Check) -> Self {
        Self {
            check: check.what,
            state: check.state.name().to_lowercase(),
            found: &check.found,
            hint: Some(check.remedy.as_str()).filter(|remedy| !remedy.is_empty()),
        }
    }
}

/// What `shaper doctor` says.
#[must_use]
pub fn checks(head: &Head, checks: &[Check]) -> String {
    let body = ChecksBody {
        checks: checks.iter().map(CheckBody::from).collect(),
    };
    document(head, body)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::view::check::State;

    /// Keys of `object` are those that the published schema has under `definition`, and all of them.
    fn assert_known(object: &Value, definition: &str) {
        let schema: Value =
            serde_json::from_str(include_str!("../../../../packaging/shaper.schema.json")).unwrap();
        let keys = |value: &Value| -> Vec<String> {
            let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
            keys.sort();
            keys
        };
        assert_eq!(keys(object), keys(&schema["$defs"][definition]["properties"]));
    }

    /// Every key of `document` is in the schema, and so is what kind of value it has.
    fn assert_document(document: &str) -> Value {
        let schema: Value =
            serde_json::from_str(include_str!("../../../../packaging/shaper.schema.json")).unwrap();
        let document: Value = serde_json::from_str(document).unwrap();
        for (key, value) in document.as_object().unwrap() {
            let known = &schema["properties"][key];
            assert!(known.is_object(), "{key}");
            let found = match value {
                Value::Array(_) => "array",
                Value::Bool(_) => "boolean",
                Value::Number(_) => "integer",
                Value::Object(_) => "object",
                _ => "string",
            };
            assert!(
                known["type"] == found || known["const"] == *value,
                "{key}: {value}"
            );
        }
        document
    }

    #[test]
    fn every_key_of_status_is_in_the_published_schema() {
        let row = InterfaceRow {
            name: "eth0".to_owned(),
            hook: "tcx",
            problems: vec![("gone".to_owned(), "look".to_owned())],
            ..InterfaceRow::default()
        };
        let text = status(
            &Head::new(0),
            &Status {
                interfaces: vec![row],
                ..Status::default()
            },
        );
        let document = assert_document(&text);
        assert_known(&document["interfaces"][0], "interface");
        assert_known(&document["totals"], "totals");
        assert_known(&document["problems"][0], "problem");
    }

    #[test]
    fn every_key_of_doctor_is_in_the_published_schema() {
        let check = Check {
            what: "fq",
            state: State::Fail,
            found: "none".to_owned(),
            remedy: String::new(),
        };
        let document = assert_document(&checks(&Head::new(0), &[check]));
        assert_known(&document["checks"][0], "check");
        assert_eq!(document["checks"][0]["state"], "fail");
    }
}
