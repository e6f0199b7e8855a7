//! The way of a packet.

use aya_ebpf::{
    bindings::{__sk_buff, TC_ACT_SHOT, TC_ACT_UNSPEC},
    macros::classifier,
    programs::TcContext,
};
use shaper_common::{
    header::ETH_HEADER_LEN,
    outcome::{Outcome, is_dropped},
    rule::{Rule, feature, kind},
};

use crate::{
    charge::{Charged, NO_OTHERS, Others},
    classify::{EVERY_SERVICE, glance, rule},
    clients, control, count,
    destination::{self, Found, Protocol, direct},
    family::{Address, Family, V4, V6},
    limit::limit,
    maps,
    policy::Policy,
    service, shared,
    skb::{Linear, Skb},
    stored::lend,
    wire,
};

/// Lets the next program on the hook see the packet too: `TC_ACT_OK` would end the chain.
const PASS: i32 = TC_ACT_UNSPEC;

/// Returned for a packet that must not be sent.
const DROP: i32 = TC_ACT_SHOT;

/// Finds the destination, its rule and the rule's buckets; asks when the packet may leave; acts on the answer.
#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "the macro calls it so")]
pub fn shaper_egress(ctx: TcContext) -> i32 {
    let outcome = index(decide(Skb::of(&ctx)));
    count::total_at(outcome);
    if is_dropped(outcome) { DROP } else { PASS }
}

/// What became of the packet, as an index; an error is why nothing did.
#[inline(always)]
fn decide(skb: Skb) -> Result<u32, Outcome> {
    let policy = Policy::in_force()?;
    match destination::protocol(skb) {
        Protocol::V4 => {
            if let Some((address, header)) = direct::<V4>(skb) {
                return near(skb, policy, address, header);
            }
        }
        Protocol::V6 => {
            if let Some((address, header)) = direct::<V6>(skb) {
                return near(skb, policy, address, header);
            }
        }
        Protocol::Tagged => {}
        Protocol::Other => return Err(Outcome::NotIp),
    }
    Ok(far(skb, policy))
}

/// The way of a packet whose IP header stands where most do.
#[inline(always)]
fn near<T: Family>(skb: Skb, policy: Policy, address: T, header: Linear) -> Result<u32, Outcome> {
    let may_be_exact = glance(address, policy)?;
    let service = if policy.has(feature::SERVICES) {
        // SAFETY: a base header and four bytes more are there.
        let port = unsafe { T::near_port(header) };
        service::of(skb, policy, port, ETH_HEADER_LEN)
    } else {
        EVERY_SERVICE
    };
    let rule = rule(address, policy, service, may_be_exact)?;
    // SAFETY: as above.
    if unsafe { T::is_control(header) } {
        return Err(Outcome::NeverLimited);
    }
    if rule.kind != kind::LIMITED || rule.group != 0 || T::has_clients(rule) || shared::applies(skb, rule) {
        return Ok(special(skb, policy, rule, address));
    }
    let own = Charged {
        limit: &rule.limit,
        bucket: maps::bucket(rule.bucket).ok_or(Outcome::NoBucket)?,
    };
    Ok(limit(skb, own, NO_OTHERS, wire::len(skb)) as u32)
}

/// The way of all others.
#[inline(always)]
fn far(skb: Skb, policy: Policy) -> u32 {
    let (skb, policy) = (skb.raw(), policy.raw());
    lend(&Found::default(), |found| {
        match destination::shaper_search(skb, found) {
            destination::FOUND_V4 => shaper_far4(skb, policy, found),
            destination::FOUND_V6 => shaper_far6(skb, policy, found),
            destination::NOT_IP => Outcome::NotIp as u32,
            _ => Outcome::Unparsable as u32,
        }
    })
}

/// Visible from outside, as is what follows: the kernel verifies it once, and not for each way to it.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text")]
#[inline(never)]
extern "C" fn shaper_far4(skb: *mut __sk_buff, policy: u32, found: *const Found) -> u32 {
    far_of(skb, policy, found, |words| V4(words[0]))
}

#[unsafe(no_mangle)]
#[unsafe(link_section = ".text")]
#[inline(never)]
extern "C" fn shaper_far6(skb: *mut __sk_buff, policy: u32, found: *const Found) -> u32 {
    far_of(skb, policy, found, V6)
}

#[inline(always)]
fn far_of<T: Family>(
    skb: *mut __sk_buff,
    policy: u32,
    found: *const Found,
    address: impl FnOnce([u32; 4]) -> T,
) -> u32 {
    // SAFETY: null, or what the caller lends.
    let Some(&Found { words, offset }) = (unsafe { found.as_ref() }) else {
        return Outcome::Unparsable as u32;
    };
    let (skb, policy) = (Skb::from_raw(skb), Policy::from_raw(policy));
    index(limit_far(skb, policy, address(words), offset))
}

#[inline(always)]
fn limit_far<T: Family>(skb: Skb, policy: Policy, address: T, offset: u32) -> Result<u32, Outcome> {
    let may_be_exact = glance(address, policy)?;
    let service = if policy.has(feature::SERVICES) {
        service::of(skb, policy, None, offset)
    } else {
        EVERY_SERVICE
    };
    let rule = rule(address, policy, service, may_be_exact)?;
    if control::is_control(skb, offset) {
        return Err(Outcome::NeverLimited);
    }
    Ok(special(skb, policy, rule, address))
}

#[inline(always)]
fn special<T: Family>(skb: Skb, policy: Policy, rule: &Rule, address: T) -> u32 {
    lend(&address.address(), |address| {
        shaper_special(skb.raw(), policy.raw(), rule, address)
    })
}

/// Whatever a rule can ask for: blocking, a bucket for each client, a group, few packets in shared buffers.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text")]
#[inline(never)]
extern "C" fn shaper_special(
    skb: *mut __sk_buff,
    policy: u32,
    rule: *const Rule,
    address: *const Address,
) -> u32 {
    if rule.is_null() || address.is_null() {
        return Outcome::Unlimited as u32;
    }
    // SAFETY: not null, and the caller's for as long as this runs.
    let (rule, address) = unsafe { (&*rule, &*address) };
    index(limit_specially(
        Skb::from_raw(skb),
        Policy::from_raw(policy),
        rule,
        address,
    ))
}

#[inline(always)]
fn limit_specially(skb: Skb, policy: Policy, rule: &Rule, address: &Address) -> Result<u32, Outcome> {
    if rule.kind == kind::BLOCKED {
        if let Some(bucket) = maps::bucket(rule.bucket) {
            count::dropped(bucket);
        }
        return Err(Outcome::Blocked);
    }
    let wire_len = wire::len(skb);
    let own = Charged {
        limit: &rule.limit,
        bucket: clients::bucket(rule, address).ok_or(Outcome::NoBucket)?,
    };
    let max_shared = if shared::applies(skb, rule) {
        rule.shared_packets
    } else {
        0
    };
    if let Some(group) = policy.group(rule.group)
        && let Some(bucket) = maps::bucket(group.bucket)
    {
        let limit_of_group = Charged {
            limit: &group.limit,
            bucket,
        };
        let others = Others {
            group: Some(limit_of_group),
            max_shared,
        };
        return Ok(limit(skb, own, others, wire_len) as u32);
    }
    let others = Others {
        group: None,
        max_shared,
    };
    Ok(limit(skb, own, others, wire_len) as u32)
}

#[inline(always)]
fn index(outcome: Result<u32, Outcome>) -> u32 {
    outcome.unwrap_or_else(|outcome| outcome as u32)
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The linker removes this: the verifier accepts no program that can get here.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
