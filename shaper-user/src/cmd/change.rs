//! One change of the policy: under the lock, written ahead, all or nothing.
//!
//! `up` makes a [`Change`], sets the kernel up for [`Change::configured`] and commits that; `down` takes away
//! what there is and [forgets](Change::forget) it. Everything else commits an edited copy of what runs.

use anyhow::Context as _;

use super::Context;
use super::sources::{configuration_or_none, policy};
use crate::config::{RuleConfig, Source};
use crate::dataplane::{Applied, Dataplane, DataplaneError};
use crate::policy::Policy;
use crate::policy::tables::Tables;
use crate::store::{Lock, Policies, Running};

/// A change in progress; holds the lock.
#[derive(Debug)]
pub(crate) struct Change {
    lock: Lock,
    policies: Policies,
    running: Option<Running>,
}

impl Change {
    /// Waits for the lock and finishes what a command that was killed had begun.
    pub(crate) fn begin(context: &Context) -> anyhow::Result<Self> {
        let lock = Lock::take(&context.paths.run, |text| context.note(text))?;
        let policies = Policies::new(&context.paths);
        if policies.has_next() {
            finish(&lock, &policies, context)?;
        }
        let running = policies.running()?;
        Ok(Self {
            lock,
            policies,
            running,
        })
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
            running: None,
        })
    }

    /// What runs. If our files were swept away while the kernel went on, what should run.
    pub(crate) fn running(&self, context: &Context) -> anyhow::Result<Running> {
        self.running.clone().map_or_else(|| self.configured(context), Ok)
    }

    /// What should run by the configuration and the rules of `shaper set`.
    pub(crate) fn configured(&self, context: &Context) -> anyhow::Result<Running> {
        let mut next = configuration_or_none(context)?;
        next.rules.extend(self.set_rules()?);
        Ok(next)
    }

    /// The rules of `shaper set`, temporary ones included.
    pub(crate) fn set_rules(&self) -> anyhow::Result<Vec<RuleConfig>> {
        let mut rules = self.policies.kept_rules()?;
        let running = self.running.iter();
        rules.extend(
            running
                .flat_map(|running| running.rules_of(Source::Temporary))
                .cloned(),
        );
        Ok(rules)
    }

    /// Makes `next` what runs, in the kernel and in the files, and keeps it so across reboots.
    pub(crate) fn commit(&self, dataplane: &Dataplane, next: &Running) -> anyhow::Result<Applied> {
        let policy = policy(next)?;
        self.policies.announce(&self.lock, next)?;
        match put_in_force(dataplane, &policy) {
            Ok(applied) => {
                self.policies.settle(&self.lock, next)?;
                Ok(applied)
            }
            Err(error) => {
                self.policies.abandon(&self.lock)?;
                Err(error).context("nothing was changed")
            }
        }
    }

    /// Nothing runs any more; what is kept across reboots stays.
    pub(crate) fn forget(&self) -> anyhow::Result<()> {
        Ok(self.policies.forget(&self.lock)?)
    }
}

/// Room first: fq must not drop what a faster rule lets through.
fn put_in_force(dataplane: &Dataplane, policy: &Policy) -> Result<Applied, DataplaneError> {
    dataplane.make_room(&policy.fq_needs())?;
    dataplane.apply(&Tables::from(policy))
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
    let applied = policy(&next).and_then(|policy| Ok(put_in_force(&dataplane, &policy)?));
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

/// What runs, without changing it; finishes what a command that was killed had begun.
pub(crate) fn running(context: &Context) -> anyhow::Result<Running> {
    let policies = Policies::new(&context.paths);
    if policies.has_next() {
        return Change::begin(context)?.running(context);
    }
    let Some(running) = policies.running()? else {
        let mut configured = configuration_or_none(context)?;
        configured.rules.extend(policies.kept_rules()?);
        return Ok(configured);
    };
    Ok(running)
}
