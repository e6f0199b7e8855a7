//! Putting tables in force: all at once, or one entry where that is enough.
//!
//! What can fail comes before the one write that makes the change; afterwards nothing is reported as a failure, and what
//! could not be tidied up is tidied up by the next change.

use std::time::Duration;

use shaper_common::pacing::ticks;
use shaper_common::rule::{Rule, feature};

use super::buckets::Chunks;
use super::clients::{Idle, bursts};
use super::content::{self, Content, rule_features};
use super::error::DataplaneError;
use super::owners::Owners;
use super::plan::{Plan, Step, plan};
use super::resize::{self, Successor};
use super::{Applied, Dataplane, monotonic_ns};
use crate::policy::tables::{BucketId, Entry, TableKey, Tables};

/// A client that has been idle for so long makes room, when more than half of the table is taken.
const CROWDED_IDLE: Duration = Duration::from_mins(1);

impl Dataplane {
    /// Puts `tables` in force, all at once. The caller holds the lock.
    ///
    /// # Errors
    ///
    /// Whatever the kernel refuses; what was in force stays so.
    pub fn apply(&self, tables: &Tables) -> Result<Applied, DataplaneError> {
        self.apply_with(tables, &mut |_, _| {})
    }

    /// As [`apply`](Self::apply). `progress` hears now and then how many rules of how many stand in their tables.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn apply_with(
        &self,
        tables: &Tables,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Applied, DataplaneError> {
        let in_force = self.slots.in_force(|slot| self.slots.content(slot))?;
        let mut chunks = self.buckets.chunks()?;
        let mut owners = Owners::new(chunks.owners(), in_force.buckets());
        let plan = plan(&in_force, tables, &mut owners)?;
        if plan.step != Step::Nothing {
            // What the change before this one has replaced may be written over.
            self.buckets.wait_for_running_programs()?;
        }
        let done = self
            .buckets
            .give(&mut chunks, &plan.fresh)
            .and_then(|()| self.put_in_place(&in_force, &plan, tables.max_clients, progress));
        match done {
            Ok(successor) => {
                // Whatever fails here is done by the next change.
                let _ = self.tidy_up(successor, &plan.content, &owners, chunks);
                Ok(plan.applied)
            }
            Err(error) => {
                // The error that stopped us is the one to report.
                let _ = self.undo_preparations(&in_force, &plan, chunks);
                Err(error)
            }
        }
    }

