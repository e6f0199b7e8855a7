//! JSON of `shaper get`.

use serde::Serialize;

use super::{Head, RuleBody, document};
use crate::policy::{Explanation, Ports, Winner};

#[derive(Serialize)]
struct ExplanationBody<'a> {
    destination: String,
    /// Ports of the server; null: whatever no rule for a service covers.
    ports: Option<String>,
    /// One of `rule`, `exempt`, `never_limited`, `unlimited`.
    verdict: &'static str,
    winner: Option<RuleBody<'a>>,
    exempt_prefix: Option<String>,
    beaten: Vec<RuleBody<'a>>,
}

#[derive(Serialize)]
struct ExplanationsBody<'a> {
    explanations: Vec<ExplanationBody<'a>>,
}

impl<'a> ExplanationBody<'a> {
    fn new(explanation: &Explanation<'a>) -> Self {
        let (verdict, winner, exempt_prefix) = match explanation.winner {
            Winner::Rule(rule) => ("rule", Some(RuleBody::new(rule, None)), None),
            Winner::Exempt(prefix) => ("exempt", None, Some(prefix.to_string())),
            Winner::NeverLimited(_) => ("never_limited", None, None),
            Winner::Nobody => ("unlimited", None, None),
        };
        let beaten = explanation.beaten.iter().map(|rule| RuleBody::new(rule, None));
        Self {
            destination: explanation.destination.to_string(),
            ports: explanation.ports.as_ref().map(Ports::to_string),
            verdict,
            winner,
            exempt_prefix,
            beaten: beaten.collect(),
        }
    }
}

/// Which rule wins, and what it beats; one for each part that another rule wins.
#[must_use]
pub fn explanations(head: &Head, explanations: &[Explanation<'_>]) -> String {
    match explanations {
        [one] => document(head, ExplanationBody::new(one)),
        several => document(
            head,
            ExplanationsBody {
                explanations: several.iter().map(ExplanationBody::new).collect(),
            },
        ),
    }
}
