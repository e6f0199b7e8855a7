//! The queueing disciplines of an interface, as `tc` shows them.

use serde_json::Value;

use super::Host;

/// One queueing discipline.
#[derive(Clone, Debug)]
pub struct Qdisc {
    /// `fq`, `mq`, `noqueue` and so on.
    pub kind: String,
    /// Its handle, for example `8001:`.
    pub handle: String,
    /// Packets it dropped, whatever the reason.
    pub n_drops: u64,
    /// Packets it holds.
    pub n_queued: u64,
    /// All that `tc -s` shows of it.
    pub json: Value,
}

impl Qdisc {
    /// All of interface `name`, the root first.
    #[must_use]
    pub fn list(host: &Host, name: &str) -> Vec<Self> {
        let text = host.output("tc", &["-s", "-d", "-j", "qdisc", "show", "dev", name]);
        let Ok(Value::Array(list)) = serde_json::from_str(&text) else {
            panic!("tc wrote {text}");
        };
        let word = |json: &Value, key: &str| json[key].as_str().unwrap_or_default().to_owned();
        let count = |json: &Value, key: &str| {
            json[key]
                .as_u64()
                .unwrap_or_else(|| panic!("tc shows no {key} in {json}"))
        };
        list.into_iter()
            .map(|json| Self {
                kind: word(&json, "kind"),
                handle: word(&json, "handle"),
                n_drops: count(&json, "drops"),
                n_queued: count(&json, "qlen"),
                json,
            })
            .collect()
    }

    /// Every `fq` of interface `name`; panics if there is none.
    #[must_use]
    pub fn fqs(host: &Host, name: &str) -> Vec<Self> {
        let mut list = Self::list(host, name);
        list.retain(|qdisc| qdisc.kind == "fq");
        assert!(!list.is_empty(), "no fq on {name}");
        list
    }

    /// Packets that the `fq`s of interface `name` dropped, for whatever reason.
    #[must_use]
    pub fn n_fq_drops(host: &Host, name: &str) -> u64 {
        Self::fqs(host, name).iter().map(|fq| fq.n_drops).sum()
    }

    /// A number of its statistics or options, zero if it is not shown.
    #[must_use]
    pub fn number(&self, key: &str) -> u64 {
        let found = [&self.json[key], &self.json["options"][key]]
            .iter()
            .find_map(|value| value.as_u64());
        found.unwrap_or_default()
    }
}
