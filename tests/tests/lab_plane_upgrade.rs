//! What comes and goes: programs replaced under load, commands that are killed, nothing left behind.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use shaper_common::names::LAYOUT_VERSION;
use shaper_tests::lab::{Lab, UPLINK, client};
use shaper_tests::plane::{assert_objects, filters, hooks, objects, qdiscs};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::Load;

#[test]
fn a_program_is_replaced_in_place_while_packets_pass() {
    let lab = Lab::new();
    let shaper = Shaper::up_with(&lab.server, UPLINK, "");
    shaper.run(&["set", &client(1).to_string(), "10gbit"]);
    let is_over = AtomicBool::new(false);
    let n_sent = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut n_sent = 0;
            while !is_over.load(Ordering::Relaxed) {
                let load = Load::to(client(1)).bits_per_second(2_000_000);
                n_sent += load.run(&lab.server, Duration::from_secs(1)).n_packets;
            }
            n_sent
        });
        for n in 0..5 {
            // A constant differs, so the program does.
            let level = if n % 2 == 0 { "1" } else { "0" };
            let said = shaper.run(&["up", "-i", UPLINK, "--kernel-log", level]);
            assert!(said.contains("replaced in place"), "{said}");
        }
        is_over.store(true, Ordering::Relaxed);
        load.join().expect("it sends")
    });
    // A packet that no program saw would be missing here.
    assert_eq!(shaper.stats(client(1)).sent_packets, n_sent);
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
