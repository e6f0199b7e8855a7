//! From a destination to its rule: exact, then prefix, then the rule for all the rest; exempt beats all.

use core::mem;

use aya_ebpf::btf_maps::lpm_trie::Key;
use shaper_common::{
    header,
    outcome::Outcome,
    rule::{
        Key4, Key6, PREFIX4_FIXED_BITS, PREFIX6_FIXED_BITS, PolicyHead, PrefixData4, PrefixData6, Rule,
        feature, kind,
    },
};

use crate::{
    inner::Lookup as _,
    maps::{ACTIVE, EXACT4, EXACT6, POLICIES, PREFIX4, PREFIX6},
};

/// Service number of rules that cover every service.
const EVERY_SERVICE: u32 = 0;

/// The rule that limits an IPv4 destination, or why none does. `word` is what its bytes make in memory.
#[inline(always)]
pub(crate) fn v4(word: u32) -> Result<&'static Rule, Outcome> {
    let (slot, head) = policy()?;
    if head.features & feature::EXACT4 != 0 {
        let key = key4(word);
        if let Some(rule) = EXACT4.get(slot).and_then(|exact| exact.lookup(&key)) {
            return unless_exempt(rule);
        }
    }
    if head.features & (feature::PREFIX4 | feature::ANY) == 0 {
        return Err(Outcome::Unlimited);
    }
    if header::is_never_limited_v4(word.to_ne_bytes()) {
        return Err(Outcome::NeverLimited);
    }
    if head.features & feature::PREFIX4 != 0 {
        let key = Key::<PrefixData4>::new(PREFIX4_FIXED_BITS + 32, key4(word));
        if let Some(rule) = PREFIX4.get(slot).and_then(|prefixes| prefixes.lookup(&key)) {
            return unless_exempt(rule);
        }
    }
    any(head)
}

/// The rule that limits an IPv6 destination, or why none does.
#[inline(always)]
pub(crate) fn v6(address: [u32; 4]) -> Result<&'static Rule, Outcome> {
    let (slot, head) = policy()?;
    if head.features & feature::EXACT6 != 0 {
        let key = Key6 {
            service: EVERY_SERVICE,
            address,
        };
        if let Some(rule) = EXACT6.get(slot).and_then(|exact| exact.lookup(&key)) {
            return unless_exempt(rule);
        }
    }
    if head.features & (feature::PREFIX6 | feature::ANY) == 0 {
        return Err(Outcome::Unlimited);
    }
    if header::is_never_limited_v6(address) {
        return Err(Outcome::NeverLimited);
    }
    if head.features & feature::PREFIX6 != 0 {
        let data = PrefixData6 {
            zero: 0,
            service: EVERY_SERVICE,
            address,
        };
        let key = Key::new(PREFIX6_FIXED_BITS + 128, data);
        if let Some(rule) = PREFIX6.get(slot).and_then(|prefixes| prefixes.lookup(&key)) {
            return unless_exempt(rule);
        }
    }
    any(head)
}

/// Made of words: built of bytes, it would be stored byte by byte.
#[inline(always)]
fn key4(word: u32) -> Key4 {
    // SAFETY: `repr(C)`, a word and four bytes; every bit pattern is valid.
    unsafe { mem::transmute([EVERY_SERVICE, word]) }
}

/// The slot in force and its head. The slot is read once: a packet sees one policy, the old or the next.
#[inline(always)]
fn policy() -> Result<(u32, &'static PolicyHead), Outcome> {
    // Both lookups succeed for any slot the loader writes.
    let active = ACTIVE.get_ptr(0).ok_or(Outcome::Unlimited)?;
    // SAFETY: an element of an array map, aligned; volatile because the loader may write it meanwhile.
    let slot = unsafe { active.read_volatile() }.slot();
    let head = POLICIES.get(slot).ok_or(Outcome::Unlimited)?;
    Ok((slot, head))
}

/// The rule for all the rest.
#[inline(always)]
fn any(head: &'static PolicyHead) -> Result<&'static Rule, Outcome> {
    if head.features & feature::ANY == 0 {
        return Err(Outcome::Unlimited);
    }
    unless_exempt(&raw const head.any)
}

#[inline(always)]
fn unless_exempt(rule: *const Rule) -> Result<&'static Rule, Outcome> {
    // SAFETY: a map's value; the loader replaces whole maps, so it neither moves nor changes under a packet.
    let rule = unsafe { &*rule };
    if rule.kind == kind::EXEMPT {
        return Err(Outcome::Exempt);
    }
    Ok(rule)
}
