//! From a policy to the kernel's tables.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;

use shaper_common::header::words;
use shaper_common::rule::{Key4, Key6, PrefixData6};

use super::Policy;
use super::group::Group;
use super::prefix::{Destination, Prefix};
use super::rule::{Action, Rule};
use super::tables::{self, BucketId, Entry, TableKey, Tables};

/// The whole of each family, where a rule for one service and any destination stands.
const WHOLE: [Prefix; 2] = [Prefix::v4([0; 4], 0), Prefix::v6([0; 8], 0)];

impl From<&Policy> for Tables {
    /// An exempt prefix beats every rule, so rules inside one are left out: the longest prefix wins in the
    /// kernel, and one of theirs would.
    fn from(policy: &Policy) -> Self {
        let mut entries: Vec<(TableKey, Entry)> = policy
            .exempt()
            .iter()
            .map(|prefix| (key(prefix, 0), Entry::Exempt))
            .collect();
        entries.reserve(policy.rules().len());
        let groups: HashMap<&str, u32> = policy
            .groups()
            .iter()
            .map(|group| group.name.as_str())
            .zip(0..)
            .collect();
        let mut rules: Vec<&Rule> = policy.rules().iter().collect();
        // Of entries with one key the first counts.
        rules.sort_by_key(|rule| (rule.destination == Destination::Any, Reverse(rule.source)));
        for rule in rules {
            let group = rule
                .group
                .as_ref()
                .and_then(|group| groups.get(group.name.as_str()));
            let entry = entry(rule, group.copied());
            policy.for_each_key(rule, |key| entries.push((key, entry)));
        }
        let mut tables = Self::new(entries);
        tables.groups = policy.groups().iter().map(|group| table_group(group)).collect();
        tables.ports = policy.classes.ranges().to_vec();
        tables.max_clients = policy.max_clients();
        tables
    }
}

impl Policy {
    /// Whether the kernel holds `rule`; it does not if the rule lies inside an exempt prefix.
    #[must_use]
    pub fn is_in_force(&self, rule: &Rule) -> bool {
        match (rule.destination, &rule.service) {
            (Destination::Prefix(prefix), _) => self.exempt().covering(prefix).is_none(),
            (Destination::Any, None) => true,
            (Destination::Any, Some(_)) => WHOLE
                .into_iter()
                .any(|prefix| self.exempt().covering(prefix).is_none()),
        }
    }

    /// Where `rule` stands in the kernel's tables; nowhere, if it is not in force. All these share one bucket.
    #[must_use]
    pub fn keys(&self, rule: &Rule) -> Vec<TableKey> {
        let mut keys = Vec::new();
        self.for_each_key(rule, |key| keys.push(key));
        keys
    }

    fn for_each_key(&self, rule: &Rule, mut add: impl FnMut(TableKey)) {
        let classes = match &rule.service {
            None => &[0][..],
            Some(service) => self.classes.of(&service.ports),
        };
        let own;
        let prefixes = match (rule.destination, &rule.service) {
            (Destination::Any, None) => return add(TableKey::Any),
            (Destination::Any, Some(_)) => &WHOLE[..],
            (Destination::Prefix(prefix), _) => {
                own = [prefix];
                &own
            }
        };
        for prefix in prefixes {
            if self.exempt().covering(*prefix).is_none() {
                for class in classes {
                    add(key(*prefix, *class));
                }
            }
        }
    }
}

pub(super) fn entry(rule: &Rule, group: Option<u32>) -> Entry {
    let bucket = bucket(rule);
    match &rule.action {
        Action::Unlimited => Entry::Exempt,
        Action::Block => Entry::Blocked { bucket },
        Action::Limit(limit) => Entry::Limited {
            limit: limit.limit(),
            bucket,
            clients: rule.per.clients(rule.destination),
            group,
        },
    }
}

/// The bucket of whoever the rule covers: neither its rate nor its name counts.
fn bucket(rule: &Rule) -> BucketId {
    let mut text = rule.destination.to_string();
    if let Some(service) = &rule.service {
        text += &format!(" {}", service.ports);
    }
    if let Some(clients) = rule.per.clients(rule.destination) {
        text += &format!(" per /{} /{}", clients.v4, clients.v6);
    }
    BucketId::of(&text)
}

fn table_group(group: &Group) -> tables::Group {
    tables::Group {
        limit: group.limit.limit(),
        bucket: BucketId::of(&format!("group {}", group.name)),
    }
}

impl From<Destination> for TableKey {
    /// Where a rule for every service stands.
    fn from(destination: Destination) -> Self {
        match destination {
            Destination::Any => Self::Any,
            Destination::Prefix(prefix) => key(prefix, 0),
        }
    }
}

pub(super) fn key(prefix: Prefix, service: u32) -> TableKey {
    let len = u32::from(prefix.prefix_len());
    match prefix.address() {
        IpAddr::V4(address) => {
            let key = Key4 {
                service,
                address: address.octets(),
            };
            if prefix.is_exact() {
                TableKey::Exact4(key)
            } else {
                TableKey::Prefix4(len, key)
            }
        }
        IpAddr::V6(address) => {
            let address = words(address.octets());
            if prefix.is_exact() {
                TableKey::Exact6(Key6 { service, address })
            } else {
                TableKey::Prefix6(
                    len,
                    PrefixData6 {
                        zero: 0,
                        service,
                        address,
                    },
                )
            }
        }
    }
}
