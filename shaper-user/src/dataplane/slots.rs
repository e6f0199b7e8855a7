//! The two policy slots: reading the one in force, building the other, and making it current with one write.
//!
//! A slot's tables are maps of their own behind maps of maps. They are pinned too, because the kernel tells only
//! their ids and opening a map by its id needs more privilege than shaper has. Once a policy is in force both slots
//! hold the same tables, so the replaced ones are freed; that both agree also says that every program that ran with
//! the replaced policy has finished.

use std::os::fd::OwnedFd;

use shaper_common::rule::{Active, N_SLOTS, PolicyHead, Rule, feature};

use super::batch;
use super::bpf;
use super::buckets::Buckets;
use super::error::DataplaneError;
use super::maps::{Map, difference, typed};
use super::pins::Pins;
use super::place::Place;
use super::plan::{Plan, Rules};
use super::program::Definitions;
use super::tables::{Exact4, Exact6, Prefix4, Prefix6, Table, features};
use crate::policy::tables::TableKey;

/// The maps that make up the slots.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) active: Map<u32, Active>,
    pub(super) policies: Map<u32, PolicyHead>,
    pub(super) exact4: Map<u32, u32>,
    pub(super) exact6: Map<u32, u32>,
    pub(super) prefix4: Map<u32, u32>,
    pub(super) prefix6: Map<u32, u32>,
    pub(super) pins: Pins,
}

/// The tables of a slot; `None` where there are no rules.
#[derive(Debug, Default)]
struct Inner {
    tables: [Option<OwnedFd>; 4],
}

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

    fn places(&self, slot: u32) -> [Place<'_>; 4] {
        let place = |outer, name| Place {
            outer,
            name,
            slot,
            pins: &self.pins,
        };
        [
            place(&self.exact4, Exact4::NAME),
            place(&self.exact6, Exact6::NAME),
            place(&self.prefix4, Prefix4::NAME),
            place(&self.prefix6, Prefix6::NAME),
        ]
    }

    fn ids(&self, slot: u32) -> Result<[Option<u32>; 4], DataplaneError> {
        let mut ids = [None; 4];
        for (id, place) in ids.iter_mut().zip(self.places(slot)) {
            *id = place.id()?;
        }
        Ok(ids)
    }

    fn open(&self, slot: u32) -> Result<Inner, DataplaneError> {
        let mut inner = Inner::default();
        for (table, place) in inner.tables.iter_mut().zip(self.places(slot)) {
            *table = place.open()?;
        }
        Ok(inner)
    }

    fn head(&self, slot: u32) -> Result<PolicyHead, DataplaneError> {
        let head = self
            .policies
            .get(&slot)
            .map_err(|error| DataplaneError::kernel("read the map POLICIES", error))?;
        Ok(head.unwrap_or_default())
    }

    /// The rules in force, in ascending order.
    ///
    /// Takes no lock: begins again if a change of policy came in between.
    pub(super) fn rules(&self) -> Result<Rules, DataplaneError> {
        for _ in 0..20 {
            let slot = self.active()?;
            let ids = self.ids(slot)?;
            let rules = self.read(slot);
            if self.active()? == slot && self.ids(slot)? == ids {
                return rules;
            }
        }
        Err(DataplaneError::Busy)
    }

    fn read(&self, slot: u32) -> Result<Rules, DataplaneError> {
        let head = self.head(slot)?;
        let [exact4, exact6, prefix4, prefix6] = self.open(slot)?.tables;
        let mut rules = Rules::new();
        read_table::<Exact4>(&head, exact4, &mut rules)?;
        read_table::<Exact6>(&head, exact6, &mut rules)?;
        read_table::<Prefix4>(&head, prefix4, &mut rules)?;
        read_table::<Prefix6>(&head, prefix6, &mut rules)?;
        if head.features & feature::ANY != 0 {
            rules.push((TableKey::Any, head.any));
        }
        rules.sort_by_key(|(key, _)| *key);
        // A table that changes while it is read may give an entry twice.
        rules.dedup_by_key(|(key, _)| *key);
        Ok(rules)
    }

    /// Puts `plan.rules` in force, of which `in_force` are there. Must be called under the lock.
    pub(super) fn apply(
        &self,
        in_force: &[(TableKey, Rule)],
        plan: &Plan,
        buckets: &Buckets,
        definitions: &Definitions,
    ) -> Result<(), DataplaneError> {
        buckets.reset(&plan.fresh_buckets)?;
        if let Some((key, rule)) = plan.only
            && self.change_in_place(&key, rule, in_force, &plan.rules)?
        {
            // Whoever still reads the replaced rule has finished before its memory or its bucket is used again.
            return buckets.wait_for_running_programs();
        }
        self.flip(in_force, &plan.rules, buckets, definitions)
    }

    /// Changes one entry of the slot in force; for packets that is one step. `false` if it cannot be done so.
    fn change_in_place(
        &self,
        key: &TableKey,
        rule: Option<Rule>,
        in_force: &[(TableKey, Rule)],
        rules: &[(TableKey, Rule)],
    ) -> Result<bool, DataplaneError> {
        if features(in_force) != features(rules) {
            return Ok(false);
        }
        let [exact4, exact6, prefix4, prefix6] = self.open(self.active()?)?.tables;
        match key {
            TableKey::Exact4(_) => change::<Exact4>(exact4, key, rule, rules),
            TableKey::Exact6(_) => change::<Exact6>(exact6, key, rule, rules),
            TableKey::Prefix4(..) => change::<Prefix4>(prefix4, key, rule, rules),
            TableKey::Prefix6(..) => change::<Prefix6>(prefix6, key, rule, rules),
            TableKey::Any => Ok(false),
        }
    }

    /// Builds the idle slot and makes it current.
    fn flip(
        &self,
        in_force: &[(TableKey, Rule)],
        rules: &[(TableKey, Rule)],
        buckets: &Buckets,
        definitions: &Definitions,
    ) -> Result<(), DataplaneError> {
        let active = self.active()?;
        let idle = (active + 1) % N_SLOTS;
        if self.ids(active)? != self.ids(idle)? {
            // A change was cut short: programs may still run with what is idle now.
            buckets.wait_for_running_programs()?;
        }
        let [exact4, exact6, prefix4, prefix6] = self.open(active)?.tables;
        let tables = [
            build::<Exact4>(exact4, in_force, rules, definitions)?,
            build::<Exact6>(exact6, in_force, rules, definitions)?,
            build::<Prefix4>(prefix4, in_force, rules, definitions)?,
            build::<Prefix6>(prefix6, in_force, rules, definitions)?,
        ];
        for (place, table) in self.places(idle).iter().zip(&tables) {
            place.put(table.as_ref())?;
        }
        let any = rules
            .iter()
            .find(|(key, _)| *key == TableKey::Any)
            .map(|(_, rule)| *rule);
        let head = PolicyHead {
            any: any.unwrap_or_default(),
            features: features(rules),
            zero: 0,
        };
        self.policies
            .put(&idle, &head)
            .map_err(|error| DataplaneError::kernel("change the map POLICIES", error))?;
        self.active
            .put(&0, &Active::new(idle, head.features))
            .map_err(|error| DataplaneError::kernel("change the map ACTIVE", error))?;
        // The policy is in force. What follows frees the replaced one, and is done by the next change if it fails.
        buckets.wait_for_running_programs()?;
        for (place, table) in self.places(active).iter().zip(&tables) {
            place.put(table.as_ref())?;
        }
        Ok(())
    }
}

