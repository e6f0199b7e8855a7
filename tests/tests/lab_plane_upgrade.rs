//! What comes and goes: programs replaced under load, commands that are killed, nothing left behind.

use std::process::Stdio;
use std::time::Instant;

use shaper_common::names::LAYOUT_VERSION;
use shaper_tests::changes::Disturbed;
use shaper_tests::lab::{Lab, Release, UPLINK, client};
use shaper_tests::plane::{assert_objects, filters, hooks, objects, qdiscs};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::Load;

#[test]
fn a_program_that_shaper_replaces_under_a_flood_lets_no_packet_through_and_keeps_the_rate() {
    let lab = Lab::new();
    let shaper = Shaper::up_with(&lab.server, UPLINK, "");
    shaper.set(client(1), "10mbit", &[]);
    let flood = Load::to(client(1)).bits_per_second(20_000_000).on_cpu(1);
    // Each takes what the verifier takes.
    let n_replacements = if Release::running() == Release::V6_12 {
        50
    } else {
        5
    };
    let begun = Instant::now();
    let disturbed = Disturbed::by(&lab, &shaper, &flood, || {
        // A constant differs, so the program does.
        for level in ["1", "0"].into_iter().cycle().take(n_replacements) {
            let said = shaper.run(&["up", "-i", UPLINK, "--kernel-log", level]);
            assert!(said.contains("replaced in place"), "{said}");
        }
    });
    let rate = disturbed.settled().departure_rate(10e6);
    println!(
        "{rate:.0} of 10 Mbit/s during {n_replacements} replacements in {:?}",
        begun.elapsed()
    );
    assert!(rate < 10.05e6, "{rate}");
}

#[test]
fn whatever_kills_up_the_next_one_works_and_down_leaves_nothing() {
    let lab = Lab::with_queues(2);
    let shaper = Shaper::new(&lab.server);
    shaper.configure("[[rule]]\ndestination = \"any\"\nrate = \"100mbit\"\n");
    let (before, qdiscs_before) = (objects(), qdiscs(&lab));
    let begun = Instant::now();
    shaper.run(&["up", "-i", UPLINK]);
    let whole = begun.elapsed();
    shaper.run(&["down"]);
    for n in 0..8 {
        let mut child = shaper
            .command(&["up", "-i", UPLINK])
            .stdout(Stdio::null())
            .spawn()
            .expect("it is there");
        std::thread::sleep(whole * n / 8);
        child.kill().expect("it was started");
        child.wait().expect("it was started");
        if n % 2 == 0 {
            shaper.run(&["up", "-i", UPLINK]);
            assert_eq!(shaper.status()["is_degraded"], false, "killed after {n}/8");
        }
        shaper.run(&["down"]);
        assert_eq!(qdiscs(&lab), qdiscs_before, "killed after {n}/8");
    }
    assert_objects(before);
    assert_eq!(filters(&lab), "");
}

#[test]
fn pins_of_another_layout_are_replaced_and_the_program_with_them() {
    let lab = Lab::new();
    for hook in hooks() {
        let shaper = Shaper::new(&lab.server);
        let up = ["up", "-i", UPLINK, "--attach", hook];
        shaper.run(&up);
        let pin = shaper.pin("META");
        let pins = pin.ancestors().nth(2).expect("two directories above a pin");
        let ours = format!("v{LAYOUT_VERSION}");
        std::fs::rename(pins.join(&ours), pins.join("v0")).expect("pins can be renamed");
        assert_eq!(shaper.try_run(&["status"]).status.code(), Some(6));
        // A failure leaves the other layout in force.
        let with_another = format!("{UPLINK},missing");
        assert!(!shaper.try_run(&["up", "-i", &with_another]).status.success());
        assert!(pins.join("v0").exists() && !pins.join(&ours).exists());
        let said = shaper.run(&up);
        assert!(said.contains("replaced in place"), "{said}");
        assert!(!pins.join("v0").exists());
        let status = shaper.status();
        assert_eq!(status["is_degraded"], false, "{status}");
        assert_eq!(status["interfaces"][0]["programs_on_hook"], 1);
        shaper.run(&["down"]);
        assert!(!pins.exists());
    }
}
