//! The two policy slots: reading the one in force, building the other, and making it current with one write.
//!
//! A slot's tables are maps of their own behind maps of maps. They are pinned too, because the kernel tells only
//! their ids and opening a map by its id needs more privilege than shaper has. Once a policy is in force both slots
//! hold the same tables, so the replaced ones are freed.

mod flaw;
mod others;

use std::os::fd::{AsFd as _, OwnedFd};

use shaper_common::names::{GROUPS, SERVICES};
use shaper_common::rule::{Active, N_SLOTS, N_TABLES, PolicyHead, Rule, feature};

use super::bpf;
use super::build::{build, build_groups, change, get, read, read_groups};
use super::content::Content;
use super::error::DataplaneError;
use super::filter::Filter;
use super::maps::Map;
use super::pins::Pins;
use super::place::Place;
use super::program::Definitions;
use super::services;
use super::tables::{Exact4, Exact6, Prefix4, Prefix6, Table};
use crate::policy::tables::TableKey;

/// The maps that make up the slots.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) active: Map<u32, Active>,
    pub(super) policies: Map<u32, PolicyHead>,
    /// In the order of [`Inner`].
    pub(super) outer: [Map<u32, u32>; N_TABLES],
    pub(super) filter: Filter,
    pub(super) pins: Pins,
}

/// The names of the maps of maps.
pub(super) const NAMES: [&str; N_TABLES] = [
    Exact4::NAME,
    Exact6::NAME,
    Prefix4::NAME,
    Prefix6::NAME,
    GROUPS,
    SERVICES,
];

/// The tables of a slot; `None` where they would be empty.
type Inner = [Option<OwnedFd>; N_TABLES];

impl Slots {
    /// The slot in force.
    fn active(&self) -> Result<u32, DataplaneError> {
        let active = self
            .active
            .get(&0)
            .map_err(|error| DataplaneError::kernel("read the map ACTIVE", error))?;
        // The program masks it in the same way.
        Ok(active.unwrap_or_default().slot())
    }

