//! The tables of rules and groups of one policy slot: read, built anew, or changed in one place.

use std::os::fd::OwnedFd;

use shaper_common::names::GROUPS;
use shaper_common::rule::{Group, Rule};

use super::batch;
use super::bpf::{self, MapInfo};
use super::content::Rules;
use super::error::DataplaneError;
use super::maps::{Map, difference, typed};
use super::program::Definitions;
use super::tables::Table;
use crate::policy::tables::TableKey;

/// Adds the rules of a table to `rules`.
pub(super) fn read<T: Table>(table: OwnedFd, rules: &mut Rules) -> Result<(), DataplaneError> {
    let map: Map<T::Key, Rule> = typed(table, T::NAME)?;
    let entries = batch::read(&map)
        .map_err(|error| DataplaneError::kernel(format!("read the table {}", T::NAME), error))?;
    rules.extend(entries.iter().map(|(key, rule)| (T::table_key(key), *rule)));
    Ok(())
}

/// How many entries a table for `n_rules` gets: room to grow in place, but little where every byte counts, as the
/// kernel sets all of it aside at once.
fn room_for(n_rules: usize) -> u32 {
    let more = if n_rules < 1 << 16 {
        n_rules / 4
    } else {
        n_rules / 64
    };
    u32::try_from(n_rules + more + 64).unwrap_or(u32::MAX)
}

/// The table for `rules`: the one in force if it holds just these, else a new one. `put` hears how many entries were
/// put.
pub(super) fn build<T: Table>(
    present: Option<OwnedFd>,
    in_force: &[(TableKey, Rule)],
    rules: &[(TableKey, Rule)],
    definitions: &Definitions,
    put: &mut dyn FnMut(usize),
) -> Result<Option<OwnedFd>, DataplaneError> {
    let belongs = |(key, _): &&(TableKey, Rule)| T::kernel_key(key).is_some();
    let entries = T::select(rules);
    if entries.is_empty() {
        return Ok(None);
    }
    if present.is_some() && in_force.iter().filter(belongs).eq(rules.iter().filter(belongs)) {
        put(entries.len());
        return Ok(present);
    }
    let refused = |error| DataplaneError::kernel(format!("fill the table {}", T::NAME), error);
    let definition = MapInfo {
        max_entries: room_for(entries.len()),
        ..definitions.inner(T::NAME)
    };
    let map: Map<T::Key, Rule> = typed(
        bpf::create_map(&definition, T::NAME, None).map_err(refused)?,
        T::NAME,
    )?;
    debug_assert_eq!(difference(map.info(), &definition), None);
    batch::fill(&map, &entries, put).map_err(refused)?;
    Ok(Some(map.into_fd()))
}

/// The table of `groups`; `None` if there are none.
pub(super) fn build_groups(
    groups: &[Group],
    definitions: &Definitions,
) -> Result<Option<OwnedFd>, DataplaneError> {
    if groups.is_empty() {
        return Ok(None);
    }
    let refused = |error| DataplaneError::kernel(format!("fill the table {GROUPS}"), error);
    let definition = MapInfo {
        max_entries: u32::try_from(groups.len()).unwrap_or(u32::MAX),
        ..definitions.inner(GROUPS)
    };
    let map: Map<u32, Group> = typed(
        bpf::create_map(&definition, GROUPS, None).map_err(refused)?,
        GROUPS,
    )?;
    let entries: Vec<(u32, Group)> = (0..).zip(groups.iter().copied()).collect();
    batch::fill(&map, &entries, &mut |_| {}).map_err(refused)?;
    Ok(Some(map.into_fd()))
}

/// What a table of groups says.
pub(super) fn read_groups(table: OwnedFd) -> Result<Vec<Group>, DataplaneError> {
    let map: Map<u32, Group> = typed(table, GROUPS)?;
    let mut entries = batch::read(&map)
        .map_err(|error| DataplaneError::kernel(format!("read the table {GROUPS}"), error))?;
    entries.sort_by_key(|(index, _)| *index);
    Ok(entries.into_iter().map(|(_, group)| group).collect())
}

/// The rule that stands at exactly `key`.
pub(super) fn get<T: Table>(table: Option<OwnedFd>, key: &TableKey) -> Result<Option<Rule>, DataplaneError> {
    let (Some(table), Some(kernel_key)) = (table, T::kernel_key(key)) else {
        return Ok(None);
    };
    let map: Map<T::Key, Rule> = typed(table, T::NAME)?;
    let found = map
        .get(&kernel_key)
        .map_err(|error| DataplaneError::kernel(format!("read the table {}", T::NAME), error))?;
    // A trie answers with the longest prefix that covers the key.
    Ok(found.filter(|rule| rule.prefix_len == super::content::prefix_len(key)))
}

/// Puts, replaces or takes away one entry; `false` if there is no table for it, or no room.
pub(super) fn change<T: Table>(
    table: Option<OwnedFd>,
    key: &TableKey,
    rule: Option<Rule>,
) -> Result<bool, DataplaneError> {
    let (Some(table), Some(kernel_key)) = (table, T::kernel_key(key)) else {
        return Ok(false);
    };
    let map: Map<T::Key, Rule> = typed(table, T::NAME)?;
    let result = match rule {
        Some(rule) => map.put(&kernel_key, &rule),
        None => map.delete(&kernel_key),
    };
    match result {
        Ok(()) => Ok(true),
        // A full hash says E2BIG, a full trie ENOSPC.
        Err(error) if rule.is_some() && matches!(error.raw_os_error(), Some(libc::E2BIG | libc::ENOSPC)) => {
            Ok(false)
        }
        Err(error) => Err(DataplaneError::kernel(
            format!("change the table {}", T::NAME),
            error,
        )),
    }
}
