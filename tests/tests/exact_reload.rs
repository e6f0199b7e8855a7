//! Changes under load, in virtual time: no packet is let through, none overtakes another, none is lost.

use std::time::{Duration, Instant};

use shaper_tests::changes::{Disturbed, change_rate, kill_at_random, replace_program};
use shaper_tests::lab::{Lab, UPLINK, client};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::Load;

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
    let disturbed = Disturbed::by(&lab, &shaper, &load(), || {
        change_rate(&shaper, 1000, &[1, 8, 2, 4]);
    });
    let burst = disturbed.arrivals.burst_bytes(8e6);
    println!(
        "{:?} of changes, burst {burst:.0} bytes",
        disturbed.arrivals.span()
    );
    assert!(burst < 10_000.0 + 3.0 * 1442.0, "a burst of {burst} bytes");
    let rate = disturbed.settled().bits_per_second();
    assert!((1e6..8e6).contains(&rate), "{rate}");
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
