//! The bucket that a packet is charged to: the rule's, or one that the client has to himself.

use shaper_common::{bucket::Bucket, client, outcome::Outcome, rule::Rule};

use crate::{
    count,
    family::Address,
    lookup::{Lookup as _, inner},
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
    shared_ticks: 0,
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
    if let Some(clients) = inner(&CLIENTS, 0) {
        if let Some(bucket) = clients.lookup(&key) {
            return Some(bucket);
        }
        // It fails when another CPU came first: then its bucket is found.
        let _ = clients.insert(&key, &IDLE, NO_EXIST);
        if let Some(bucket) = clients.lookup(&key) {
            return Some(bucket);
        }
    }
    // They all share one, so that whoever sends to ever new addresses gets no more than one rate for it.
    count::total(Outcome::ClientsFull);
    maps::bucket(rule.bucket)
}
