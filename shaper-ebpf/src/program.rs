//! The way of a packet.

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    macros::classifier,
    programs::TcContext,
};
use aya_log_ebpf::debug;
use shaper_common::{outcome::Outcome, pacing::Verdict, rule::Rule};

use crate::{charge, classify, clock, control, count, destination, maps, skb::Skb, stamp, wire};

/// Lets the next program on the hook see the packet too: `TC_ACT_OK` would end the chain.
const PASS: i32 = TC_ACT_UNSPEC;

/// Returned for a packet that must not be sent.
const DROP: i32 = TC_ACT_SHOT;

/// Finds the destination, its rule and the rule's bucket; asks when the packet may leave; acts on the answer.
#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "the macro calls it so")]
pub fn shaper_egress(ctx: TcContext) -> i32 {
    let skb = Skb::of(&ctx);
    let rule = match destination::of(skb) {
        Ok(destination) if destination.is_v4 => {
            classify::v4(destination.words[0]).and_then(|rule| unless(control::is_v4(skb), rule))
        }
        Ok(destination) => classify::v6(destination.words).and_then(|rule| unless(control::is_v6(skb), rule)),
        Err(outcome) => Err(outcome),
    };
    let (outcome, action) = match rule {
        Ok(rule) => limit(&ctx, skb, rule),
        Err(outcome) => (outcome, PASS),
    };
    count::total(outcome);
    action
}

/// The rule, but for packets that are never limited.
#[inline(always)]
fn unless(is_link_control: bool, rule: &'static Rule) -> Result<&'static Rule, Outcome> {
    if is_link_control {
        return Err(Outcome::NeverLimited);
    }
    Ok(rule)
}

/// Charges the rule's bucket and acts on the verdict.
#[inline(always)]
fn limit(ctx: &TcContext, skb: Skb, rule: &Rule) -> (Outcome, i32) {
    let Some(bucket) = maps::bucket(rule.bucket) else {
        return (Outcome::NoBucket, PASS);
    };
    let wire_len = wire::len(skb);
    let now_ns = clock::now_ns();
    match charge::charge(bucket, &rule.limit, now_ns, wire_len) {
        Verdict::Conforming { .. } => {
            count::sent(bucket, wire_len);
            stamp::keep_plausible(skb, now_ns);
            (Outcome::Conforming, PASS)
        }
        Verdict::Paced {
            departure_ns,
            is_marked,
            ..
        } => {
            debug!(
                ctx,
                "bucket {}: {} bytes wait {} ns",
                rule.bucket,
                wire_len,
                departure_ns - now_ns
            );
            count::sent(bucket, wire_len);
            count::paced(bucket);
            // The kernel marks what stands at the network header: behind a tag, that may not be IP.
            if is_marked && !destination::is_tagged(skb) && skb.mark_ce() {
                count::marked(bucket);
            }
            stamp::hold_until(skb, departure_ns, now_ns);
            (Outcome::Paced, PASS)
        }
        Verdict::BeyondHorizon => {
            debug!(ctx, "bucket {}: {} bytes dropped", rule.bucket, wire_len);
            count::dropped(bucket, wire_len);
            (Outcome::BeyondHorizon, DROP)
        }
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
