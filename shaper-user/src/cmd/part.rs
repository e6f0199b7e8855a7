//! What runs, as far as some destinations are concerned: a million rules for others need not be read for it.

use super::change::running;
use super::{Context, policy};
use crate::policy::{Destination, Policy};
use crate::store::{Brief, Policies};

/// The policy that runs, with every rule whose destination `is_meant`; the others may be in it or not.
pub(super) fn part_of_policy(
    context: &Context,
    is_meant: &dyn Fn(Destination) -> bool,
) -> anyhow::Result<Policy> {
    let policies = Policies::new(&context.paths);
    // A change that was cut short is finished first, and one on trial may have to be taken back.
    if !policies.has_next()
        && !policies.has_trial()
        && let Some(part) = policies.part(is_meant)?
        && let Some(policy) = policy_of(&part)
    {
        return Ok(policy);
    }
    policy(&running(context)?)
}

/// The policy of a part, which numbers services as the whole does; `None` if it is not valid, as the whole then is not.
pub(super) fn policy_of(part: &Brief) -> Option<Policy> {
    Policy::beside(&part.running, &part.facts.services).ok()
}
