//! Programs, links and pins: made whole, followed wherever their interface goes, and taken away without a trace.

use std::os::unix::process::CommandExt;

use shaper_tests::lab::qdisc::Qdisc;
use shaper_tests::lab::{Lab, UPLINK};
use shaper_tests::plane::{assert_objects, filters, hooks, objects, qdiscs};
use shaper_tests::shaper::Shaper;

#[test]
fn it_runs_first_on_either_hook_and_says_when_it_does_not() {
    let lab = Lab::new();
    for hook in hooks() {
        let shaper = Shaper::new(&lab.server);
        shaper.configure("");
        shaper.run(&["up", "-i", UPLINK, "--attach", hook]);
        let status = shaper.status();
        assert_eq!(status["interfaces"][0]["hook"], *hook);
        assert_eq!(status["interfaces"][0]["position"], 1);
        assert_eq!(status["is_degraded"], false);
        if *hook == "tcx" {
            // Another program is put before ours.
            let other = Shaper::new(&lab.server);
            other.configure("");
            other.run(&["up", "-i", UPLINK]);
            let status = shaper.status();
            assert_eq!(status["interfaces"][0]["position"], 2);
            assert_eq!(status["interfaces"][0]["programs_on_hook"], 2);
            assert_eq!(status["is_degraded"], true);
            other.run(&["down"]);
            // Its fq goes with it: what shares a device shares that.
            shaper.run(&["up", "-i", UPLINK]);
            assert_eq!(shaper.status()["is_degraded"], false);
        }
    }
}

#[test]
fn a_filter_of_somebody_else_stays_and_so_does_its_clsact() {
    let lab = Lab::new();
    lab.server.tc([
        format!("qdisc add dev {UPLINK} clsact"),
        format!("filter add dev {UPLINK} egress prio 2 protocol ip u32 match u32 0 0 classid 1:1"),
    ]);
    let before = filters(&lab);
    let shaper = Shaper::new(&lab.server);
    shaper.configure("");
    for _ in 0..3 {
        shaper.run(&["up", "-i", UPLINK, "--attach", "clsact"]);
        assert_eq!(filters(&lab).matches("shaper_egress direct-action").count(), 1);
        shaper.run(&["down"]);
        assert_eq!(filters(&lab), before);
    }
    lab.server.tc([format!(
        "filter add dev {UPLINK} egress prio 1 protocol all u32 match u32 0 0 classid 1:1"
    )]);
    let (before, qdiscs_before) = (filters(&lab), qdiscs(&lab));
    let output = shaper.try_run(&["up", "-i", UPLINK, "--attach", "clsact", "-o", "json"]);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("foreign_filter"),
        "{output:?}"
    );
    // It failed after fq was in place: that is taken back.
    assert_eq!((filters(&lab), qdiscs(&lab)), (before, qdiscs_before));
    assert_eq!(shaper.try_run(&["status"]).status.code(), Some(6));
}

#[test]
fn a_failure_on_the_second_interface_takes_the_first_one_back() {
    let lab = Lab::new();
    lab.server
        .ip(["link add second type dummy", "link set second up"]);
    lab.server.tc([
        "qdisc add dev second clsact".to_owned(),
        "filter add dev second egress prio 1 protocol all u32 match u32 0 0 classid 1:1".to_owned(),
    ]);
    let shaper = Shaper::new(&lab.server);
    shaper.configure("");
    let (before, qdiscs_before) = (objects(), qdiscs(&lab));
    let interfaces = format!("second,{UPLINK}");
    assert!(
        !shaper
            .try_run(&["up", "-i", &interfaces, "--attach", "clsact"])
            .status
            .success()
    );
    assert_eq!((filters(&lab), qdiscs(&lab)), (String::new(), qdiscs_before));
    assert_objects(before);
}

#[test]
fn an_interface_is_followed_when_it_is_renamed_or_made_anew() {
    let lab = Lab::new();
    for hook in hooks() {
        lab.server.ip(["link add d0 type dummy", "link set d0 up"]);
        let shaper = Shaper::new(&lab.server);
        shaper.configure("");
        shaper.run(&["up", "-i", "d0", "--attach", hook]);
        lab.server
            .ip(["link set d0 down", "link set d0 name d0.x", "link set d0.x up"]);
        assert_eq!(shaper.status()["is_degraded"], true);
        shaper.run(&["up", "-i", "d0.x", "--attach", hook]);
        let status = shaper.status();
        assert_eq!(status["interfaces"].as_array().map(Vec::len), Some(1));
        assert_eq!(
            (
                &status["is_degraded"],
                &status["interfaces"][0]["programs_on_hook"]
            ),
            (&false.into(), &1.into())
        );
        lab.server
            .ip(["link del d0.x", "link add d0.x type dummy", "link set d0.x up"]);
        assert_eq!(shaper.status()["is_degraded"], true);
        shaper.run(&["up", "-i", "d0.x", "--attach", hook]);
        assert_eq!(shaper.status()["is_degraded"], false);
        shaper.run(&["down"]);
        lab.server.ip(["link del d0.x"]);
    }
}

