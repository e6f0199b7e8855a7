//! The policy of the script that shaper replaces, in virtual time.

use std::time::Duration;

use shaper_tests::lab::UPLINK;
use shaper_tests::lab::qdisc::Qdisc;
use shaper_tests::seed;

#[test]
fn tcp_to_all_at_once_gets_what_the_policy_says_and_never_more() {
    let lab = seed::lab();
    let _shaper = seed::shaper(&lab);
    let outcome = seed::run(&lab, 12, 2, &|_| {});
    for client in &outcome.clients {
        println!("{}", client.describe());
    }
    println!(
        "round trip {:?}, then {:?}",
        outcome.before.median(),
        outcome.during.median()
    );
    let (rest, limited) = outcome.clients.split_last().expect("four clients");
    for client in limited {
        assert!(client.holds(Duration::ZERO), "{}", client.destination);
    }
    // Two seconds: TCP takes a part of them to come up to speed, and the end is no full packet.
    assert!(rest.never_exceeds(Duration::ZERO));
    assert!(rest.goodput > rest.wanted * 0.9, "{}", rest.goodput);
    assert_eq!(outcome.during.n_lost, 0);
    assert!(outcome.during.median() < outcome.before.median() + Duration::from_micros(200));
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
}
