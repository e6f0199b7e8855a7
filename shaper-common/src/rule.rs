//! What the rule maps hold: keys, rules and the policy's head.
//!
//! Rules and buckets live apart: a rule names its bucket by number, so replacing every rule touches no bucket.

use crate::{pacing::Limit, packed::PackedLimit};

/// Number of policy slots: the one in use and the one being built.
pub const N_SLOTS: u32 = 2;

/// Tables of a slot: four of rules, groups, services.
pub const N_TABLES: usize = 6;

/// What a rule does with the packets it covers; [`Rule::kind`].
pub mod kind {
    /// Never limited; also what an all-zero rule means.
    pub const EXEMPT: u8 = 0;
    /// Limited by [`super::Rule::limit`].
    pub const LIMITED: u8 = 1;
    /// Dropped, every packet.
    pub const BLOCKED: u8 = 2;
}

/// One rule of the policy in force. Written by the loader, read for each packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Rate, burst, horizon and marking threshold.
    pub limit: PackedLimit,
    /// Number of its bucket; see [`crate::bucket::position`]. If each client has a bucket of his own, the one of
    /// clients for whom there is no room, and the rule's identity in [`ClientKey::rule`].
    pub bucket: u32,
    /// The group it belongs to, as an index into the slot's groups plus one; zero is none.
    pub group: u32,
    /// One of [`kind`].
    pub kind: u8,
    /// Bits of the destination that were matched, to tell which of two prefixes is longer.
    pub prefix_len: u8,
    /// Leading bits of an IPv4 destination that tell clients apart; zero: all share the rule's bucket.
    pub client_len4: u8,
    /// The same for IPv6.
    pub client_len6: u8,
    /// Most packets that wait in send buffers which other clients need too; zero is no such limit. See
    /// [`crate::shared`].
    pub shared_packets: u32,
}

impl Rule {
    /// A rule of one bucket and no group.
    #[must_use]
    pub const fn limited(limit: Limit, bucket: u32) -> Self {
        Self {
            limit: PackedLimit::new(limit),
            bucket,
            group: 0,
            kind: kind::LIMITED,
            prefix_len: 0,
            client_len4: 0,
            client_len6: 0,
            shared_packets: 0,
        }
    }
}

// No padding, and small: a million of them are resident.
const _: () = assert!(size_of::<Rule>() == 40);

/// A limit that several rules share, on top of each one's own: the later departure counts.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Rate, burst, horizon and marking threshold of all members together.
    pub limit: PackedLimit,
    /// Number of its bucket.
    pub bucket: u32,
    /// Always zero.
    pub zero: u32,
}

const _: () = assert!(size_of::<Group>() == 32);

/// Key of one client's bucket. An IPv4 address stands as `::ffff:a.b.c.d`; bits that do not tell clients apart are
/// zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientKey {
    /// The rule's bucket number, which stays the same as long as there is such a rule.
    pub rule: u32,
    /// Address in network order, as the words its bytes make in memory.
    pub address: [u32; 4],
}

/// Clients that have a bucket of their own at the same time, unless the configuration says otherwise.
pub const DEFAULT_MAX_CLIENTS: u32 = 262_144;

/// Entries of a slot's table of services: TCP ports, then UDP ports. A value is the number of the service that the
/// port belongs to, as in [`Key4::service`]; zero is none.
pub const N_PORTS: u32 = 2 << 16;

/// Index of a port in the table of services; `port` as a number, not in network order.
#[inline]
#[must_use]
pub const fn port_index(is_udp: bool, port: u16) -> u32 {
    (is_udp as u32) << 16 | port as u32
}

/// Key of an exact IPv4 destination.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key4 {
    /// Service number; zero covers every service.
    pub service: u32,
    /// Address in network order.
    pub address: [u8; 4],
}

/// Key of an exact IPv6 destination.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key6 {
    /// Service number; zero covers every service.
    pub service: u32,
    /// Address in network order, as four words: the kernel hashes words faster than bytes.
    pub address: [u32; 4],
}

/// Data part of an IPv4 prefix key. The service comes first, so it is matched whole.
pub type PrefixData4 = Key4;

/// Data part of an IPv6 prefix key. The trie keeps a value behind its key: eight-byte words keep it aligned.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrefixData6 {
    /// Always zero.
    pub zero: u32,
    /// Service number; zero covers every service.
    pub service: u32,
    /// Address in network order.
    pub address: [u32; 4],
}

/// Bits that come before the address in a [`PrefixData4`]: add them to the prefix length.
pub const PREFIX4_FIXED_BITS: u32 = 32;

