//! What the monitor does on a thread of its own: each may have to wait for the lock.

use std::time::Duration;

use super::repair::{self, Outcome};
use super::{Change, Context, expire};
use crate::config::RuleConfig;
use crate::dataplane::{self, Dataplane};
use crate::monitor::Repair;

/// A client that has sent nothing for so long needs no bucket of his own.
const IDLE: Duration = Duration::from_mins(5);

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chore {
    /// Attach again.
    Repair(Repair),
    /// Take away the rules whose deadline has passed.
    Expire,
    /// Take away the buckets of clients that are gone.
    Age,
}

/// What has come of it.
#[derive(Debug)]
pub(super) enum Done {
    /// What has become of each interface.
    Repaired(anyhow::Result<Vec<Outcome>>),
    /// Which rules have ended. A look may have missed them by now: it reads only the rules that are left.
    Expired(anyhow::Result<Vec<RuleConfig>>),
    /// Nothing to tell, unless it failed.
    Aged(anyhow::Result<()>),
}

impl Chore {
    /// Does it.
    pub(super) fn carry_out(&self, context: &Context) -> Done {
        match self {
            Self::Repair(repair) => Done::Repaired(repair::carry_out(context, repair)),
            Self::Expire => Done::Expired(expire(context)),
            Self::Age => Done::Aged(age(context)),
        }
    }
}

fn age(context: &Context) -> anyhow::Result<()> {
    let _change = Change::begin_in_trial(context)?;
    let dataplane = Dataplane::open(&context.paths)?;
    dataplane.age_clients(dataplane::monotonic_ns(), IDLE)?;
    Ok(())
}

/// Gives the memory that a chore took back to the kernel. glibc keeps what the thread of a chore has freed, and a little more each time, as
/// what stays lies between what does not; musl, in the packages, does not have such a call.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no address; free memory is nobody's.
    unsafe {
        libc::malloc_trim(0);
    }
}