    fn places(&self, slot: u32) -> impl Iterator<Item = Place<'_>> {
        self.outer.iter().zip(NAMES).map(move |(outer, name)| Place {
            outer,
            name,
            slot,
            pins: &self.pins,
        })
    }

    /// The tables of `slot`, of which `head` is the head.
    fn open(&self, slot: u32, head: &PolicyHead) -> Result<Inner, DataplaneError> {
        let mut inner = Inner::default();
        for ((table, id), place) in inner.iter_mut().zip(head.tables).zip(self.places(slot)) {
            *table = place.open(id)?;
        }
        Ok(inner)
    }

    /// Puts tables in a slot that is not in force, of which `ids` are the ids.
    fn put_tables(&self, slot: u32, tables: &Inner, ids: [u32; N_TABLES]) -> Result<(), DataplaneError> {
        let head = self.head(slot)?;
        let is_new = head.tables != ids;
        if is_new {
            // Whoever finds it so, because this was cut short, relies on nothing that stands there.
            let tables = [PolicyHead::UNKNOWN; N_TABLES];
            self.put_head(slot, &PolicyHead { tables, ..head })?;
        }
        for ((place, table), (old, new)) in self
            .places(slot)
            .zip(tables)
            .zip(head.tables.into_iter().zip(ids))
        {
            place.put(old, new, table.as_ref())?;
        }
        if is_new {
            self.put_head(slot, &PolicyHead { tables: ids, ..head })?;
        }
        Ok(())
    }

    fn head(&self, slot: u32) -> Result<PolicyHead, DataplaneError> {
        let head = self
            .policies
            .get(&slot)
            .map_err(|error| DataplaneError::kernel("read the map POLICIES", error))?;
        Ok(head.unwrap_or_default())
    }

    fn put_head(&self, slot: u32, head: &PolicyHead) -> Result<(), DataplaneError> {
        self.policies
            .put(&slot, head)
            .map_err(|error| DataplaneError::kernel("change the map POLICIES", error))
    }

    /// What `read` makes of the slot in force.
    ///
    /// Takes no lock: begins again if a change of policy came in between.
    pub(super) fn in_force<R>(
        &self,
        read: impl Fn(u32) -> Result<R, DataplaneError>,
    ) -> Result<R, DataplaneError> {
        for _ in 0..20 {
            let slot = self.active()?;
            let head = self.head(slot)?;
            let found = read(slot);
            if self.active()? == slot && self.head(slot)? == head {
                return found;
            }
        }
        Err(DataplaneError::Busy)
    }

    /// What `slot` holds.
    pub(super) fn content(&self, slot: u32) -> Result<Content, DataplaneError> {
        let head = self.head(slot)?;
        let [exact4, exact6, prefix4, prefix6, groups, services] = self.open(slot, &head)?;
        let has = |bit| head.features & bit != 0;
        let mut content = Content::default();
        let rules = &mut content.rules;
        if let Some(table) = exact4.filter(|_| has(Exact4::FEATURE)) {
            read::<Exact4>(table, rules)?;
        }
        if let Some(table) = exact6.filter(|_| has(Exact6::FEATURE)) {
            read::<Exact6>(table, rules)?;
        }
        if let Some(table) = prefix4.filter(|_| has(Prefix4::FEATURE)) {
            read::<Prefix4>(table, rules)?;
        }
        if let Some(table) = prefix6.filter(|_| has(Prefix6::FEATURE)) {
            read::<Prefix6>(table, rules)?;
        }
        if has(feature::ANY) {
            rules.push((TableKey::Any, head.any));
        }
        rules.sort_unstable_by_key(|(key, _)| *key);
        // A table that changes while it is read may give an entry twice.
        rules.dedup_by_key(|(key, _)| *key);
        if let Some(table) = groups {
            content.groups = read_groups(table)?;
        }
        if let Some(table) = services {
            content.ports = services::read(table)?;
        }
        Ok(content)
    }

    /// The rule at `key` in `slot`.
    pub(super) fn rule(&self, slot: u32, key: &TableKey) -> Result<Option<Rule>, DataplaneError> {
        let head = self.head(slot)?;
        let [exact4, exact6, prefix4, prefix6, ..] = self.open(slot, &head)?;
        let has = |bit| head.features & bit != 0;
        match key {
            TableKey::Exact4(_) if has(Exact4::FEATURE) => get::<Exact4>(exact4, key),
            TableKey::Exact6(_) if has(Exact6::FEATURE) => get::<Exact6>(exact6, key),
            TableKey::Prefix4(..) if has(Prefix4::FEATURE) => get::<Prefix4>(prefix4, key),
            TableKey::Prefix6(..) if has(Prefix6::FEATURE) => get::<Prefix6>(prefix6, key),
            TableKey::Any if has(feature::ANY) => Ok(Some(head.any)),
            _ => Ok(None),
        }
    }

    /// The groups of `slot`.
    pub(super) fn groups(&self, slot: u32) -> Result<Vec<shaper_common::rule::Group>, DataplaneError> {
        let [_, _, _, _, groups, _] = self.open(slot, &self.head(slot)?)?;
        groups.map_or_else(|| Ok(Vec::new()), read_groups)
    }

    /// Bits of [`feature`] that packets go by.
    pub(super) fn features(&self) -> Result<u32, DataplaneError> {
        Ok(self.head(self.active()?)?.features)
    }

    /// Puts, replaces or takes away one entry of the slot in force; for packets that is one step. `false` if it cannot
    /// be done so. No packet may be left that began before the change before this one.
    pub(super) fn change_in_place(&self, key: &TableKey, rule: Option<Rule>) -> Result<bool, DataplaneError> {
        let slot = self.active()?;
        let [exact4, exact6, prefix4, prefix6, ..] = self.open(slot, &self.head(slot)?)?;
        if rule.is_some() {
            self.filter.set(slot, key);
        }
        match key {
            TableKey::Exact4(_) => change::<Exact4>(exact4, key, rule),
            TableKey::Exact6(_) => change::<Exact6>(exact6, key, rule),
            TableKey::Prefix4(..) => change::<Prefix4>(prefix4, key, rule),
            TableKey::Prefix6(..) => change::<Prefix6>(prefix6, key, rule),
            TableKey::Any => Ok(false),
        }
    }

    /// Builds the idle slot and makes it current. No packet may be left that began before the change before this one.
    /// `put` hears how many more rules were put.
    pub(super) fn flip(
        &self,
        in_force: &Content,
        content: &Content,
        definitions: &Definitions,
        put: &mut dyn FnMut(usize),
    ) -> Result<(), DataplaneError> {
        let active = self.active()?;
        let idle = (active + 1) % N_SLOTS;
        let [exact4, exact6, prefix4, prefix6, groups, services] = self.open(active, &self.head(active)?)?;
        let (old, new) = (&in_force.rules, &content.rules);
        let tables = [
            build::<Exact4>(exact4, old, new, definitions, put)?,
            build::<Exact6>(exact6, old, new, definitions, put)?,
            build::<Prefix4>(prefix4, old, new, definitions, put)?,
            build::<Prefix6>(prefix6, old, new, definitions, put)?,
            if in_force.groups == content.groups {
                groups
            } else {
                build_groups(&content.groups, definitions)?
            },
            if in_force.ports == content.ports {
                services
            } else {
                services::build(&content.ports, &definitions.inner(SERVICES))?
            },
        ];
        let ids = ids(&tables)?;
        self.put_tables(idle, &tables, ids)?;
        self.filter.fill(idle, new);
        let any = new.iter().find(|(key, _)| *key == TableKey::Any);
        let head = PolicyHead {
            any: any.map(|(_, rule)| *rule).unwrap_or_default(),
            features: content.features(),
            zero: 0,
            tables: ids,
        };
        self.put_head(idle, &head)?;
        self.active
            .put(&0, &Active::new(idle, head.features))
            .map_err(|error| DataplaneError::kernel("change the map ACTIVE", error))
    }

    /// Whether both slots hold the same tables: nothing that was replaced is left.
    pub(super) fn is_settled(&self) -> Result<bool, DataplaneError> {
        let active = self.active()?;
        Ok(self.head(active)?.tables == self.head((active + 1) % N_SLOTS)?.tables)
    }

    /// Frees what a flip has replaced. No packet may be left that began before it.
    pub(super) fn settle(&self) -> Result<(), DataplaneError> {
        let active = self.active()?;
        let head = self.head(active)?;
        let tables = self.open(active, &head)?;
        self.put_tables((active + 1) % N_SLOTS, &tables, head.tables)
    }
}

fn ids(tables: &Inner) -> Result<[u32; N_TABLES], DataplaneError> {
    let mut ids = [0; N_TABLES];
    for ((id, table), name) in ids.iter_mut().zip(tables).zip(NAMES) {
        if let Some(table) = table {
            let refused = |error| DataplaneError::kernel(format!("look at a table of {name}"), error);
            *id = bpf::map_info(table.as_fd()).map_err(refused)?.id;
        }
    }
    Ok(ids)
}
