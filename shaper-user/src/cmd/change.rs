//! One change of the policy: under the lock, written ahead, all or nothing.
//!
//! `up` makes a [`Change`], sets the kernel up for [`Change::configured`] and commits that; `down` takes away
//! what there is and [forgets](Change::forget) it. Everything else commits an edited copy of what runs. Whatever is
//! committed is without the rules whose deadline has passed.

mod due;
mod force;

use std::borrow::Cow;
use std::time::Duration;

use force::{facts, put_in_force};

use super::sources::{add_kept, configuration_or_none, policy};
use super::{Context, Failure};
use crate::config::{Config, Source};
use crate::dataplane::{Applied, Dataplane, DataplaneError};
use crate::policy::tables::{Entry, TableKey, Tables};
use crate::policy::{Deadline, Destination, FqNeeds, Policy};
use crate::store::{Brief, Lock, Policies, Running, Trial};

pub(crate) use due::{has_ended, in_time, is_due, now, wall_clock};

/// A change in progress; holds the lock.
#[derive(Debug)]
pub(crate) struct Change {
    lock: Lock,
    policies: Policies,
}

impl Change {
    /// Waits for the lock and finishes what a command that was killed had begun.
    pub(crate) fn begin(context: &Context) -> anyhow::Result<Self> {
        let change = Self::begin_in_trial(context)?;
        if let Some(trial) = change.trial()? {
            return Err(Failure::OnTrial {
                secs: trial.deadline_unix_secs.saturating_sub(now().0),
            }
            .into());
        }
        Ok(change)
    }

    /// As [`begin`](Self::begin), also while a change waits to be confirmed. One that nobody confirmed in time is
    /// taken back.
    pub(crate) fn begin_in_trial(context: &Context) -> anyhow::Result<Self> {
        let lock = Lock::take(&context.paths.run, |text| context.note(text))?;
        let policies = Policies::new(&context.paths);
        policies.sweep(&lock);
        if policies.has_next() {
            finish(&lock, &policies, context)?;
        }
        let change = Self { lock, policies };
        if change
            .trial()?
            .is_some_and(|trial| is_due(trial.deadline_unix_secs))
        {
            change.take_back(context)?;
        }
        Ok(change)
    }

    /// As [`begin`](Self::begin), where shaper is up. That it is not is said before anything is made.
    pub(crate) fn begin_up(context: &Context) -> anyhow::Result<(Self, Dataplane)> {
        Dataplane::open(&context.paths)?;
        let change = Self::begin(context)?;
        Ok((change, Dataplane::open(&context.paths)?))
    }

    /// Waits for the lock, to end what runs: a change that was begun is not finished, however damaged it is.
    pub(crate) fn begin_to_end(context: &Context) -> anyhow::Result<Self> {
        let lock = Lock::take(&context.paths.run, |text| context.note(text))?;
        Ok(Self {
            lock,
            policies: Policies::new(&context.paths),
        })
    }

    /// What runs. If our files were swept away while the kernel went on, what should run.
    pub(crate) fn running(&self, context: &Context) -> anyhow::Result<Running> {
        let running = self.policies.running()?;
        running.map_or_else(|| self.configured(context), Ok)
    }

    /// What runs, without the rules of the configuration; `None` if our files were swept away.
    pub(crate) fn brief(&self) -> anyhow::Result<Option<Brief>> {
        Ok(self.policies.brief()?)
    }

    /// What runs, of the rules of the configuration only those whose destination `is_meant`; `None` as for
    /// [`brief`](Self::brief).
    pub(crate) fn part(&self, is_meant: &dyn Fn(Destination) -> bool) -> anyhow::Result<Option<Brief>> {
        Ok(self.policies.part(is_meant)?)
    }

    /// What should run by the configuration and what `shaper set` and `shaper exempt` made.
    pub(crate) fn configured(&self, context: &Context) -> anyhow::Result<Running> {
        let mut next = configuration_or_none(context)?;
        self.add_ours(&mut next)?;
        Ok(next)
    }