#[test]
fn above_and_below_are_not_both_shaped_and_fq_is_below() {
    let lab = Lab::new();
    lab.server.ip([
        "link add d1 type dummy",
        "link add d2 type dummy",
        "link add bond1 type bond",
        "link set d1 master bond1",
        "link set d2 master bond1",
        "link set d1 up",
        "link set d2 up",
        "link set bond1 up",
    ]);
    let kinds = |name: &str| -> Vec<String> {
        let list = Qdisc::list(&lab.server, name);
        list.into_iter().map(|qdisc| qdisc.kind + &qdisc.handle).collect()
    };
    let before = kinds("d1");
    let shaper = Shaper::new(&lab.server);
    shaper.configure("");
    let output = shaper.try_run(&["up", "-i", "d2,bond1", "-o", "json"]);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("same_path"),
        "{output:?}"
    );
    shaper.run(&["up", "-i", "bond1"]);
    for port in ["d1", "d2"] {
        assert_eq!(Qdisc::list(&lab.server, port)[0].kind, "fq");
    }
    assert_ne!(Qdisc::list(&lab.server, "bond1")[0].kind, "fq");
    let output = shaper.try_run(&["up", "-i", "d1", "-o", "json"]);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("same_path"),
        "{output:?}"
    );
    assert_eq!(shaper.status()["is_degraded"], false);
    // What a hand alone has named stays, whatever the configuration comes to say.
    shaper.configure("[interface.d2]\n");
    assert!(!shaper.try_run(&["reload"]).status.success());
    // What the configuration has named goes where it goes, and so does `fq`.
    shaper.configure("[interface.bond1]\n");
    shaper.run(&["reload"]);
    shaper.configure("[interface.d2]\n");
    let said = shaper.run(&["reload"]);
    assert!(said.contains("bond1: detached"), "{said}");
    assert_eq!((kinds("d1"), &*kinds("d2")[0]), (before.clone(), "fq5a9e:"));
    assert_eq!(shaper.status()["is_degraded"], false);
    shaper.configure("[interface.bond1]\n");
    shaper.run(&["reload"]);
    assert_eq!((&*kinds("d1")[0], &*kinds("d2")[0]), ("fq5a9e:", "fq5a9e:"));
    assert_eq!(shaper.status()["is_degraded"], false);
    shaper.run(&["down"]);
    assert_eq!(kinds("d1"), before);
}

#[test]
fn two_capabilities_suffice_and_without_them_nothing_changes() {
    const CAP_NET_ADMIN: u32 = 12;
    const CAP_BPF: u32 = 39;
    let lab = Lab::new();
    let shaper = Shaper::new(&lab.server);
    shaper.configure("");
    let run = |args: &[&str], kept: &'static [u32]| {
        let mut command = shaper.command(args);
        // SAFETY: only system calls between fork and exec. What is not in the bounding set is gone after exec.
        unsafe {
            command.pre_exec(move || {
                for capability in (0..64).filter(|capability| !kept.contains(capability)) {
                    libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
                }
                Ok(())
            });
        }
        command.output().expect("it is there")
    };
    let before = (qdiscs(&lab), filters(&lab), objects());
    for kept in [&[][..], &[CAP_NET_ADMIN], &[CAP_BPF]] {
        let output = run(&["up", "-i", UPLINK], kept);
        assert_eq!(output.status.code(), Some(5), "{kept:?}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("run as root, or with CAP_BPF and CAP_NET_ADMIN"),
            "{said}"
        );
        assert_eq!(shaper.try_run(&["status"]).status.code(), Some(6));
        assert_eq!(
            (qdiscs(&lab), filters(&lab)),
            (before.0.clone(), before.1.clone())
        );
        assert_objects(before.2);
    }
    let all = &[CAP_NET_ADMIN, CAP_BPF];
    for args in [
        &["up", "-i", UPLINK][..],
        &["set", "10.1.0.1", "1mbit"],
        &["list", "--stats"],
        &["status"],
        &["up", "-i", UPLINK],
        &["unset", "10.1.0.1"],
        &["down"],
    ] {
        let output = run(args, all);
        assert!(output.status.success(), "{args:?}: {output:?}");
    }
}
