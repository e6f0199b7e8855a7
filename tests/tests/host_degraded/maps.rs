//! Maps, and the tables in them.

use std::fs;

use shaper_common::filter::FILTER_BYTES;
use shaper_common::rule::{Group, Meta, PolicyHead, Rule};
use shaper_tests::lab::bpf;

use super::kind::{ANEW, Kind, REFUSED, RELOAD, SLOT, corrupt, kind, opened, slot_in_force, unpin};

/// All of them.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn all() -> Vec<Kind> {
    vec![
        kind(
            "the pin of a map is removed",
            |server| unpin(server, "ACTIVE"),
            "/ACTIVE",
            ANEW,
        )
        .exits(REFUSED),
        kind(
            "the pin that says whose pins they are is removed",
            |server| unpin(server, "META"),
            "/META",
            ANEW,
        )
        .exits(REFUSED),
        kind(
            "the pins say that somebody else made them",
            |server| corrupt(server, "META", &SLOT, size_of::<Meta>(), 0),
            "/META",
            ANEW,
        )
        .exits(REFUSED),
        kind(
            "a map of another kind is pinned",
            |server| {
                unpin(server, "TOTALS");
                fs::rename(server.pin("ACTIVE"), server.pin("TOTALS")).unwrap();
                None
            },
            "ACTIVE",
            ANEW,
        )
        .exits(REFUSED),
        kind(
            "two maps of the same kind have changed places",
            |server| {
                fs::rename(server.pin("EXACT4"), server.pin("swap")).unwrap();
                fs::rename(server.pin("EXACT6"), server.pin("EXACT4")).unwrap();
                fs::rename(server.pin("swap"), server.pin("EXACT6")).unwrap();
                None
            },
            "it is the map EXACT6",
            ANEW,
        )
        .exits(REFUSED),
        kind(
            "packets are led to no table",
            |server| {
                let slot = slot_in_force(server);
                bpf::write(&opened(server, "ACTIVE"), &SLOT, &slot.to_ne_bytes()).unwrap();
                None
            },
            "map ACTIVE",
            ANEW,
        ),
        kind(
            "the slot in force is another one, and empty",
            |server| {
                let other = slot_in_force(server) ^ 1;
                let empty = vec![0; size_of::<PolicyHead>()];
                bpf::write(&opened(server, "POLICIES"), &other.to_ne_bytes(), &empty).unwrap();
                bpf::write(&opened(server, "ACTIVE"), &SLOT, &other.to_ne_bytes()).unwrap();
                None
            },
            "other rules",
            RELOAD,
        ),
        kind(
            "the head of the policy is zero",
            |server| {
                // Of both slots.
                for slot in [0_u32, 1] {
                    let key = slot.to_ne_bytes();
                    let map = opened(server, "POLICIES");
                    let mut value = vec![0; size_of::<PolicyHead>()];
                    bpf::read(&map, &key, &mut value).unwrap();
                    value.fill(0);
                    bpf::write(&map, &key, &value).unwrap();
                }
                None
            },
            "other rules",
            ANEW,
        ),
        kind(
            "an entry of a table is gone",
            |server| {
                let map = opened(server, "EXACT4_0");
                let key = bpf::first_key(&map, 8).unwrap();
                bpf::delete(&map, &key).unwrap();
                None
            },
            "other rules",
            RELOAD,
        ),
        kind(
            "an entry of a table has another rate",
            |server| {
                let map = opened(server, "EXACT4_0");
                let key = bpf::first_key(&map, 8).unwrap();
                corrupt(server, "EXACT4_0", &key, size_of::<Rule>(), 0)
            },
            "other rules",
            RELOAD,
        ),
        kind(
            "the pin of a table is removed",
            |server| unpin(server, &format!("PREFIX4_{}", slot_in_force(server))),
            "/PREFIX4_",
            ANEW,
        )
        .exits(REFUSED),
        kind(
            "a table is taken out of its place",
            |server| {
                for slot in [0_u32, 1] {
                    bpf::delete(&opened(server, "EXACT6"), &slot.to_ne_bytes()).unwrap();
                }
                None
            },
            "(map EXACT6)",
            ANEW,
        ),
        kind(
            "a port has lost its service",
            |server| {
                // TCP ports come first.
                for port in [143_u32, 993] {
                    bpf::write(&opened(server, "SERVICES_0"), &port.to_ne_bytes(), &[0; 4]).unwrap();
                }
                None
            },
            "other rules",
            RELOAD,
        ),
        kind(
            "a group has another rate",
            |server| corrupt(server, "GROUPS_0", &SLOT, size_of::<Group>(), 0),
            "other rules",
            RELOAD,
        ),
        kind(
            "the filter before the tables hides a rule",
            |server| {
                for slot in [0_u32, 1] {
                    let map = opened(server, "FILTER");
                    bpf::write(&map, &slot.to_ne_bytes(), &vec![0; FILTER_BYTES]).unwrap();
                }
                None
            },
            "map FILTER",
            ANEW,
        ),
        kind(
            "the pin of the buckets is removed",
            |server| unpin(server, "chunk_0"),
            "no bucket",
            ANEW,
        ),
        kind(
            "other buckets are pinned than those in force",
            |server| {
                unpin(server, "chunk_0");
                let map = bpf::create_array(64, 16_384).unwrap();
                bpf::pin(&map, &server.pin("chunk_0")).unwrap();
                None
            },
            "chunk_0",
            ANEW,
        ),
        kind(
            "a bucket is far ahead of the clock",
            |server| {
                let map = opened(server, "chunk_0");
                let mut value = vec![0; 64];
                for number in 0..16_u32 {
                    bpf::read(&map, &number.to_ne_bytes(), &mut value).unwrap();
                    value[..8].copy_from_slice(&(u64::MAX / 2).to_ne_bytes());
                    bpf::write(&map, &number.to_ne_bytes(), &value).unwrap();
                }
                None
            },
            "far ahead of the clock",
            ANEW,
        ),
        kind(
            "the pin of the clients is removed",
            |server| unpin(server, "CLIENTS_0"),
            "/CLIENTS_0",
            ANEW,
        )
        .exits(REFUSED),
    ]
}
