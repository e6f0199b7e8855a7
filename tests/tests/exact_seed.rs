//! The policy of the script that shaper replaces, in virtual time.

use std::time::Duration;

use shaper_tests::lab::UPLINK;
use shaper_tests::lab::qdisc::Qdisc;
use shaper_tests::seed;
use shaper_tests::traffic::Iperf;

/// What is due waits so long at the most for the one processor, which senders and receivers use too: on 6.1 up to 0.8 ms.
const BUSY: Duration = Duration::from_millis(2);

#[test]
fn tcp_to_all_at_once_gets_what_the_policy_says_and_never_more() {
    let lab = seed::lab();
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
    for client in &outcome.clients {
        assert!(client.holds(BUSY), "{}", client.destination);
    }
    assert_eq!(outcome.during.n_lost, 0);
    assert!(outcome.during.median() < outcome.before.median() + Duration::from_micros(200));
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
}

#[test]
fn an_exempt_address_is_sent_to_as_fast_as_without_a_policy() {
    let lab = seed::lab();
    let transfer = || Iperf::to(seed::EXEMPT, 5300, 2).run(&lab.server, &lab.clients);
    let before = transfer().bits_per_second;
    let _shaper = seed::shaper(&lab);
    let limited = seed::LIMITED.map(|(destination, _)| destination);
    let others: Vec<_> = limited
        .into_iter()
        .zip(5201..)
        .map(|(destination, port)| Iperf::to(destination, port, 6).start(&lab.server, &lab.clients))
        .collect();
    let during = transfer().bits_per_second;
    println!("{before:.0} bit/s, then {during:.0}");
    // The others take a share of the only processor.
    assert!(during > before * 0.9);
    for other in others {
        assert!(other.finish().bits_per_second < 550e3);
    }
}
