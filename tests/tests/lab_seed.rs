//! The policy of the script that shaper replaces, with two processors.

use std::time::Duration;

use shaper_tests::lab::UPLINK;
use shaper_tests::lab::qdisc::Qdisc;
use shaper_tests::seed;

/// Longest time for which an emulated machine may stand still and then deliver what was due.
const STALL: Duration = Duration::from_millis(200);

#[test]
fn tcp_to_all_at_once_gets_what_the_policy_says_for_thirty_seconds() {
    let lab = seed::lab();
    let capacity = seed::capacity(&lab);
    let _shaper = seed::shaper(&lab);
    let outcome = seed::run(&lab, 30, &|_| {});
    for client in &outcome.clients {
        println!("{}", client.describe());
    }
    println!(
        "round trip {:?}, then {:?}",
        outcome.before.median(),
        outcome.during.median()
    );
    let (rest, limited) = outcome.clients.split_last().unwrap();
    for client in limited {
        assert!(client.holds(STALL), "{}", client.destination);
    }
    // 100 Mbit/s may be more than the emulated processors can send.
    println!("the machine can send {capacity:.0} bit/s");
    assert!(rest.fills(capacity, STALL), "{} of {capacity}", rest.measured());
    assert_eq!(outcome.during.n_lost, 0);
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
}
