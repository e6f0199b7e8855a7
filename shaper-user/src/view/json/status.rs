//! JSON of `shaper status` and `shaper doctor`.

use serde::Serialize;

use super::super::check::Check;
use super::super::status::{InterfaceRow, Status};
use super::{Head, document};

#[derive(Serialize)]
struct StatusBody<'a> {
    is_degraded: bool,
    interfaces: Vec<InterfaceBody<'a>>,
    rules: usize,
    max_rules: usize,
    limiting_rules: usize,
    dropped_packets_per_second: u64,
    problems: Vec<ProblemBody<'a>>,
}

#[derive(Serialize)]
struct InterfaceBody<'a> {
    name: &'a str,
    hook: &'a str,
    is_attached: bool,
    position: Option<usize>,
    programs_on_hook: Option<usize>,
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
        rules: status.n_rules,
        max_rules: status.max_rules,
        limiting_rules: status.n_limiting,
        dropped_packets_per_second: status.drops_per_sec,
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
