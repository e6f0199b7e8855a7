//! What `fq` must be able to hold so that it drops nothing a bucket was charged for.

use shaper_common::pacing::{Limit, RATE_FRACTION_BITS};

use super::Policy;
use super::tables::{Entry, Tables};

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

/// Most packets `fq` is told to hold: at 42 bytes each, what 7 Gbit/s send in 200 ms.
pub const MAX_PACKETS: u32 = 4 << 20;

/// Defaults of the kernel; never less, so that nobody else's packets are dropped sooner.
const DEFAULT_LIMIT: u32 = 10_000;
const DEFAULT_FLOW_LIMIT: u32 = 100;

/// Bytes of the smallest packet: Ethernet, IPv4 and UDP headers.
const MIN_PACKET_BYTES: u64 = 42;

impl Policy {
    /// What `fq` must be able to hold under this policy.
    #[must_use]
    pub fn fq_needs(&self) -> FqNeeds {
        FqNeeds::from(&Tables::from(self))
    }
}

impl From<&Tables> for FqNeeds {
    fn from(tables: &Tables) -> Self {
        let limits = tables.entries().iter().filter_map(|(_, entry)| match entry {
            Entry::Limited { limit, .. } => Some(limit),
            Entry::Exempt | Entry::Blocked { .. } => None,
        });
        let (sum, largest) = limits
            .map(backlog_packets)
            .fold((0_u64, 0_u64), |(sum, largest), packets| {
                (sum.saturating_add(packets), largest.max(packets))
            });
        let limit = sum.saturating_add(DEFAULT_LIMIT.into());
        let cap = |packets: u64| u32::try_from(packets).unwrap_or(u32::MAX).min(MAX_PACKETS);
        Self {
            limit_packets: cap(limit),
            flow_limit_packets: cap(largest).max(DEFAULT_FLOW_LIMIT),
            is_capped: limit > MAX_PACKETS.into(),
        }
    }
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
        let small = Limit::new(42_000, 0, 1_000_000_000, None);
        let large = Limit::new(420_000, 0, 1_000_000_000, None);
        let needs = needs(&[small, large]);
        assert!((10_001..=10_002).contains(&needs.flow_limit_packets), "{needs:?}");
        assert!((21_002..=21_004).contains(&needs.limit_packets), "{needs:?}");
        assert!(!needs.is_capped);
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
