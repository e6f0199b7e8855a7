//! What a policy slot holds, and the way there from the tables wanted. Pure.

use shaper_common::packed::PackedLimit;
use shaper_common::rule::{Group, Rule, feature, kind};
use shaper_common::shared;

use crate::policy::tables::{self, BucketId, ClientLens, Entry, PortRange, TableKey};

/// Rules by where they stand, in ascending order.
pub(super) type Rules = Vec<(TableKey, Rule)>;

/// What a policy slot holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) rules: Rules,
    pub(super) groups: Vec<Group>,
    /// In ascending order, adjacent ranges of one service joined.
    pub(super) ports: Vec<PortRange>,
}

impl Content {
    /// Numbers of the buckets that its rules and groups lead to; some more than once.
    pub(super) fn buckets(&self) -> impl Iterator<Item = u32> {
        let of_rules = self.rules.iter().filter(|(_, rule)| has_bucket(rule));
        of_rules
            .map(|(_, rule)| rule.bucket)
            .chain(self.groups.iter().map(|group| group.bucket))
    }

    /// Bits of [`feature`].
    pub(super) fn features(&self) -> u32 {
        let of_groups = if self.groups.is_empty() {
            0
        } else {
            feature::GROUPS
        };
        self.rules.iter().fold(of_groups, |features, (key, rule)| {
            features | rule_features(key, rule)
        })
    }

    /// Whether a rule has a bucket per client.
    pub(super) fn has_clients(&self) -> bool {
        self.rules.iter().any(|(_, rule)| has_clients(rule))
    }
}

/// Whether packets are counted in the rule's bucket.
pub(super) fn has_bucket(rule: &Rule) -> bool {
    matches!(rule.kind, kind::LIMITED | kind::BLOCKED)
}

/// Whether each client of the rule has a bucket of his own.
pub(super) fn has_clients(rule: &Rule) -> bool {
    rule.client_len4 != 0 || rule.client_len6 != 0
}

/// What has to be consulted because of this rule.
pub(super) fn rule_features(key: &TableKey, rule: &Rule) -> u32 {
    let (table, service) = match key {
        TableKey::Exact4(key) => (feature::EXACT4 | feature::FILTER, key.service),
        TableKey::Exact6(key) => (feature::EXACT6 | feature::FILTER, key.service),
        TableKey::Prefix4(_, key) => (feature::PREFIX4, key.service),
        TableKey::Prefix6(_, key) => (feature::PREFIX6, key.service),
        TableKey::Any => (feature::ANY, 0),
    };
    let mut features = table;
    if service != 0 {
        features |= feature::SERVICES;
    }
    if has_clients(rule) {
        features |= feature::CLIENTS;
    }
    if rule.group != 0 {
        features |= feature::GROUPS;
    }
    features
}

/// Bits of the destination that an entry's key matches.
pub(super) fn prefix_len(key: &TableKey) -> u8 {
    match key {
        TableKey::Exact4(_) => 32,
        TableKey::Exact6(_) => 128,
        TableKey::Prefix4(len, _) | TableKey::Prefix6(len, _) => u8::try_from(*len).unwrap_or(u8::MAX),
        TableKey::Any => 0,
    }
}

/// The rule for an entry, whose bucket has this number.
pub(super) fn rule(key: &TableKey, entry: &Entry, number: u32) -> Rule {
    let rule = Rule {
        prefix_len: prefix_len(key),
        ..Rule::default()
    };
    match entry {
        Entry::Exempt => Rule {
            kind: kind::EXEMPT,
            ..rule
        },
        Entry::Blocked { .. } => Rule {
            bucket: number,
            kind: kind::BLOCKED,
            ..rule
        },
        Entry::Limited {
            limit,
            clients,
            group,
            ..
        } => Rule {
            limit: PackedLimit::new(*limit),
            bucket: number,
            group: group.map_or(0, |index| index + 1),
            kind: kind::LIMITED,
            client_len4: clients.map_or(0, |lens| lens.v4),
            client_len6: clients.map_or(0, |lens| lens.v6),
            shared_packets: shared_packets(key, clients.is_some()),
            ..rule
        },
    }
}

