//! The qdiscs that `shaper up` replaces, and how `shaper down` puts them back.

use std::time::Duration;

use shaper_tests::lab::qdisc::Qdisc;
use shaper_tests::lab::{Lab, UPLINK, client};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::{Load, Receiver};

/// What `tc` shows, but for counters and for clsact, which holds no packet.
fn shown(lab: &Lab) -> Vec<(String, String, String, String)> {
    let mut shown: Vec<_> = Qdisc::list(&lab.server, UPLINK)
        .into_iter()
        .filter(|qdisc| qdisc.kind != "clsact")
        .map(|qdisc| {
            let parent = qdisc.json["parent"].as_str().unwrap_or("root").to_owned();
            let mut options = qdisc.json["options"].clone();
            if let Some(options) = options.as_object_mut() {
                // What htb counts, not what it was told: a packet of neighbour discovery may come at any time.
                options.remove("direct_packets_stat");
            }
            (parent, qdisc.kind, qdisc.handle, options.to_string())
        })
        .collect();
    shown.sort();
    shown
}

/// Handles of leaves are the kernel's choice.
fn without_leaf_handles(
    mut shown: Vec<(String, String, String, String)>,
) -> Vec<(String, String, String, String)> {
    for (parent, _, handle, _) in &mut shown {
        if parent != "root" {
            handle.clear();
        }
    }
    shown
}

/// `up` and `down` over these qdiscs; what `tc` shows in between.
fn up_and_down(n_queues: u32, commands: &[&str]) -> Vec<(String, String, String, String)> {
    let lab = Lab::with_queues(n_queues);
    lab.server
        .tc(commands.iter().map(|command| command.replace("DEV", UPLINK)));
    let before = shown(&lab);
    let shaper = Shaper::up_with(&lab.server, UPLINK, "");
    let between = shown(&lab);
    assert_eq!(shaper.status()["is_degraded"], false);
    shaper.run(&["up", "-i", UPLINK]);
    assert_eq!(shown(&lab), between, "a second `up` changed something");
    shaper.run(&["down"]);
    assert_eq!(without_leaf_handles(shown(&lab)), without_leaf_handles(before));
    between
}

#[test]
fn the_default_of_the_kernel_comes_back() {
    let one = up_and_down(1, &[]);
    assert_eq!((one.len(), &*one[0].1, &*one[0].2), (1, "fq", "5a9e:"));
    let four = up_and_down(4, &[]);
    let fqs = four
        .iter()
        .filter(|(parent, kind, ..)| kind == "fq" && parent.starts_with("5a9e:"));
    assert_eq!(fqs.count(), 4);
}

#[test]
fn a_classless_qdisc_comes_back_with_its_options() {
    for (n_queues, kind) in [
        (1, "fq_codel limit 777 target 9ms interval 50ms noecn"),
        (2, "fq_codel limit 99 target 7ms ce_threshold 1ms"),
        (2, "bfifo limit 77777"),
        (1, "pfifo_fast"),
        (1, "pfifo_head_drop limit 33"),
        (1, "codel limit 99 target 7ms interval 70ms noecn"),
        (1, "sfq limit 100 quantum 3000 perturb 7 headdrop"),
        (
            2,
            "cake bandwidth 77mbit rtt 33ms diffserv4 nat wash overhead 18 mpu 64",
        ),
        (1, "pie limit 99 target 17ms tupdate 13ms alpha 3 beta 19 ecn"),
        (
            1,
            "hhf limit 99 quantum 3000 hh_limit 77 reset_timeout 33ms non_hh_weight 3",
        ),
        (
            2,
            "fq_pie limit 999 flows 512 target 17ms tupdate 13ms quantum 3000 ecn",
        ),
    ] {
        println!("{kind} on {n_queues}");
        let between = up_and_down(
            n_queues,
            &[&format!("qdisc replace dev DEV root handle 7: {kind}")],
        );
        assert!(between.iter().any(|(_, kind, ..)| kind == "fq"), "{kind}");
    }
}

