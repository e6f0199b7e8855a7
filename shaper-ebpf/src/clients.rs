//! The bucket that a packet is charged to: the rule's, or one that the client has to himself.

use shaper_common::{
    bucket::Bucket,
    client,
    outcome::Outcome,
    rule::{ClientKey, Rule},
};

use crate::{
    count,
    destination::Destination,
    inner::Lookup as _,
    maps::{self, CLIENTS},
};

/// `BPF_NOEXIST`: of two CPUs that see a client first, one inserts, and both use what it inserted.
const NO_EXIST: u64 = 1;

/// The bucket, if there is one.
#[inline(always)]
pub(crate) fn bucket(rule: &Rule, destination: &Destination) -> Option<*mut Bucket> {
    let key = if destination.is_v4 {
        client::key4(rule, destination.words[0])
    } else {
        client::key6(rule, destination.words)
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
    // All zero is what an idle bucket is. It fails when another CPU came first: then its bucket is found.
    let _ = clients.insert(key, &Bucket::default(), NO_EXIST);
    clients.lookup(key).unwrap_or(NONE)
}