    fn put_in_place(
        &self,
        in_force: &Content,
        plan: &Plan,
        max_clients: u32,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Option<Successor>, DataplaneError> {
        let features = plan.content.features();
        let successor = if features & feature::CLIENTS == 0 {
            None
        } else {
            resize::prepare(&self.clients, max_clients, monotonic_ns())?
        };
        match plan.step {
            Step::Nothing => return Ok(successor),
            Step::One(key, rule) if in_force.features() == features => {
                if self.slots.change_in_place(&key, rule)? {
                    return Ok(successor);
                }
            }
            Step::One(..) | Step::Whole => {}
        }
        let (mut n_put, n_rules) = (0, plan.content.rules.len());
        let mut put = |more| {
            n_put += more;
            progress(n_put, n_rules);
        };
        self.slots
            .flip(in_force, &plan.content, &self.definitions, &mut put)?;
        Ok(successor)
    }

    /// After a change: frees what it has replaced.
    fn tidy_up(
        &self,
        successor: Option<Successor>,
        content: &Content,
        owners: &Owners,
        chunks: Chunks,
    ) -> Result<(), DataplaneError> {
        if let Some(successor) = successor {
            let bursts = bursts(content);
            let idle = Idle {
                now_ticks: ticks(monotonic_ns()),
                least_ticks: 0,
                burst_of: &|rule| bursts.get(&rule).copied(),
            };
            resize::take_over(&self.clients, successor, &chunks, &idle)?;
        }
        let left_over = owners.left_over(content.buckets());
        let is_settled = self.slots.is_settled()?;
        if !is_settled || !left_over.is_empty() {
            self.buckets.wait_for_running_programs()?;
        }
        // In any case: a pin may have been left behind.
        self.slots.settle()?;
        if content.features() & feature::CLIENTS == 0 {
            self.clients.remove()?;
        } else {
            if !left_over.is_empty() {
                self.clients.forget(&left_over)?;
            }
            self.make_room_for_clients(content, &chunks)?;
        }
        for number in &left_over {
            chunks.take_back(*number);
        }
        self.pins.take_drafts_away()?;
        self.buckets.shrink(chunks)
    }

    fn undo_preparations(
        &self,
        in_force: &Content,
        plan: &Plan,
        chunks: Chunks,
    ) -> Result<(), DataplaneError> {
        for (number, owner) in &plan.fresh {
            if chunks.owner(*number) == owner.0 {
                chunks.take_back(*number);
            }
        }
        if in_force.features() & feature::CLIENTS == 0 {
            self.clients.remove()?;
        }
        // The idle slot may have got new tables, but no packet has.
        self.slots.settle()?;
        self.pins.take_drafts_away()?;
        self.buckets.shrink(chunks)
    }

    /// Takes idle clients away if more than half of the table is taken.
    fn make_room_for_clients(&self, content: &Content, chunks: &Chunks) -> Result<(), DataplaneError> {
        match self.clients.read()? {
            Some((found, most)) if found.len() > most as usize / 2 => {
                self.age(content, chunks, monotonic_ns(), CROWDED_IDLE).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Puts one entry in force in place of what stands at `key`, and touches nothing else. The caller holds the lock. A
    /// group is an index into [`Tables::groups`] as they are in force, a service number one of the ports in force.
    ///
    /// `false` if this cannot be done without a whole [`apply`](Self::apply); then nothing was changed.
    ///
    /// # Errors
    ///
    /// Whatever the kernel refuses; what was in force stays so.
    pub fn change_one(&self, key: &TableKey, entry: &Entry) -> Result<bool, DataplaneError> {
        let in_force = self.slots.in_force(|slot| self.slots.rule(slot, key))?;
        let wanted = content::rule(key, entry, 0);
        if !self.has_what_it_takes(key, &wanted)? {
            return Ok(false);
        }
        let mut chunks = self.buckets.chunks()?;
        let Some((number, fresh)) = find_bucket(&chunks, in_force.as_ref(), entry.bucket()) else {
            return Ok(false);
        };
        let rule = Rule {
            bucket: number,
            ..wanted
        };
        if in_force == Some(rule) {
            return Ok(true);
        }
        self.buckets.wait_for_running_programs()?;
        self.buckets.give(&mut chunks, fresh.as_slice())?;
        let done = self.slots.change_in_place(key, Some(rule));
        if let Some((number, _)) = fresh.filter(|_| !matches!(done, Ok(true))) {
            chunks.take_back(number);
        }
        done
    }

    /// Whether packets look where this rule would stand, and find what it refers to.
    fn has_what_it_takes(&self, key: &TableKey, rule: &Rule) -> Result<bool, DataplaneError> {
        let needed = rule_features(key, rule);
        if needed & !self.slots.features()? != 0 {
            return Ok(false);
        }
        if rule.group == 0 {
            return Ok(true);
        }
        let groups = self.slots.in_force(|slot| self.slots.groups(slot))?;
        Ok(rule.group as usize <= groups.len())
    }
}

/// The bucket of `id`: the one it has, or else the first that is nobody's and has to be given to it. `None` if all are
/// somebody's.
fn find_bucket(
    chunks: &Chunks,
    in_force: Option<&Rule>,
    id: Option<BucketId>,
) -> Option<(u32, Option<(u32, BucketId)>)> {
    let Some(id) = id else { return Some((0, None)) };
    if let Some(rule) = in_force.filter(|rule| content::has_bucket(rule))
        && chunks.owner(rule.bucket) == id.0
    {
        return Some((rule.bucket, None));
    }
    let mut free = None;
    for (number, owner) in (0..).zip(chunks.owners()) {
        if owner == id.0 {
            return Some((number, None));
        }
        if owner == 0 && free.is_none() {
            free = Some(number);
        }
    }
    free.map(|number| (number, Some((number, id))))
}
