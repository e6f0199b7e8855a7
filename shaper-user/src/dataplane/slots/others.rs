//! Whether a rule is the only one of its kind.

use std::os::fd::OwnedFd;

use super::Slots;
use crate::dataplane::error::DataplaneError;
use crate::dataplane::maps::{Map, typed};
use crate::dataplane::tables::{Exact4, Exact6, Prefix4, Prefix6, Table};
use crate::policy::tables::TableKey;
use shaper_common::rule::Rule;

impl Slots {
    /// Whether packets would still have to be led where they are, if the rule at `key` of `slot` were gone; `false` also
    /// where it cannot be told without looking at all rules.
    pub(in crate::dataplane) fn has_others(&self, slot: u32, key: &TableKey) -> Result<bool, DataplaneError> {
        let [exact4, exact6, prefix4, prefix6, ..] = self.open(slot, &self.head(slot)?)?;
        match key {
            TableKey::Exact4(at) if at.service == 0 => has_two::<Exact4>(exact4),
            TableKey::Exact6(at) if at.service == 0 => has_two::<Exact6>(exact6),
            TableKey::Prefix4(_, at) if at.service == 0 => has_two::<Prefix4>(prefix4),
            TableKey::Prefix6(_, at) if at.service == 0 => has_two::<Prefix6>(prefix6),
            _ => Ok(false),
        }
    }
}

/// Whether a table holds two rules or more.
fn has_two<T: Table>(table: Option<OwnedFd>) -> Result<bool, DataplaneError> {
    let Some(table) = table else { return Ok(false) };
    let map: Map<T::Key, Rule> = typed(table, T::NAME)?;
    let read = |key| {
        map.next_key(key)
            .map_err(|error| DataplaneError::kernel(format!("read the table {}", T::NAME), error))
    };
    match read(None)? {
        Some(first) => Ok(read(Some(&first))?.is_some()),
        None => Ok(false),
    }
}
