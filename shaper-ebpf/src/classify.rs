//! From a destination to its rule: exact, then the longest prefix, then the rule for all the rest. At each length a rule
//! for the packet's service comes first.

use shaper_common::{
    joint,
    outcome::Outcome,
    rule::{Rule, feature, kind},
};

use crate::{family::Family, policy::Policy};

/// Service number of rules that cover every service.
pub(crate) const EVERY_SERVICE: u32 = 0;

/// Whether there may be an exact rule for an address; an error if there is no rule at all that could cover it.
///
/// Most packets of a busy server end here, so it comes before all that only the others need.
#[inline(always)]
pub(crate) fn glance<T: Family>(address: T, policy: Policy) -> Result<bool, Outcome> {
    let [exact, prefix] = T::FEATURES;
    if policy.has(exact) && policy.may_hold(address.bit()) {
        return Ok(true);
    }
    if policy.has(prefix | feature::ANY) {
        return Ok(false);
    }
    Err(Outcome::Unlimited)
}

/// The rule that limits or blocks a packet, or why none does.
#[inline(always)]
pub(crate) fn rule<T: Family>(
    address: T,
    policy: Policy,
    service: u32,
    may_be_exact: bool,
) -> Result<&'static Rule, Outcome> {
    let [_, prefix] = T::FEATURES;
    let slot = policy.slot();
    if may_be_exact {
        if service != EVERY_SERVICE
            && let Some(rule) = address.exact(slot, service)
        {
            return unless_exempt(rule);
        }
        if let Some(rule) = address.exact(slot, EVERY_SERVICE) {
            return unless_exempt(rule);
        }
    }
    if !policy.has(prefix | feature::ANY) {
        return Err(Outcome::Unlimited);
    }
    if address.is_never_limited() {
        return Err(Outcome::NeverLimited);
    }
    if service != EVERY_SERVICE
        && policy.has(prefix)
        && let Some(for_service) = address.prefix(slot, service)
    {
        return match for_all(address, policy) {
            Some(for_all) => unless_exempt(joint::longer(for_service, for_all)),
            None => unless_exempt(for_service),
        };
    }
    match for_all(address, policy) {
        Some(rule) => unless_exempt(rule),
        None => Err(Outcome::Unlimited),
    }
}

/// The rule for every service: of the longest prefix, or the one for all the rest, which is like one for a prefix of no
/// length.
#[inline(always)]
fn for_all<T: Family>(address: T, policy: Policy) -> Option<&'static Rule> {
    let [_, prefix] = T::FEATURES;
    if policy.has(prefix)
        && let Some(rule) = address.prefix(policy.slot(), EVERY_SERVICE)
    {
        return Some(rule);
    }
    if !policy.has(feature::ANY) {
        return None;
    }
    policy.head().map(|head| &head.any)
}

#[inline(always)]
fn unless_exempt(rule: &'static Rule) -> Result<&'static Rule, Outcome> {
    if rule.kind == kind::EXEMPT {
        return Err(Outcome::Exempt);
    }
    Ok(rule)
}
