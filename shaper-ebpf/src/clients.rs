//! The bucket that a packet is charged to: the rule's, or one that the client has to himself.

use shaper_common::{
    bucket::Bucket,
    client,
    outcome::Outcome,
    rule::{ClientKey, Rule},
};

use crate::{
    count,
    family::Address,
    inner::Lookup as _,
    maps::{self, CLIENTS},
};

/// `BPF_NOEXIST`: of two CPUs that see a client first, one inserts, and both use what it inserted.
const NO_EXIST: u64 = 1;

/// An idle bucket. One made on the stack would be filled in a loop, which is refused to loaders without `CAP_PERFMON`.
static IDLE: Bucket = Bucket {
    last_departure_ticks: 0,
    sent_bytes: 0,
    sent_packets: 0,
    paced_packets: 0,
    marked_packets: 0,
    dropped_packets: 0,
    dropped_bytes: 0,
    owner: 0,
};

/// The bucket, if there is one.
#[inline(always)]
pub(crate) fn bucket(rule: &Rule, address: &Address) -> Option<*mut Bucket> {
    let key = if address.version == 4 {
        client::key4(rule, address.words[0])
    } else {
        client::key6(rule, address.words)
    };
    let Some(key) = key else {
        return maps::bucket(rule.bucket);
    };
    let own = own(&key);
    if !own.is_null() {
        return Some(own);
    }
    // They all share one, so that whoever sends to ever new addresses gets no more than one rate for it.
    count::total(Outcome::ClientsFull);
    maps::bucket(rule.bucket)
}

/// The client's own bucket, made if need be; null if there are too many.
#[unsafe(link_section = ".text")]
#[inline(never)]
fn own(key: &ClientKey) -> *mut Bucket {
    const NONE: *mut Bucket = core::ptr::null_mut();
    let Some(clients) = CLIENTS.get(0) else {
        return NONE;
    };
    if let Some(bucket) = clients.lookup(key) {
        return bucket;
    }
    // It fails when another CPU came first: then its bucket is found.
    let _ = clients.insert(key, &IDLE, NO_EXIST);
    clients.lookup(key).unwrap_or(NONE)
}