    /// Adds the rules of `shaper set`, temporary ones included, and the prefixes of `shaper exempt`.
    pub(crate) fn add_ours(&self, next: &mut Config) -> anyhow::Result<()> {
        add_kept(next, &self.policies)?;
        if let Some(brief) = self.policies.brief()? {
            next.rules
                .extend(brief.running.rules_of(Source::Temporary).cloned());
        }
        Ok(())
    }

    /// Makes `next` what runs, in the kernel and in the files, and keeps it so across reboots.
    pub(crate) fn commit(
        &self,
        dataplane: &Dataplane,
        next: &Running,
        context: &Context,
    ) -> anyhow::Result<Applied> {
        let now = now();
        let has_ended = next.rules.iter().any(|rule| has_ended(rule, now));
        let next = &*if has_ended {
            Cow::Owned(in_time(next.clone()))
        } else {
            Cow::Borrowed(next)
        };
        self.commit_policy(dataplane, next, &policy(next)?, context)
    }

    /// As [`commit`](Self::commit), where it is known what policy `next` is, and that no deadline in it has passed.
    pub(crate) fn commit_policy(
        &self,
        dataplane: &Dataplane,
        next: &Running,
        policy: &Policy,
        context: &Context,
    ) -> anyhow::Result<Applied> {
        let tables = Tables::from(policy);
        let needs = FqNeeds::from(&tables);
        let announced = self.policies.announce(&self.lock, next, facts(next, &needs));
        let put = announced
            .map_err(anyhow::Error::from)
            .and_then(|()| Ok(put_in_force(dataplane, &tables, &needs, context)?));
        let applied = put.map_err(|error| self.give_up(error))?;
        self.settle(next, dataplane, context)?;
        Ok(applied)
    }

    /// Makes `next` what runs, which differs from what does by `entry` alone. `false` if the kernel's tables cannot take
    /// it as they are; then nothing was changed.
    pub(crate) fn commit_one(
        &self,
        dataplane: &Dataplane,
        next: &Brief,
        entry: Option<(&TableKey, Option<&Entry>)>,
        needs: &FqNeeds,
        context: &Context,
    ) -> anyhow::Result<bool> {
        let announced = self.policies.announce_brief(&self.lock, next);
        let put = |(key, entry): (&TableKey, Option<&Entry>)| {
            dataplane.make_room(needs)?;
            Ok(match entry {
                Some(entry) => dataplane.change_one(key, entry)?,
                None => dataplane.remove_one(key)?,
            })
        };
        let put = announced
            .map_err(anyhow::Error::from)
            .and_then(|()| entry.map_or(Ok(true), put));
        let is_put = put.map_err(|error| self.give_up(error))?;
        if is_put {
            self.settle(&next.running, dataplane, context)?;
        } else {
            // If that fails: whoever called us announces the same again.
            let _ = self.policies.abandon(&self.lock);
        }
        Ok(is_put)
    }

    /// After a change that the kernel did not take.
    fn give_up(&self, error: anyhow::Error) -> anyhow::Error {
        said_with(error, self.policies.abandon(&self.lock))
    }

    /// Writes down what the kernel took. If that cannot be, what ran before runs again.
    fn settle(&self, next: &Running, dataplane: &Dataplane, context: &Context) -> anyhow::Result<()> {
        let settled = self.policies.settle(&self.lock, next);
        settled.map_err(|error| said_with(error.into(), self.put_back(dataplane, context)))
    }

    fn put_back(&self, dataplane: &Dataplane, context: &Context) -> anyhow::Result<()> {
        let before = self.running(context)?;
        let tables = Tables::from(&policy(&before)?);
        put_in_force(dataplane, &tables, &FqNeeds::from(&tables), context)?;
        Ok(self.policies.unsettle(&self.lock, &before)?)
    }

