//! Writing the departure time.

use shaper_common::{
    outcome::Outcome,
    stamp::{CLOCK_MONOTONIC, Stamp, reconcile},
};

use crate::{count, skb::Skb};

/// `TC_PRIO_MAX`: the bits of a priority that `fq` looks at.
const PRIORITY_MASK: u32 = 15;

/// `TC_PRIO_CONTROL`: up to 6.6, `fq` sends packets of this priority at once, whatever their departure time.
const PRIORITY_CONTROL: u32 = 7;

/// A packet that need not wait keeps its stamp, unless `fq` would mistime it.
#[inline(always)]
pub(crate) fn keep_plausible(skb: Skb, now_ns: u64) {
    write(skb, now_ns, now_ns);
}

/// Asks `fq` to hold the packet until `departure_ns`, or longer if its sender asked for that.
#[inline(always)]
pub(crate) fn hold_until(skb: Skb, departure_ns: u64, now_ns: u64) {
    let priority = skb.priority();
    if priority & PRIORITY_MASK == PRIORITY_CONTROL {
        skb.set_priority(priority ^ 1);
    }
    write(skb, departure_ns, now_ns);
}

#[inline(always)]
fn write(skb: Skb, departure_ns: u64, now_ns: u64) {
    match reconcile(skb.tstamp(), skb.tstamp_type(), departure_ns, now_ns) {
        Stamp::Keep => {}
        Stamp::Set(departure_ns) => set(skb, departure_ns),
        Stamp::Replace(departure_ns) => {
            count::total(Outcome::Restamped);
            set(skb, departure_ns);
        }
    }
}

/// The helper sets the clock's type too, without which a stamp dies on its way through a bridge or a veth.
/// It refuses frames whose protocol is a VLAN tag; for these the value alone has to do.
#[inline(always)]
fn set(skb: Skb, departure_ns: u64) {
    if skb.set_tstamp(departure_ns, CLOCK_MONOTONIC) != 0 {
        skb.store_tstamp(departure_ns);
        count::total(Outcome::RawStamped);
    }
}
