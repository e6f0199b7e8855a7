//! From a destination to its rule: exact, then the longest prefix, then the rule for all the rest. At each length a rule
//! for the packet's service comes first.

use core::mem;

use aya_ebpf::btf_maps::lpm_trie::Key;
use shaper_common::{
    filter, header, joint,
    outcome::Outcome,
    rule::{
        Key4, Key6, PREFIX4_FIXED_BITS, PREFIX6_FIXED_BITS, PrefixData4, PrefixData6, Rule, feature, kind,
    },
};

use crate::{
    destination::Destination,
    inner::Lookup as _,
    maps::{EXACT4, EXACT6, PREFIX4, PREFIX6},
    policy::Policy,
    service,
    skb::Skb,
};

/// Service number of rules that cover every service.
const EVERY_SERVICE: u32 = 0;

/// The tables of one address family.
pub(crate) trait Tables: Copy {
    /// Of the tables: exact destinations, then prefixes.
    const FEATURES: [u32; 2];

    /// Number of its bit in the filter.
    fn bit(self) -> u32;

    /// Whether only an exact rule can limit it.
    fn is_never_limited(self) -> bool;

    /// The rule for exactly this destination.
    fn exact(self, slot: u32, service: u32) -> Option<*mut Rule>;

    /// The rule for the longest prefix it is in.
    fn prefix(self, slot: u32, service: u32) -> Option<*mut Rule>;
}

/// An IPv4 address, as the word its bytes make in memory.
#[derive(Clone, Copy)]
pub(crate) struct V4(pub(crate) u32);

/// An IPv6 address, as the words its bytes make in memory.
#[derive(Clone, Copy)]
pub(crate) struct V6(pub(crate) [u32; 4]);

impl Tables for V4 {
    const FEATURES: [u32; 2] = [feature::EXACT4, feature::PREFIX4];

    #[inline(always)]
    fn bit(self) -> u32 {
        filter::bit4(self.0)
    }

    #[inline(always)]
    fn is_never_limited(self) -> bool {
        header::is_never_limited_v4(self.0.to_ne_bytes())
    }

    #[inline(always)]
    fn exact(self, slot: u32, service: u32) -> Option<*mut Rule> {
        EXACT4.get(slot)?.lookup(&key4(service, self.0))
    }

    #[inline(always)]
    fn prefix(self, slot: u32, service: u32) -> Option<*mut Rule> {
        let key = Key::<PrefixData4>::new(PREFIX4_FIXED_BITS + 32, key4(service, self.0));
        PREFIX4.get(slot)?.lookup(&key)
    }
}

impl Tables for V6 {
    const FEATURES: [u32; 2] = [feature::EXACT6, feature::PREFIX6];

    #[inline(always)]
    fn bit(self) -> u32 {
        filter::bit6(self.0)
    }

    #[inline(always)]
    fn is_never_limited(self) -> bool {
        header::is_never_limited_v6(self.0)
    }

    #[inline(always)]
    fn exact(self, slot: u32, service: u32) -> Option<*mut Rule> {
        let address = self.0;
        EXACT6.get(slot)?.lookup(&Key6 { service, address })
    }

    #[inline(always)]
    fn prefix(self, slot: u32, service: u32) -> Option<*mut Rule> {
        let data = PrefixData6 {
            zero: 0,
            service,
            address: self.0,
        };
        PREFIX6
            .get(slot)?
            .lookup(&Key::new(PREFIX6_FIXED_BITS + 128, data))
    }
}

/// Whether there may be an exact rule for an address; an error if there is no rule at all that could cover it.
///
/// Most packets of a busy server end here, so it comes before all that only the others need.
#[inline(always)]
pub(crate) fn glance<T: Tables>(address: T, policy: Policy) -> Result<bool, Outcome> {
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
pub(crate) fn rule(skb: Skb, destination: &Destination, policy: Policy) -> Result<&'static Rule, Outcome> {
    if destination.is_v4 {
        of(V4(destination.words[0]), skb, destination, policy)
    } else {
        of(V6(destination.words), skb, destination, policy)
    }
}

#[inline(always)]
fn of<T: Tables>(
    address: T,
    skb: Skb,
    destination: &Destination,
    policy: Policy,
) -> Result<&'static Rule, Outcome> {
    let [_, prefix] = T::FEATURES;
    let may_be_other = policy.has(prefix | feature::ANY);
    let slot = policy.slot();
    let service = service::of(skb, destination, policy);
    if destination.may_be_exact {
        if service != EVERY_SERVICE
            && let Some(rule) = address.exact(slot, service)
        {
            return unless_exempt(shared(rule));
        }
        if let Some(rule) = address.exact(slot, EVERY_SERVICE) {
            return unless_exempt(shared(rule));
        }
    }
    if !may_be_other {
        return Err(Outcome::Unlimited);
    }
    if address.is_never_limited() {
        return Err(Outcome::NeverLimited);
    }
    let mut for_service = None;
    let mut for_all = None;
    if policy.has(prefix) {
        for_all = address.prefix(slot, EVERY_SERVICE);
        if service != EVERY_SERVICE {
            for_service = address.prefix(slot, service);
        }
    }
    match (
        for_service.map(shared),
        for_all.map(shared).or_else(|| any(policy)),
    ) {
        (Some(for_service), Some(for_all)) => unless_exempt(joint::longer(for_service, for_all)),
        (Some(rule), None) | (None, Some(rule)) => unless_exempt(rule),
        (None, None) => Err(Outcome::Unlimited),
    }
}

/// Made of words: built of bytes, it would be stored byte by byte.
#[inline(always)]
fn key4(service: u32, word: u32) -> Key4 {
    // SAFETY: `repr(C)`, a word and four bytes; every bit pattern is valid.
    unsafe { mem::transmute([service, word]) }
}

/// The rule for all the rest, which is like one for a prefix of no length.
#[inline(always)]
fn any(policy: Policy) -> Option<&'static Rule> {
    if !policy.has(feature::ANY) {
        return None;
    }
    Some(&policy.head()?.any)
}

#[inline(always)]
fn shared(rule: *mut Rule) -> &'static Rule {
    // SAFETY: a map's value; the loader replaces whole maps, or one rule by another in one step, and waits for
    // running programs before the old one's memory is used again.
    unsafe { &*rule }
}

#[inline(always)]
fn unless_exempt(rule: &'static Rule) -> Result<&'static Rule, Outcome> {
    if rule.kind == kind::EXEMPT {
        return Err(Outcome::Exempt);
    }
    Ok(rule)
}
