//! What `shaper up` makes, `shaper down` takes away, however often.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use shaper_tests::lab::qdisc::Qdisc;
use shaper_tests::lab::{Lab, Release, UPLINK, bpf, client};
use shaper_tests::shaper::Shaper;

/// Queueing disciplines as an operator may have chosen them; none is the kernel's choice.
const FOUND: [&str; 3] = ["", "pfifo limit 77", "fq flow_limit 123 limit 4567"];

/// For each of them. What leaks, leaks each time; each time the verifier takes a second or more in a guest, so a hundred
/// rounds in all are enough on one kernel.
fn n_rounds() -> usize {
    if Release::running() == Release::V6_12 {
        34
    } else {
        4
    }
}

/// What can be seen of the qdiscs, counters left out.
fn qdiscs(lab: &Lab) -> Vec<(String, Value)> {
    let list = Qdisc::list(&lab.server, UPLINK);
    list.into_iter()
        .map(|qdisc| (qdisc.kind, qdisc.json["options"].clone()))
        .collect()
}

/// Waits until the kernel has freed what nobody holds any more.
fn assert_settles_at(n_objects: [usize; 3]) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while bpf::n_objects() != n_objects && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(bpf::n_objects(), n_objects, "programs, maps, links");
}

#[test]
fn up_and_down_again_and_again_leave_nothing_in_the_kernel_and_the_interface_as_found() {
    let lab = Lab::new();
    let n_objects = bpf::n_objects();
    for found in FOUND {
        if !found.is_empty() {
            lab.server
                .tc([format!("qdisc replace dev {UPLINK} root {found}")]);
        }
        let as_found = qdiscs(&lab);
        println!("{as_found:?}");
        let begun = Instant::now();
        for n in 0..n_rounds() {
            let shaper = Shaper::up(&lab.server, UPLINK);
            if n == 0 {
                shaper.set(client(1), "1mbit", &[]);
                assert_ne!(qdiscs(&lab), as_found);
            }
            shaper.run(&["down"]);
            assert_eq!(qdiscs(&lab), as_found);
        }
        println!("{} rounds took {:?}", n_rounds(), begun.elapsed());
        assert_settles_at(n_objects);
    }
}
