//! What `fq` must be able to hold so that it drops nothing a bucket was charged for.

use std::collections::HashSet;

use shaper_common::pacing::{Limit, RATE_FRACTION_BITS};

use super::Policy;
use super::tables::{ClientLens, Entry, TableKey, Tables};

/// Packets `fq` must be able to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FqNeeds {
    /// In all.
    pub limit_packets: u32,
    /// In one flow.
    pub flow_limit_packets: u32,
    /// The policy needs more than [`MAX_PACKETS`]: `fq` may drop packets of the fastest rules when these are
    /// sent in the smallest of sizes.
    pub is_capped: bool,
}

/// Most packets `fq` is told to hold: at 20 bytes each, what 3 Gbit/s send in 200 ms. It takes memory only for those it holds.
pub const MAX_PACKETS: u32 = 4 << 20;

/// Defaults of the kernel; never less, so that nobody else's packets are dropped sooner.
const DEFAULT_LIMIT: u32 = 10_000;
const DEFAULT_FLOW_LIMIT: u32 = 100;

/// Bytes of the smallest packet: an IPv4 header, on an interface without headers of its own.
const MIN_PACKET_BYTES: u64 = 20;

impl Policy {
    /// What `fq` must be able to hold under this policy.
    #[must_use]
    pub fn fq_needs(&self) -> FqNeeds {
        FqNeeds::from(&Tables::from(self))
    }
}

impl FqNeeds {
    /// What two policies need together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        // Both count what anybody else's packets need.
        let limit = self
            .limit_packets
            .saturating_add(other.limit_packets.saturating_sub(DEFAULT_LIMIT));
        Self {
            limit_packets: limit.clamp(DEFAULT_LIMIT, MAX_PACKETS),
            flow_limit_packets: self.flow_limit_packets.max(other.flow_limit_packets),
            is_capped: self.is_capped || other.is_capped || limit > MAX_PACKETS,
        }
    }
}

impl From<&Tables> for FqNeeds {
    fn from(tables: &Tables) -> Self {
        let mut sum = 0_u64;
        let mut largest = 0_u64;
        let mut of_groups = vec![0_u64; tables.groups.len()];
        let mut buckets = HashSet::new();
        for (key, entry) in tables.entries() {
            let Entry::Limited {
                limit,
                bucket,
                clients,
                group,
            } = entry
            else {
                continue;
            };
            // Entries of one rule share its bucket, and so its queue.
            if is_for_service(key) && !buckets.insert(*bucket) {
                continue;
            }
            let of_one = backlog_packets(limit);
            let n_queues = clients.map_or(1, |lens| n_clients(key, lens, tables.max_clients));
            let packets = of_one.saturating_mul(n_queues);
            largest = largest.max(of_one);
            let place = group.and_then(|group| of_groups.get_mut(group as usize));
            let place = place.unwrap_or(&mut sum);
            *place = place.saturating_add(packets);
        }
        // What waits for a group waits for its members, and for no longer than the group's own horizon.
        let groups = tables.groups.iter().map(|group| backlog_packets(&group.limit));
        let of_groups = of_groups
            .into_iter()
            .zip(groups)
            .map(|(members, own)| members.min(own));
        let limit = of_groups
            .fold(sum, u64::saturating_add)
            .saturating_add(DEFAULT_LIMIT.into());
        let cap = |packets: u64| u32::try_from(packets).unwrap_or(u32::MAX).min(MAX_PACKETS);
        Self {
            limit_packets: cap(limit),
            flow_limit_packets: cap(largest).max(DEFAULT_FLOW_LIMIT),
            is_capped: limit > MAX_PACKETS.into(),
        }
    }
}

/// Whether `key` may be one of several of a rule: only a rule for a service has more than one.
fn is_for_service(key: &TableKey) -> bool {
    let service = match key {
        TableKey::Exact4(key) | TableKey::Prefix4(_, key) => key.service,
        TableKey::Exact6(key) => key.service,
        TableKey::Prefix6(_, key) => key.service,
        TableKey::Any => 0,
    };
    service != 0
}

/// Buckets there can be under an entry that has one for each client: as many as fit the table, and the one of clients
/// for whom there is no room.
fn n_clients(key: &TableKey, lens: ClientLens, max_clients: u32) -> u64 {
    let bits = match key {
        TableKey::Exact4(_) | TableKey::Exact6(_) => 0,
        TableKey::Prefix4(len, _) => u32::from(lens.v4).saturating_sub(*len),
        TableKey::Prefix6(len, _) => u32::from(lens.v6).saturating_sub(*len),
        TableKey::Any => u32::from(lens.v6),
    };
    let n_addresses = 1_u64.checked_shl(bits).unwrap_or(u64::MAX);
    n_addresses.min(max_clients.into()).saturating_add(1)
}

