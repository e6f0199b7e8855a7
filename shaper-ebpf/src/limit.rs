//! Charging what a rule leads to, and acting on the verdict.

use shaper_common::{bucket::Bucket, outcome::Outcome, pacing::Verdict};

use crate::{
    charge::{self, Charged, Others},
    clock, count, destination, log,
    skb::Skb,
    stamp,
};

/// Charges the buckets and acts on the verdict.
#[inline(always)]
pub(crate) fn limit(skb: Skb, own: Charged<'_>, others: Others<'_>, wire_len: u32) -> Outcome {
    let now_ns = clock::now_ns();
    match charge::all(own, others, now_ns, wire_len) {
        Ok(Verdict::Paced {
            departure_ns,
            is_marked,
            ..
        }) if !charge::is_policing() => {
            log::held(wire_len, departure_ns - now_ns);
            // The kernel marks what stands at the network header: behind a tag, that may not be IP.
            let is_marked = is_marked && !destination::is_tagged(skb) && skb.mark_ce();
            for_each(own, others.group, |bucket| {
                count::paced(bucket, wire_len, is_marked);
            });
            if is_marked {
                count::total(Outcome::Marked);
            }
            stamp::hold_until(skb, departure_ns, now_ns);
            Outcome::Paced
        }
        Err(outcome) => {
            log::dropped(wire_len);
            for_each(own, others.group, count::dropped);
            outcome
        }
        // Policed, a packet waits in no queue; that it was charged as if is due to CPUs that race.
        Ok(_) => {
            for_each(own, others.group, |bucket| count::sent(bucket, wire_len));
            if !charge::is_policing() {
                stamp::keep_plausible(skb, now_ns);
            }
            Outcome::Conforming
        }
    }
}

/// Counts in both buckets, or in the only one.
#[inline(always)]
fn for_each(own: Charged<'_>, group: Option<Charged<'_>>, count: impl Fn(*mut Bucket)) {
    count(own.bucket);
    if let Some(group) = group {
        count(group.bucket);
    }
}