fn read_table<T: Table>(
    head: &PolicyHead,
    table: Option<OwnedFd>,
    rules: &mut Rules,
) -> Result<(), DataplaneError> {
    let Some(table) = table.filter(|_| head.features & T::FEATURE != 0) else {
        return Ok(());
    };
    let map: Map<T::Key, Rule> = typed(table, T::NAME)?;
    let entries = batch::read(&map)
        .map_err(|error| DataplaneError::kernel(format!("read the table {}", T::NAME), error))?;
    rules.extend(entries.iter().map(|(key, rule)| (T::table_key(key), *rule)));
    Ok(())
}

/// The table for `rules`: the one in force if it holds just these, else a new one.
fn build<T: Table>(
    present: Option<OwnedFd>,
    in_force: &[(TableKey, Rule)],
    rules: &[(TableKey, Rule)],
    definitions: &Definitions,
) -> Result<Option<OwnedFd>, DataplaneError> {
    let belongs = |(key, _): &&(TableKey, Rule)| T::kernel_key(key).is_some();
    let entries = T::select(rules);
    if entries.is_empty() {
        return Ok(None);
    }
    if present.is_some() && in_force.iter().filter(belongs).eq(rules.iter().filter(belongs)) {
        return Ok(present);
    }
    let refused = |error| DataplaneError::kernel(format!("fill the table {}", T::NAME), error);
    let mut definition = definitions.inner(T::NAME);
    // Room to grow in place.
    definition.max_entries = u32::try_from(entries.len() + entries.len() / 4 + 64).unwrap_or(u32::MAX);
    let map: Map<T::Key, Rule> = typed(
        bpf::create_map(&definition, T::NAME, None).map_err(refused)?,
        T::NAME,
    )?;
    debug_assert_eq!(difference(map.info(), &definition), None);
    batch::fill(&map, &entries).map_err(refused)?;
    Ok(Some(map.into_fd()))
}

/// Puts, replaces or takes away one entry, if there is room. `rules` are those wanted.
fn change<T: Table>(
    table: Option<OwnedFd>,
    key: &TableKey,
    rule: Option<Rule>,
    rules: &[(TableKey, Rule)],
) -> Result<bool, DataplaneError> {
    let (Some(table), Some(kernel_key)) = (table, T::kernel_key(key)) else {
        return Ok(false);
    };
    let map: Map<T::Key, Rule> = typed(table, T::NAME)?;
    let n_wanted = rules
        .iter()
        .filter(|(key, _)| T::kernel_key(key).is_some())
        .count();
    if n_wanted > map.info().max_entries as usize {
        return Ok(false);
    }
    match rule {
        Some(rule) => map.put(&kernel_key, &rule),
        None => map.delete(&kernel_key),
    }
    .map_err(|error| DataplaneError::kernel(format!("change the table {}", T::NAME), error))?;
    Ok(true)
}