/// Smallest packets that can wait for a limit at once: those of a whole horizon, and the one that is due.
fn backlog_packets(limit: &Limit) -> u64 {
    let ticks = u128::from(limit.horizon_ticks) << RATE_FRACTION_BITS;
    let packet_ticks = u128::from(limit.ticks_per_byte.max(1)) * u128::from(MIN_PACKET_BYTES);
    u64::try_from(ticks.div_ceil(packet_ticks))
        .unwrap_or(u64::MAX)
        .saturating_add(1)
}

#[cfg(test)]
mod tests {
    use shaper_common::rule::Key4;

    use super::*;
    use crate::policy::tables::{BucketId, TableKey};

    fn needs(limits: &[Limit]) -> FqNeeds {
        let address = |index: usize| u8::try_from(index).unwrap();
        let key = |index| {
            TableKey::Exact4(Key4 {
                service: 0,
                address: [10, 0, 0, address(index)],
            })
        };
        let entries = limits
            .iter()
            .enumerate()
            .map(|(index, limit)| (key(index), Entry::limited(*limit, BucketId(1))));
        FqNeeds::from(&Tables::new(entries.collect()))
    }

    #[test]
    fn without_rules_fq_keeps_its_defaults() {
        let expected = FqNeeds {
            limit_packets: 10_000,
            flow_limit_packets: 100,
            is_capped: false,
        };
        assert_eq!(needs(&[]), expected);
    }

    #[test]
    fn the_largest_horizon_fits_a_flow_and_all_of_them_fit_in_all() {
        let small = Limit::new(20_000, 0, 1_000_000_000, None);
        let large = Limit::new(200_000, 0, 1_000_000_000, None);
        let needs = needs(&[small, large]);
        assert!((10_001..=10_002).contains(&needs.flow_limit_packets), "{needs:?}");
        assert!((21_002..=21_004).contains(&needs.limit_packets), "{needs:?}");
        assert!(!needs.is_capped);
    }

    #[test]
    fn clients_wait_apart_and_members_of_a_group_no_longer_than_the_group() {
        let limit = Limit::new(20_000, 0, 1_000_000_000, None);
        let entry = |clients, group| Entry::Limited {
            limit,
            bucket: BucketId(1),
            clients,
            group,
        };
        let key = TableKey::Prefix4(
            30,
            Key4 {
                service: 0,
                address: [10, 0, 0, 0],
            },
        );
        let clients = Some(ClientLens { v4: 32, v6: 128 });
        let four = FqNeeds::from(&Tables::new(vec![(key, entry(clients, None))]));
        assert!((15_000..=15_010).contains(&four.limit_packets), "{four:?}");

        let mut tables = Tables::new(vec![(key, entry(clients, Some(0)))]);
        tables.groups.push(crate::policy::tables::Group {
            limit: Limit::new(20_000, 0, 500_000_000, None),
            bucket: BucketId(2),
        });
        let grouped = FqNeeds::from(&tables);
        assert!((10_500..=10_502).contains(&grouped.limit_packets), "{grouped:?}");

        tables = Tables::new(vec![(key, entry(clients, None))]);
        tables.max_clients = 2;
        let few = FqNeeds::from(&tables);
        assert!((13_000..=13_010).contains(&few.limit_packets), "{few:?}");
    }

    #[test]
    fn two_policies_need_together_what_one_of_both_does() {
        let (small, large) = (
            Limit::new(20_000, 0, 1_000_000_000, None),
            Limit::new(200_000, 0, 1_000_000_000, None),
        );
        assert_eq!(needs(&[small]).with(needs(&[large])), needs(&[small, large]));
        assert_eq!(needs(&[]).with(needs(&[])), needs(&[]));
        let fast = needs(&[Limit::new(1_250_000_000, 0, 200_000_000, None)]);
        assert_eq!(fast.with(fast), fast);
    }

    #[test]
    fn more_than_the_cap_is_capped_and_says_so() {
        let fast = Limit::new(1_250_000_000, 0, 200_000_000, None);
        let expected = FqNeeds {
            limit_packets: MAX_PACKETS,
            flow_limit_packets: MAX_PACKETS,
            is_capped: true,
        };
        assert_eq!(needs(&[fast]), expected);
    }
}
