//! The policy of the script that shaper replaces.

use shaper_tests::lab::UPLINK;
use shaper_tests::lab::qdisc::Qdisc;
use shaper_tests::seed;

#[test]
fn tcp_to_all_at_once_gets_what_the_policy_says_for_thirty_seconds() {
    let lab = seed::lab();
    let shaper = seed::shaper(&lab);
    let outcome = seed::run(&lab, 30, &|_| {});
    for client in &outcome.clients {
        println!(
            "{}: {:.0} of {:.0} bit/s ({:+.2} %) on the wire, goodput {:.0}, excess {:.0} bytes, largest packet {:.0}",
            client.destination,
            client.measured(),
            client.wanted,
            (client.measured() / client.wanted - 1.0) * 100.0,
            client.goodput,
            client.excess_bytes(),
            client.largest_bytes(),
        );
    }
    println!(
        "round trip {:?}, then {:?}",
        outcome.before.median(),
        outcome.during.median()
    );
    for client in &outcome.clients {
        assert!(client.holds(), "{}", client.destination);
    }
    assert_eq!(outcome.during.n_lost, 0);
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
    drop(shaper);
}
