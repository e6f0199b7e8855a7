//! Changes under load, with two processors: no packet is let through, none overtakes another, none is lost.

use shaper_tests::changes::{Disturbed, change_rate, kill_at_random, replace_program};
use shaper_tests::lab::{Lab, UPLINK, client};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::Load;

fn flood() -> Load {
    Load::to(client(1)).on_cpu(1)
}

fn assert_rate(disturbed: &Disturbed, bits_per_second: f64) {
    let rate = disturbed.settled().departure_rate(bits_per_second);
    println!(
        "{rate:.0} of {bits_per_second:.0} bit/s over {:?}",
        disturbed.arrivals.span()
    );
    // Exact in virtual time; here the processors are busy with commands.
    assert!((0.95..1.005).contains(&(rate / bits_per_second)), "{rate}");
}

#[test]
fn a_rate_that_changes_under_a_flood_reorders_nothing_and_lets_nothing_through() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "8mbit", &[]);
    let disturbed = Disturbed::by(&lab, &shaper, &flood(), || {
        change_rate(&shaper, 100, &[1, 8, 2, 4]);
    });
    let rate = disturbed.settled().bits_per_second();
    println!("{rate:.0} bit/s over {:?}", disturbed.arrivals.span());
    assert!((1e6..8e6).contains(&rate), "{rate}");
}

#[test]
fn a_program_that_is_replaced_a_thousand_times_under_a_flood_keeps_the_rate() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "10mbit", &[]);
    let disturbed = Disturbed::by(&lab, &shaper, &flood(), || replace_program(&lab, &shaper, 1000));
    assert_rate(&disturbed, 10e6);
}

#[test]
fn commands_that_are_killed_at_random_under_a_flood_change_nothing_for_others() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "10mbit", &[]);
    let disturbed = Disturbed::by(&lab, &shaper, &flood(), || {
        let other = client(2).to_string();
        let set: [&[&str]; 2] = [&["set", &other, "2mbit"], &["set", &other, "3mbit"]];
        kill_at_random(&shaper, &set, 20);
        let up: [&[&str]; 2] = [&["up", "--kernel-log", "1"], &["up", "--kernel-log", "0"]];
        kill_at_random(&shaper, &up, 6);
    });
    assert_rate(&disturbed, 10e6);
    shaper.set(client(2), "3mbit", &[]);
    shaper.run(&["up", "-i", UPLINK]);
    assert_eq!(
        shaper.try_run(&["status"]).status.code(),
        Some(0),
        "{}",
        shaper.status()
    );
}