/// Bits that come before the address in a [`PrefixData6`].
pub const PREFIX6_FIXED_BITS: u32 = 64;

const _: () = assert!(size_of::<PrefixData4>() == 8 && size_of::<PrefixData6>() == 24);

/// What a policy contains; [`PolicyHead::features`]. A table that is empty is not consulted.
pub mod feature {
    /// There are exact IPv4 destinations.
    pub const EXACT4: u32 = 1;
    /// There are exact IPv6 destinations.
    pub const EXACT6: u32 = 2;
    /// There are IPv4 prefixes, exempt ones included.
    pub const PREFIX4: u32 = 4;
    /// There are IPv6 prefixes, exempt ones included.
    pub const PREFIX6: u32 = 8;
    /// There is a rule for all the rest.
    pub const ANY: u32 = 16;
    /// Rules tell services apart.
    pub const SERVICES: u32 = 32;
    /// The slot's filter holds every exact destination: a clear bit proves that there is no rule for one.
    pub const FILTER: u32 = 64;
    /// Rules belong to groups. For the loader: the kernel program asks the rule.
    pub const GROUPS: u32 = 128;
    /// Rules have a bucket per client. For the loader, as above.
    pub const CLIENTS: u32 = 256;
}

/// Head of one policy slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyHead {
    /// The rule for every destination that no table holds.
    pub any: Rule,
    /// Bits of [`feature`].
    pub features: u32,
    /// Always zero.
    pub zero: u32,
    /// For the loader: the kernel's ids of the slot's tables, 0 where there is none, [`UNKNOWN`](Self::UNKNOWN) while
    /// they are exchanged.
    pub tables: [u32; N_TABLES],
}

impl PolicyHead {
    /// In [`tables`](Self::tables): any may stand there, or none.
    pub const UNKNOWN: u32 = u32::MAX;
}

const _: () = assert!(size_of::<PolicyHead>() == 72);

/// Which slot is in force and which of its tables there are: one write makes a whole policy current.
///
/// Only the lowest byte is ever anything but zero, so that no way of writing it can be seen half done. What is in
/// it is all that most packets need to know of a policy: the head is read only for packets that no table covers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Active {
    /// The slot in the lowest bit, [`feature`]s above it.
    pub word: u32,
}

impl Active {
    /// Puts `slot` in force, whose head has `features`.
    #[inline]
    #[must_use]
    pub const fn new(slot: u32, features: u32) -> Self {
        Self {
            word: (slot % N_SLOTS) | ((features & 0x7f) * N_SLOTS),
        }
    }

    /// Slot number, below [`N_SLOTS`].
    #[inline]
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.word % N_SLOTS
    }

    /// Bits of [`feature`] that lead to tables.
    #[inline]
    #[must_use]
    pub const fn features(self) -> u32 {
        self.word / N_SLOTS
    }
}

/// Who made the pinned maps, so that objects of another layout are never reused blindly.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// [`crate::names::MAGIC`].
    pub magic: u64,
    /// [`crate::names::LAYOUT_VERSION`].
    pub layout_version: u64,
    /// Identifies the kernel object that was loaded last.
    pub build_id: u64,
}

#[cfg(feature = "user")]
mod pod {
    use super::{Active, ClientKey, Group, Key4, Key6, Meta, PolicyHead, PrefixData6, Rule};

    // SAFETY: `repr(C)`, no padding (sizes asserted or all fields alike), every bit pattern is valid.
    unsafe impl aya::Pod for Rule {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Key4 {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Key6 {}
    // SAFETY: as above.
    unsafe impl aya::Pod for PrefixData6 {}
    // SAFETY: as above.
    unsafe impl aya::Pod for PolicyHead {}
    // SAFETY: as above.
    unsafe impl aya::Pod for ClientKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Group {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Active {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Meta {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_says_which_slot_and_which_tables() {
        for slot in 0..N_SLOTS {
            for features in 0..=0x1ff {
                let active = Active::new(slot, features);
                assert!(active.word < 256);
                assert_eq!(active.slot(), slot);
                assert_eq!(active.features(), features & 0x7f);
            }
        }
        assert_eq!(
            Active::default(),
            Active::new(0, 0),
            "an empty map limits nothing"
        );
    }

    #[test]
    fn every_table_is_named_in_that_byte() {
        let tables = feature::EXACT4
            | feature::EXACT6
            | feature::PREFIX4
            | feature::PREFIX6
            | feature::ANY
            | feature::SERVICES
            | feature::FILTER;
        assert_eq!(tables, 0x7f);
    }
}
