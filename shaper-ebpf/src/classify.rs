//! From a destination to its rule: exact, then the longest prefix, then the rule for all the rest. At each length a rule
//! for the packet's service comes first.

use core::ptr;

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
            && let Some(rule) = shared(address.exact(slot, service))
        {
            return unless_exempt(rule);
        }
        if let Some(rule) = shared(address.exact(slot, EVERY_SERVICE)) {
            return unless_exempt(rule);
        }
    }
    if !policy.has(prefix | feature::ANY) {
        return Err(Outcome::Unlimited);
    }
    if address.is_never_limited() {
        return Err(Outcome::NeverLimited);
    }
    // Pointers, null for none: half of an option may be undefined, and loaders without CAP_PERFMON may not read that.
    let mut for_service = ptr::null();
    let mut for_all = ptr::null();
    if policy.has(prefix) {
        for_all = address.prefix(slot, EVERY_SERVICE);
        if service != EVERY_SERVICE {
            for_service = address.prefix(slot, service);
        }
    }
    if for_all.is_null() {
        for_all = any(policy);
    }
    match (shared(for_service), shared(for_all)) {
        (Some(for_service), Some(for_all)) => unless_exempt(joint::longer(for_service, for_all)),
        (Some(rule), None) | (None, Some(rule)) => unless_exempt(rule),
        (None, None) => Err(Outcome::Unlimited),
    }
}

/// The rule for all the rest, which is like one for a prefix of no length.
#[inline(always)]
fn any(policy: Policy) -> *const Rule {
    if !policy.has(feature::ANY) {
        return ptr::null();
    }
    policy.head().map_or(ptr::null(), |head| &raw const head.any)
}

#[inline(always)]
fn shared(rule: *const Rule) -> Option<&'static Rule> {
    // SAFETY: null or a map's value; the loader replaces whole maps, or one rule by another in one step, and waits
    // for running programs before the old one's memory is used again.
    unsafe { rule.as_ref() }
}

#[inline(always)]
fn unless_exempt(rule: &'static Rule) -> Result<&'static Rule, Outcome> {
    if rule.kind == kind::EXEMPT {
        return Err(Outcome::Exempt);
    }
    Ok(rule)
}