#[test]
fn filters_and_size_tables_of_somebody_else_are_refused_and_left_as_they_are() {
    for (commands, hint) in [
        (
            &[
                "qdisc replace dev up0 root handle 7: fq_codel",
                "filter add dev up0 parent 7: protocol ip prio 1 u32 match u32 0 0 classid 7:1",
            ][..],
            "tc qdisc del dev up0 root",
        ),
        (
            &[
                "qdisc replace dev up0 root handle 7: stab overhead 18 mpu 64 linklayer ethernet pfifo limit 99",
            ],
            "tc qdisc del dev up0 root",
        ),
        (
            &[
                "qdisc replace dev up0 root handle 9: mq",
                "qdisc replace dev up0 parent 9:1 handle 7: sfq",
                "filter add dev up0 parent 7: protocol ip prio 1 u32 match u32 0 0 classid 7:1",
            ][..],
            "tc qdisc del dev up0 parent 9:1",
        ),
        (
            &[
                "qdisc replace dev up0 root handle 9: mq",
                "qdisc replace dev up0 parent 9:2 handle 7: htb",
            ][..],
            "tc qdisc del dev up0 parent 9:2",
        ),
    ] {
        let lab = Lab::with_queues(2);
        lab.server.tc(commands);
        let before = shown(&lab);
        let shaper = Shaper::new(&lab.server);
        let output = shaper.try_run(&["up", "-i", UPLINK, "-o", "json"]);
        assert_eq!(output.status.code(), Some(1), "{commands:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("foreign_qdisc") && text.contains(hint), "{text}");
        assert_eq!(shown(&lab), before, "{commands:?}");
        // Whoever follows the hint gets what he wants.
        let hint = hint.strip_prefix("tc ").unwrap_or(hint);
        lab.server.tc([hint]);
        shaper.run(&["up", "-i", UPLINK]);
        assert_eq!(shaper.status()["is_degraded"], false, "{commands:?}");
    }
}

#[test]
fn an_fq_of_somebody_else_keeps_its_handle_and_gets_its_options_back() {
    for n_queues in [1, 4] {
        let between = up_and_down(
            n_queues,
            &["qdisc replace dev DEV root handle 8: fq limit 777 flow_limit 77 quantum 3000 horizon 5s"],
        );
        assert_eq!((between.len(), &*between[0].2), (1, "8:"));
        assert!(between[0].3.contains("\"quantum\":3000"), "{}", between[0].3);
    }
}

#[test]
fn an_mq_of_somebody_else_keeps_its_root_and_gets_its_leaves_back() {
    let between = up_and_down(
        3,
        &[
            "qdisc replace dev DEV root handle 9: mq",
            "qdisc replace dev DEV parent 9:1 fq_codel limit 777",
            "qdisc replace dev DEV parent 9:2 fq limit 777",
        ],
    );
    assert_eq!(
        between
            .iter()
            .filter(|(parent, kind, ..)| kind == "fq" && parent.starts_with("9:"))
            .count(),
        3
    );
}

#[test]
fn classes_of_somebody_else_are_refused_and_left_as_they_are() {
    let lab = Lab::new();
    lab.server.tc([
        format!("qdisc add dev {UPLINK} root handle 1: htb default 1"),
        format!("class add dev {UPLINK} parent 1: classid 1:1 htb rate 100mbit"),
    ]);
    let before = shown(&lab);
    let shaper = Shaper::new(&lab.server);
    shaper.configure("");
    let output = shaper.try_run(&["up", "-i", UPLINK, "-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("foreign_qdisc") && text.contains(&format!("tc qdisc del dev {UPLINK} root")),
        "{text}"
    );
    assert_eq!(shown(&lab), before);
    assert_eq!(shaper.try_run(&["status"]).status.code(), Some(6));
}

#[test]
fn what_somebody_else_put_in_our_place_is_left_alone_and_named() {
    let lab = Lab::new();
    let shaper = Shaper::up_with(&lab.server, UPLINK, "");
    lab.server.tc([format!(
        "qdisc replace dev {UPLINK} root handle 3: pfifo limit 33"
    )]);
    assert_eq!(shaper.status()["is_degraded"], true);
    assert_eq!(shaper.try_run(&["status"]).status.code(), Some(7));
    let theirs = shown(&lab);
    let output = shaper.try_run(&["down"]);
    assert!(output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("pfifo 3:"),
        "{output:?}"
    );
    assert_eq!(shown(&lab), theirs);
}

#[test]
fn packets_that_wait_survive_a_second_up_and_a_change_of_needs() {
    let lab = Lab::with_queues(2);
    let shaper = Shaper::up_with(&lab.server, UPLINK, "");
    shaper.run(&["set", &client(1).to_string(), "100kbit"]);
    let receiver = Receiver::start(&lab.clients);
    // A burst that takes over a second to leave; TCP-like backpressure does not matter here.
    let sent = Load::to(client(1))
        .bits_per_second(1_000_000)
        .run(&lab.server, Duration::from_millis(300));
    let held: u64 = Qdisc::fqs(&lab.server, UPLINK).iter().map(|fq| fq.n_queued).sum();
    shaper.run(&["up", "-i", UPLINK]);
    // A rule of another destination that needs far more room in fq.
    shaper.run(&["set", &client(2).to_string(), "5gbit"]);
    assert!(held > 0, "nothing waited: {sent:?}");
    let stats = shaper.stats(client(1));
    assert!(
        receiver.wait_for(Duration::from_secs(20), |arrivals| arrivals.len() as u64
            >= stats.sent_packets),
        "{stats:?}, but {} arrived",
        receiver.arrivals().len()
    );
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
}

#[test]
fn a_faster_rule_gets_its_room_before_it_is_in_force() {
    let lab = Lab::new();
    let shaper = Shaper::up_with(&lab.server, UPLINK, "");
    let before = Qdisc::fqs(&lab.server, UPLINK)[0].number("flow_limit");
    shaper.run(&["set", &client(2).to_string(), "1gbit"]);
    let after = Qdisc::fqs(&lab.server, UPLINK)[0].number("flow_limit");
    // 200 ms of 1 Gbit/s in packets of 20 bytes.
    assert!(
        before < 200_000 && after >= 25_000_000 / 20,
        "{before} -> {after}"
    );
    assert_eq!(
        Qdisc::fqs(&lab.server, UPLINK)[0].number("orphan_mask"),
        0xffff_ffff
    );
}
