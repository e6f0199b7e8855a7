//! Changes under load, in virtual time: no packet is let through, none overtakes another, none is lost.

use std::time::{Duration, Instant};

use shaper_tests::changes::{
    Disturbed, Undisturbed, change_rate, keep_rate, kill_at_random, replace_program,
};
use shaper_tests::lab::{Lab, UPLINK, client};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::iperf::n_found_reordered;
use shaper_tests::traffic::{Iperf, Load};

fn load() -> Load {
    Load::to(client(1)).bits_per_second(20_000_000)
}

fn assert_exact(disturbed: &Disturbed, bits_per_second: f64) {
    // The only processor runs commands meanwhile, which may keep a packet back.
    let rate = disturbed.settled().departure_rate(bits_per_second);
    println!("{rate:.0} of {bits_per_second:.0} bit/s");
    assert!((rate / bits_per_second - 1.0).abs() < 1e-4, "{rate}");
    let burst = disturbed.arrivals.burst_bytes(bits_per_second);
    assert!(
        burst < bits_per_second / 8.0 * 0.010 + 3.0 * 1442.0,
        "a burst of {burst} bytes"
    );
}

#[test]
fn a_rate_that_changes_a_thousand_times_reorders_nothing_and_lets_no_burst_through() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "8mbit", &[]);
    let mut kept = Vec::new();
    let disturbed = Disturbed::by(&lab, &shaper, &load(), || {
        for last in [1, 8, 2, 4, 1, 4, 8, 1, 2, 8] {
            change_rate(&shaper, 100, &[8, 1, 4, 2, last]);
            kept.push(keep_rate(last, Duration::from_millis(500)));
        }
    });
    let burst = disturbed.arrivals.burst_bytes(8e6);
    println!(
        "{:?} of changes, burst {burst:.0} bytes",
        disturbed.arrivals.span()
    );
    assert!(burst < 10_000.0 + 3.0 * 1442.0, "a burst of {burst} bytes");
    // Whatever came before, the rate in force is the one that counts.
    for Undisturbed { megabits, ns } in kept {
        let arrivals = disturbed
            .arrivals
            .only(|arrival| (ns.0..ns.1).contains(&arrival.ns));
        let rate = f64::from(megabits) * 1e6;
        let (share, burst) = (arrivals.departure_rate(rate) / rate, arrivals.burst_bytes(rate));
        println!(
            "{megabits} Mbit/s: {:.3} %, burst {burst:.0} bytes",
            share * 100.0
        );
        assert!((share - 1.0).abs() < 1e-3, "{megabits} Mbit/s: {share}");
        assert!(
            burst < 3.0 * 1442.0,
            "{megabits} Mbit/s: a burst of {burst} bytes"
        );
    }
}

#[test]
fn tcp_sees_nothing_reordered_while_its_rate_changes() {
    let lab = Lab::new();
    let n_reordered = |disturb: &dyn Fn()| {
        let before = n_found_reordered(&lab.server);
        let transfer = Iperf::to(client(1), 5201, 3).start(&lab.server, &lab.clients);
        disturb();
        let goodput = transfer.finish().bits_per_second;
        let n = n_found_reordered(&lab.server) - before;
        println!("{goodput:.0} bit/s, reordered {n} times");
        assert!(goodput > 1e6, "{goodput}");
        n
    };
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "8mbit", &[]);
    let change = || {
        for last in [1, 8, 4, 2, 8, 4] {
            change_rate(&shaper, 10, &[8, 1, 4, 2, last]);
            let _ = keep_rate(last, Duration::from_millis(100));
        }
    };
    assert_eq!(n_reordered(&change), 0);
    drop(shaper);
    // Shows that TCP would have noticed.
    lab.server.tc([format!(
        "qdisc replace dev {UPLINK} root netem rate 8mbit delay 5ms reorder 90%"
    )]);
    assert!(n_reordered(&|| ()) > 0);
}

#[test]
fn a_rate_that_rises_a_hundredfold_overtakes_nothing_that_waits() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "500kbit", &[]);
    let load = Load::to(client(1)).bits_per_second(2_000_000);
    let _ = Disturbed::by(&lab, &shaper, &load, || shaper.set(client(1), "50mbit", &[]));
}

#[test]
fn a_change_of_one_rule_is_done_before_anybody_notices_that_it_takes_time() {
    const LONGEST: Duration = Duration::from_millis(100);
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    for n in 1..=10 {
        shaper.set(client(n), "5mbit", &[]);
    }
    let destination = client(3).to_string();
    let changes: [&[&str]; 4] = [
        &["set", &destination, "2mbit"],
        &["set", &destination, "block"],
        &["unset", &destination],
        &["set", &destination, "5mbit"],
    ];
    for change in changes {
        let started = Instant::now();
        shaper.run(change);
        let took = started.elapsed();
        println!("{change:?} took {took:?}");
        assert!(took < LONGEST, "{change:?} took {took:?}");
    }
}

#[test]
fn a_program_that_is_replaced_a_thousand_times_keeps_the_rate() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "5mbit", &[]);
    let disturbed = Disturbed::by(&lab, &shaper, &load(), || replace_program(&lab, &shaper, 1000));
    assert_exact(&disturbed, 5e6);
}

#[test]
fn commands_that_are_killed_at_random_leave_the_old_state_or_the_new_one() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "5mbit", &[]);
    let disturbed = Disturbed::by(&lab, &shaper, &load(), || {
        let other = client(2).to_string();
        let commands: [&[&str]; 3] = [
            &["set", &other, "2mbit"],
            &["set", &other, "3mbit"],
            &["unset", &other, "--ignore-missing"],
        ];
        kill_at_random(&shaper, &commands, 60);
    });
    assert_exact(&disturbed, 5e6);
    shaper.set(client(2), "3mbit", &[]);
    assert_eq!(
        shaper.try_run(&["status"]).status.code(),
        Some(0),
        "{}",
        shaper.status()
    );
}