/// How many packets may wait in shared send buffers. A bucket that many destinations share has no such limit: behind
/// the queue of some of them, few packets of all would get through.
fn shared_packets(key: &TableKey, has_clients: bool) -> u32 {
    let is_exact = matches!(key, TableKey::Exact4(_) | TableKey::Exact6(_));
    if is_exact || has_clients {
        shared::MAX_PACKETS.get()
    } else {
        0
    }
}

/// What a rule says, whose bucket is `owner`'s.
pub(super) fn entry(rule: &Rule, owner: BucketId) -> Entry {
    match rule.kind {
        kind::LIMITED => Entry::Limited {
            limit: rule.limit.unpacked(),
            bucket: owner,
            clients: has_clients(rule).then_some(ClientLens {
                v4: rule.client_len4,
                v6: rule.client_len6,
            }),
            group: rule.group.checked_sub(1),
        },
        kind::BLOCKED => Entry::Blocked { bucket: owner },
        _ => Entry::Exempt,
    }
}

/// A group of the tables, whose bucket has this number.
pub(super) fn group(group: &tables::Group, number: u32) -> Group {
    Group {
        limit: PackedLimit::new(group.limit),
        bucket: number,
        zero: 0,
    }
}

/// Ports in ascending order, adjacent ranges of one service joined.
pub(super) fn join(ports: &[PortRange]) -> Vec<PortRange> {
    let mut ports: Vec<PortRange> = ports
        .iter()
        .filter(|range| range.first <= range.last && range.service != 0)
        .copied()
        .collect();
    ports.sort_by_key(|range| (range.is_udp, range.first));
    let mut joined: Vec<PortRange> = Vec::with_capacity(ports.len());
    for range in ports {
        match joined.last_mut() {
            Some(last)
                if last.is_udp == range.is_udp
                    && last.service == range.service
                    && u32::from(last.last) + 1 == u32::from(range.first) =>
            {
                last.last = range.last;
            }
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use shaper_common::pacing::Limit;
    use shaper_common::rule::Key4;

    use super::*;

    fn range(is_udp: bool, first: u16, last: u16, service: u32) -> PortRange {
        PortRange {
            is_udp,
            first,
            last,
            service,
        }
    }

    #[test]
    fn few_packets_of_one_client_wait_in_shared_buffers_and_any_number_of_many_clients() {
        let v4 = |service| Key4 {
            service,
            address: [192, 0, 2, 0],
        };
        for (key, has_clients, expected) in [
            (TableKey::Exact4(v4(0)), false, 4),
            (TableKey::Exact4(v4(1)), false, 4),
            (TableKey::Prefix4(24, v4(0)), true, 4),
            (TableKey::Prefix4(24, v4(0)), false, 0),
            (TableKey::Any, true, 4),
            (TableKey::Any, false, 0),
        ] {
            let entry = Entry::Limited {
                limit: Limit::default(),
                bucket: BucketId(1),
                clients: has_clients.then_some(ClientLens { v4: 32, v6: 64 }),
                group: None,
            };
            assert_eq!(rule(&key, &entry, 1).shared_packets, expected, "{key:?}");
        }
    }

    #[test]
    fn neighbours_of_one_service_are_one_range() {
        let ports = [
            range(true, 53, 53, 1),
            range(false, 80, 80, 2),
            range(false, 81, 81, 3),
            range(false, 65_000, u16::MAX, 2),
            range(false, 78, 79, 2),
            range(false, 5, 4, 2),
        ];
        assert_eq!(
            join(&ports),
            [
                range(false, 78, 80, 2),
                range(false, 81, 81, 3),
                range(false, 65_000, u16::MAX, 2),
                range(true, 53, 53, 1)
            ]
        );
    }
}
