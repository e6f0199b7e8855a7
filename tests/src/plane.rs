//! What `shaper up` leaves in the kernel, seen from outside.

#![allow(
    clippy::missing_panics_doc,
    reason = "what cannot be looked at is a failed test"
)]

use std::time::{Duration, Instant};

use crate::lab::guest::Release;
use crate::lab::qdisc::Qdisc;
use crate::lab::{Lab, UPLINK};

/// Programs, maps and links in the kernel.
#[must_use]
pub fn objects() -> (usize, usize, usize) {
    (
        aya::programs::loaded_programs().count(),
        aya::maps::loaded_maps().count(),
        aya::programs::loaded_links().count(),
    )
}

/// Waits for the kernel to free what nobody refers to any more.
pub fn assert_objects(before: (usize, usize, usize)) {
    let begun = Instant::now();
    while objects() != before {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{:?} instead of {before:?}",
            objects()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The clsact filters on the server's uplink.
#[must_use]
pub fn filters(lab: &Lab) -> String {
    lab.server
        .output("tc", &["filter", "show", "dev", UPLINK, "egress"])
}

/// Kinds and handles of the qdiscs there.
#[must_use]
pub fn qdiscs(lab: &Lab) -> Vec<String> {
    Qdisc::list(&lab.server, UPLINK)
        .into_iter()
        .map(|qdisc| qdisc.kind + &qdisc.handle)
        .collect()
}

/// The hooks that this kernel has.
#[must_use]
pub fn hooks() -> &'static [&'static str] {
    if Release::running() >= Release::V6_12 {
        &["tcx", "clsact"]
    } else {
        &["clsact"]
    }
}
