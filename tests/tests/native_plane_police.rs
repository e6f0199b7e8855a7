//! An interface where what would have to wait is dropped: nothing has to hold packets there. Needs root.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use shaper_tests::world::World;
use shaper_user::dataplane::{Dataplane, Done, Request};
use shaper_user::paths::Paths;
use shaper_user::policy::FqNeeds;

/// Gives this thread a network of its own, with one interface.
fn network(interface: &str) {
    // SAFETY: a system call without pointers.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
    ip(&["link", "add", interface, "type", "veth", "peer", "name", "peer0"]);
    ip(&["link", "set", interface, "up"]);
}

fn ip(args: &[&str]) {
    assert!(
        Command::new("ip").args(args).status().unwrap().success(),
        "{args:?}"
    );
}

/// Those that hold packets: up to Linux 6.5 the hook is listed as one too.
fn queues() -> String {
    let lines = qdiscs();
    lines.lines().filter(|line| !line.contains("clsact")).collect()
}

fn qdiscs() -> String {
    let output = Command::new("tc").args(["qdisc", "show"]).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn where_packets_are_dropped_instead_of_held_no_qdisc_is_touched() {
    let world = World::new();
    network("veth0");
    let (before, queues_before) = (qdiscs(), queues());
    // What is remembered is a file, which a BPF file system does not take.
    let run = std::env::temp_dir().join(format!("shaper-police-{}", std::process::id()));
    std::fs::create_dir(&run).unwrap();
    let paths = Paths {
        run: run.clone(),
        ..world.paths()
    };
    let (plane, _) = Dataplane::create_or_open(&paths).unwrap();
    let mut request = Request {
        interfaces: BTreeMap::from([("veth0".to_owned(), 24)]),
        policed: Some(BTreeSet::from(["veth0".to_owned()])),
        configured: BTreeSet::new(),
        lets_go: false,
        needs: FqNeeds {
            limit_packets: 100_000,
            flow_limit_packets: 10_000,
            is_capped: false,
        },
        log_level: None,
        hook: None,
        is_partial: false,
        keep_gone: BTreeSet::new(),
    };
    let attached = plane.attach(&request).unwrap();
    assert_eq!(attached[0].done, Done::Attached);
    assert!(attached[0].holders.is_empty());
    assert_eq!(queues(), queues_before);
    let status = &plane.interfaces().unwrap()[0];
    assert!(status.is_policed);
    assert!(status.problems.is_empty(), "{:?}", status.problems);
    // More to hold, but nobody to hold it.
    plane
        .make_room(&FqNeeds {
            limit_packets: 200_000,
            ..request.needs
        })
        .unwrap();
    assert_eq!(queues(), queues_before);
    // Whoever attaches again without a word of it leaves it as it is.
    request.policed = None;
    assert_eq!(plane.attach(&request).unwrap()[0].done, Done::Nothing);
    request.interfaces.clear();
    assert_eq!(plane.attach(&request).unwrap()[0].done, Done::Nothing);
    assert!(plane.interfaces().unwrap()[0].is_policed);
    let (was_up, notes) = shaper_user::dataplane::take_down(&paths).unwrap();
    assert!(was_up && notes.is_empty(), "{notes:?}");
    assert_eq!(qdiscs(), before);
    std::fs::remove_dir_all(run).unwrap();
}