    /// As [`commit`](Self::commit), to be taken back after `time` unless somebody confirms it.
    pub(crate) fn commit_on_trial(
        &self,
        dataplane: &Dataplane,
        next: &Running,
        time: Duration,
        context: &Context,
    ) -> anyhow::Result<Applied> {
        let trial = Trial {
            deadline_unix_secs: Deadline::after(wall_clock(), time).0,
            before: self.running(context)?,
        };
        let begun = self.policies.begin_trial(&self.lock, &trial);
        let applied = begun
            .map_err(anyhow::Error::from)
            .and_then(|()| self.commit(dataplane, next, context));
        // What the next command finishes stays on trial.
        if applied.is_err() && !self.policies.has_next() {
            // The error that stopped us is the one to report; a trial of what runs already does no harm.
            let _ = self.policies.end_trial(&self.lock);
        }
        applied
    }

    /// The change that waits to be confirmed.
    pub(crate) fn trial(&self) -> anyhow::Result<Option<Trial>> {
        Ok(self.policies.trial()?)
    }

    /// The change on trial stays, across reboots, too.
    pub(crate) fn confirm(&self) -> anyhow::Result<()> {
        if let Some(brief) = self.policies.brief()? {
            self.policies.keep(&self.lock, &brief.running)?;
        }
        Ok(self.policies.end_trial(&self.lock)?)
    }

    /// Puts what ran before the change on trial in force again.
    pub(crate) fn take_back(&self, context: &Context) -> anyhow::Result<()> {
        let Some(trial) = self.trial()? else {
            return Ok(());
        };
        match Dataplane::open(&context.paths) {
            Err(DataplaneError::NotUp) => {}
            opened => {
                self.commit(&opened?, &trial.before, context)?;
                context.note("the change that nobody confirmed was taken back");
            }
        }
        Ok(self.policies.end_trial(&self.lock)?)
    }

    /// Nothing runs any more; what is kept across reboots stays.
    pub(crate) fn forget(&self) -> anyhow::Result<()> {
        Ok(self.policies.forget(&self.lock)?)
    }
}

/// The error that stopped a change, and what became of what had been done by then.
fn said_with<E: Into<anyhow::Error>>(error: anyhow::Error, undone: Result<(), E>) -> anyhow::Error {
    match undone.map_err(Into::into) {
        Ok(()) => error.context("nothing was changed"),
        Err(second) => error.context(format!(
            "the change was cut short and could not be taken back ({second:#}); the next command finishes it"
        )),
    }
}

/// Finishes a change that was announced, or takes it back where that cannot be.
fn finish(lock: &Lock, policies: &Policies, context: &Context) -> anyhow::Result<()> {
    let dataplane = match Dataplane::open(&context.paths) {
        // Nothing is in force that the change could have been made to.
        Err(DataplaneError::NotUp) => return Ok(policies.abandon(lock)?),
        opened => opened?,
    };
    let Some(next) = policies.next()? else {
        return Ok(());
    };
    let applied = policy(&next).and_then(|policy| {
        let tables = Tables::from(&policy);
        Ok(put_in_force(
            &dataplane,
            &tables,
            &FqNeeds::from(&tables),
            context,
        )?)
    });
    match applied {
        Ok(_) => {
            context.detail("finished a change that an earlier command had begun");
            Ok(policies.settle(lock, &next)?)
        }
        Err(error) => {
            context.note(format_args!(
                "took back a change that an earlier command had begun: {error:#}"
            ));
            Ok(policies.abandon(lock)?)
        }
    }
}

/// What runs, without changing it, but for what is due: a change that a killed command had begun is finished, and one
/// that nobody confirmed in time is taken back.
pub(crate) fn running(context: &Context) -> anyhow::Result<Running> {
    let policies = Policies::new(&context.paths);
    let is_due_now = || -> anyhow::Result<bool> {
        let trial = policies.trial()?;
        Ok(trial.is_some_and(|trial| is_due(trial.deadline_unix_secs)))
    };
    if policies.has_next() || is_due_now()? {
        return Change::begin_in_trial(context)?.running(context);
    }
    let Some(running) = policies.running()? else {
        let mut configured = configuration_or_none(context)?;
        add_kept(&mut configured, &policies)?;
        return Ok(in_time(configured));
    };
    Ok(running)
}
