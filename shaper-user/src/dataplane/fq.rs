//! fq's options: what shaper needs of them, and how netlink carries them. Pure.

use super::attribute::{append, attributes, u32_of};
use crate::policy::FqNeeds;

const PLIMIT: u16 = 1;
const FLOW_PLIMIT: u16 = 2;
const BUCKETS_LOG: u16 = 8;
const ORPHAN_MASK: u16 = 10;
const HORIZON: u16 = 14;
const HORIZON_DROP: u16 = 15;

/// fq's own lists of flows are in so many trees, by default, for a whole device.
const DEVICE_TREES_LOG: u32 = 14;
/// What fq has by default.
const DEFAULT_TREES_LOG: u32 = 10;

/// Options of fq that matter to shaper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FqOptions {
    /// Packets in all.
    pub(super) limit_packets: u32,
    /// Packets of one flow.
    pub(super) flow_limit_packets: u32,
    /// Trees of flows, as a power of two.
    pub(super) trees_log: u32,
    /// How much of a packet's hash tells flows without a socket apart.
    pub(super) orphan_mask: u32,
    /// Furthest departure, in microseconds.
    pub(super) horizon_us: u32,
    /// Whether a packet beyond it is dropped, or sent at the horizon.
    pub(super) drops_beyond_horizon: bool,
}

impl FqOptions {
    /// What shaper needs on each of the `n_queues` of a device.
    pub(super) fn needed(needs: &FqNeeds, n_queues: u32) -> Self {
        let horizon_us = shaper_common::stamp::FQ_HORIZON_NS / 1_000;
        Self {
            limit_packets: needs.limit_packets,
            flow_limit_packets: needs.flow_limit_packets,
            trees_log: DEVICE_TREES_LOG
                .saturating_sub(n_queues.max(1).ilog2())
                .max(DEFAULT_TREES_LOG),
            // By the default mask unrelated destinations share a flow, and wait for each other.
            orphan_mask: u32::MAX,
            horizon_us: u32::try_from(horizon_us).unwrap_or(u32::MAX),
            drops_beyond_horizon: true,
        }
    }

    /// These, but nothing that somebody else set higher is made smaller.
    pub(super) fn at_least(self, present: Self) -> Self {
        Self {
            limit_packets: self.limit_packets.max(present.limit_packets),
            flow_limit_packets: self.flow_limit_packets.max(present.flow_limit_packets),
            trees_log: self.trees_log.max(present.trees_log),
            orphan_mask: self.orphan_mask,
            horizon_us: self.horizon_us.max(present.horizon_us),
            drops_beyond_horizon: self.drops_beyond_horizon,
        }
    }

    /// As the value of `TCA_OPTIONS`.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        append(&mut bytes, PLIMIT, &self.limit_packets.to_ne_bytes());
        append(&mut bytes, FLOW_PLIMIT, &self.flow_limit_packets.to_ne_bytes());
        append(&mut bytes, BUCKETS_LOG, &self.trees_log.to_ne_bytes());
        append(&mut bytes, ORPHAN_MASK, &self.orphan_mask.to_ne_bytes());
        append(&mut bytes, HORIZON, &self.horizon_us.to_ne_bytes());
        append(&mut bytes, HORIZON_DROP, &[u8::from(self.drops_beyond_horizon)]);
        bytes
    }

    /// From the value of `TCA_OPTIONS` in a dump; an option that is missing is zero.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let value = |wanted| {
            attributes(bytes)
                .find(|(kind, _)| *kind == wanted)
                .map(|(_, value)| value)
        };
        let number = |wanted| value(wanted).and_then(u32_of).unwrap_or(0);
        Self {
            limit_packets: number(PLIMIT),
            flow_limit_packets: number(FLOW_PLIMIT),
            trees_log: number(BUCKETS_LOG),
            orphan_mask: number(ORPHAN_MASK),
            horizon_us: number(HORIZON),
            drops_beyond_horizon: value(HORIZON_DROP).is_some_and(|value| value.first() == Some(&1)),
        }
    }

    /// The first option that falls short of `needed`, in words.
    pub(super) fn shortfall(&self, needed: &Self) -> Option<String> {
        let numbers = [
            ("limit", self.limit_packets, needed.limit_packets),
            ("flow_limit", self.flow_limit_packets, needed.flow_limit_packets),
            ("horizon in us", self.horizon_us, needed.horizon_us),
            ("orphan_mask", self.orphan_mask, needed.orphan_mask),
        ];
        numbers
            .into_iter()
            .find(|(_, is, needed)| is < needed)
            .map(|(what, is, needed)| format!("{what} is {is} instead of {needed}"))
    }
}

