//! The way of a packet.

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    macros::classifier,
    programs::TcContext,
};
use aya_log_ebpf::debug;
use shaper_common::{bucket::Bucket, outcome::Outcome, pacing::Verdict, rule::kind};

use crate::{
    charge::{self, Charged},
    classify, clients, clock, control, count, destination, maps,
    policy::Policy,
    skb::Skb,
    stamp, wire,
};

/// Lets the next program on the hook see the packet too: `TC_ACT_OK` would end the chain.
const PASS: i32 = TC_ACT_UNSPEC;

/// Returned for a packet that must not be sent.
const DROP: i32 = TC_ACT_SHOT;

/// Finds the destination, its rule and the rule's buckets; asks when the packet may leave; acts on the answer.
#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "the macro calls it so")]
pub fn shaper_egress(ctx: TcContext) -> i32 {
    let (outcome, action) = match decide(&ctx) {
        Ok(acted) => acted,
        Err(outcome) => (outcome, PASS),
    };
    count::total(outcome);
    action
}

/// What became of the packet; an error is why nothing did.
#[inline(always)]
fn decide(ctx: &TcContext) -> Result<(Outcome, i32), Outcome> {
    let skb = Skb::of(ctx);
    let policy = Policy::in_force()?;
    let destination = destination::of(skb, policy)?;
    let rule = classify::rule(skb, &destination, policy)?;
    if control::is_link_control(skb, destination.is_v4) {
        return Err(Outcome::NeverLimited);
    }
    let wire_len = wire::len(skb);
    if rule.kind == kind::BLOCKED {
        if let Some(bucket) = maps::bucket(rule.bucket) {
            count::dropped(bucket, wire_len);
        }
        return Ok((Outcome::Blocked, DROP));
    }
    let own = Charged {
        limit: &rule.limit,
        bucket: clients::bucket(rule, &destination).ok_or(Outcome::NoBucket)?,
    };
    let group = policy.group(rule.group).and_then(|group| {
        Some(Charged {
            limit: &group.limit,
            bucket: maps::bucket(group.bucket)?,
        })
    });
    Ok(limit(ctx, skb, own, group, wire_len))
}

/// Charges the buckets and acts on the verdict.
#[inline(always)]
fn limit(ctx: &TcContext, skb: Skb, own: Charged, group: Option<Charged>, wire_len: u32) -> (Outcome, i32) {
    let now_ns = clock::now_ns();
    match charge::both(own, group, now_ns, wire_len) {
        Verdict::Paced {
            departure_ns,
            is_marked,
            ..
        } if !charge::is_policing() => {
            debug!(ctx, "{} bytes wait {} ns", wire_len, departure_ns - now_ns);
            // The kernel marks what stands at the network header: behind a tag, that may not be IP.
            let is_marked = is_marked && !destination::is_tagged(skb) && skb.mark_ce();
            for_each(own, group, |bucket| count::paced(bucket, wire_len, is_marked));
            if is_marked {
                count::total(Outcome::Marked);
            }
            stamp::hold_until(skb, departure_ns, now_ns);
            (Outcome::Paced, PASS)
        }
        Verdict::BeyondHorizon => {
            debug!(ctx, "{} bytes dropped", wire_len);
            for_each(own, group, |bucket| count::dropped(bucket, wire_len));
            (Outcome::BeyondHorizon, DROP)
        }
        // Policed, a packet waits in no queue; that it was charged as if is due to CPUs that race.
        Verdict::Conforming { .. } | Verdict::Paced { .. } => {
            for_each(own, group, |bucket| count::sent(bucket, wire_len));
            if !charge::is_policing() {
                stamp::keep_plausible(skb, now_ns);
            }
            (Outcome::Conforming, PASS)
        }
    }
}

/// Counts in both buckets, or in the only one.
#[inline(always)]
fn for_each(own: Charged, group: Option<Charged>, count: impl Fn(*mut Bucket)) {
    count(own.bucket);
    if let Some(group) = group {
        count(group.bucket);
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The linker removes this: the verifier accepts no program that can get here.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
