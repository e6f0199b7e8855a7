//! The filter before the exact tables: a clear bit proves that a destination is in neither of them.

use std::os::fd::AsFd;

use shaper_common::filter::{FILTER_BYTES, bit4, bit6, position};
use shaper_common::names::FILTER;
use shaper_common::rule::{N_SLOTS, Rule};

use super::error::DataplaneError;
use super::mapping::Mapping;
use crate::policy::tables::TableKey;

/// The filters of all slots, in memory.
#[derive(Debug)]
pub(super) struct Filter(Mapping<u8>);

impl Filter {
    /// Maps the array behind `fd`.
    pub(super) fn new(fd: impl AsFd) -> Result<Self, DataplaneError> {
        Mapping::new(fd.as_fd(), FILTER_BYTES * N_SLOTS as usize)
            .map(Self)
            .map_err(|error| DataplaneError::kernel(format!("map {FILTER} into memory"), error))
    }

    /// Lets packets to this destination through to the search, if the key is of an exact one.
    pub(super) fn set(&self, slot: u32, key: &TableKey) {
        if let Some((index, value)) = place(slot, key) {
            self.0.write(index, self.0.read(index) | value);
        }
    }

    /// Whether packets to this destination get through to the search.
    pub(super) fn has(&self, slot: u32, key: &TableKey) -> bool {
        place(slot, key).is_none_or(|(index, value)| self.0.read(index) & value != 0)
    }

    /// Makes the filter of a slot that no packet uses anew.
    pub(super) fn fill(&self, slot: u32, rules: &[(TableKey, Rule)]) {
        self.0.clear(slot as usize * FILTER_BYTES, FILTER_BYTES);
        for (key, _) in rules {
            self.set(slot, key);
        }
    }
}

/// Byte and bit of an exact destination.
fn place(slot: u32, key: &TableKey) -> Option<(usize, u8)> {
    let bit = match key {
        TableKey::Exact4(key) => bit4(u32::from_ne_bytes(key.address)),
        TableKey::Exact6(key) => bit6(key.address),
        TableKey::Prefix4(..) | TableKey::Prefix6(..) | TableKey::Any => return None,
    };
    let (byte, value) = position(bit);
    Some((slot as usize * FILTER_BYTES + byte, value))
}