/// Counters of fq that matter to shaper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FqStats {
    /// Packets dropped because their flow was full.
    pub(super) flow_limit_drops: u64,
    /// Packets dropped because they were beyond the horizon.
    pub(super) horizon_drops: u64,
}

impl FqStats {
    /// From the value of `TCA_STATS_APP`, as long as the kernel makes it: 104 bytes in 6.1, 152 in 7.3.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let number = |at: usize| {
            let word = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
            word.map_or(0, u64::from_ne_bytes)
        };
        // struct tc_fq_qd_stats: five u64, an i64, four u32... as in uapi/linux/pkt_sched.h.
        Self {
            flow_limit_drops: number(32),
            horizon_drops: number(88),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDS: FqNeeds = FqNeeds {
        limit_packets: 100_000,
        flow_limit_packets: 20_000,
        is_capped: false,
    };

    #[test]
    fn options_are_read_back_as_written() {
        let options = FqOptions::needed(&NEEDS, 1);
        assert_eq!(FqOptions::decode(&options.encode()), options);
        assert_eq!(options.horizon_us, 40_000_000);
        assert_eq!(options.shortfall(&options), None);
    }

    #[test]
    fn a_device_with_many_queues_has_fewer_trees_on_each() {
        let trees = |n_queues| FqOptions::needed(&NEEDS, n_queues).trees_log;
        assert_eq!(
            [trees(0), trees(1), trees(2), trees(8), trees(16), trees(256)],
            [14, 14, 13, 11, 10, 10]
        );
    }

    #[test]
    fn what_somebody_set_higher_stays() {
        let theirs = FqOptions {
            limit_packets: 200_000,
            trees_log: 18,
            ..FqOptions::needed(&NEEDS, 1)
        };
        let both = FqOptions::needed(&NEEDS, 1).at_least(theirs);
        assert_eq!(
            (both.limit_packets, both.trees_log, both.flow_limit_packets),
            (200_000, 18, 20_000)
        );
        let low = FqOptions {
            limit_packets: 10_000,
            ..theirs
        };
        assert_eq!(FqOptions::needed(&NEEDS, 1).at_least(low).limit_packets, 100_000);
    }

    #[test]
    fn an_option_that_was_not_taken_is_named() {
        let needed = FqOptions::needed(&NEEDS, 1);
        let present = FqOptions {
            flow_limit_packets: 100,
            ..needed
        };
        assert_eq!(
            present.shortfall(&needed).as_deref(),
            Some("flow_limit is 100 instead of 20000")
        );
        assert!(FqOptions::decode(&[]).shortfall(&needed).is_some());
    }

    #[test]
    fn counters_are_read_whatever_the_length_of_the_structure() {
        for len in [104, 152] {
            let mut bytes = vec![0; len];
            bytes[32] = 7;
            bytes[88] = 9;
            let stats = FqStats {
                flow_limit_drops: 7,
                horizon_drops: 9,
            };
            assert_eq!(FqStats::decode(&bytes), stats);
        }
        assert_eq!(FqStats::decode(&[0xff; 16]), FqStats::default());
    }
}
