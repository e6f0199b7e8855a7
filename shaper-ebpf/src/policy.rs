//! The policy in force, as a packet sees it: one slot and what is in it.

use shaper_common::{
    filter::{self, FILTER_BITS},
    outcome::Outcome,
    rule::{Active, Group, PolicyHead, feature},
};

use crate::{
    lookup::{Lookup as _, inner},
    maps::{ACTIVE, FILTER, GROUPS, POLICIES, SERVICES},
};

/// The word that was read once: a packet sees one policy, the old or the next.
#[derive(Clone, Copy)]
pub(crate) struct Policy(Active);

impl Policy {
    /// The policy in force.
    #[inline(always)]
    pub(crate) fn in_force() -> Result<Self, Outcome> {
        // The lookup always succeeds.
        let active = ACTIVE.lookup(&0).ok_or(Outcome::Unlimited)?;
        // SAFETY: an element of an array map, aligned; volatile because the loader may write it meanwhile.
        Ok(Self(unsafe { active.read_volatile() }))
    }

    /// For functions that the kernel verifies by themselves: they take numbers.
    #[inline(always)]
    pub(crate) fn raw(self) -> u32 {
        self.0.word
    }

    /// The reverse.
    #[inline(always)]
    pub(crate) fn from_raw(word: u32) -> Self {
        Self(Active { word })
    }

    /// Index of its tables.
    #[inline(always)]
    pub(crate) fn slot(self) -> u32 {
        self.0.slot()
    }

    /// Whether it has any of `features`.
    #[inline(always)]
    pub(crate) fn has(self, features: u32) -> bool {
        self.0.features() & features != 0
    }

    /// Whether there may be an exact rule for the destination that has `bit` in the filter.
    #[inline(always)]
    pub(crate) fn may_hold(self, bit: u32) -> bool {
        if !self.has(feature::FILTER) {
            return true;
        }
        let Some(filter) = FILTER.lookup(&self.slot()) else {
            return true;
        };
        let (byte, value) = filter::position(bit % FILTER_BITS);
        // SAFETY: within the array, for a filter has as many bits; volatile because the loader may set bits.
        unsafe { filter.cast::<u8>().add(byte).read_volatile() & value != 0 }
    }

    /// Its head.
    #[inline(always)]
    pub(crate) fn head(self) -> Option<&'static PolicyHead> {
        // SAFETY: as in `service`: the loader writes the idle slot only.
        POLICIES.lookup(&self.slot()).map(|head| unsafe { &*head })
    }

    /// The service that a port belongs to, by the port's index; zero if to none.
    #[inline(always)]
    pub(crate) fn service(self, port_index: u32) -> u32 {
        let service = inner(&SERVICES, self.slot()).and_then(|services| services.lookup(&port_index));
        // SAFETY: a map's value; the loader replaces whole maps, so it neither moves nor changes under a packet.
        service.map_or(0, |service| unsafe { *service })
    }

    /// A rule's group, if it has one.
    #[inline(always)]
    pub(crate) fn group(self, number: u32) -> Option<&'static Group> {
        if number == 0 {
            return None;
        }
        let group = inner(&GROUPS, self.slot())?.lookup(&(number - 1))?;
        // SAFETY: as in `service`.
        Some(unsafe { &*group })
    }
}
