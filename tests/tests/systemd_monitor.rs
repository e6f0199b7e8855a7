//! Interfaces that come, go and change their names, and people who replace qdiscs, while the units run.

use std::time::Duration;

use shaper_tests::machine::{must, property, sh, status, within};

/// An emulated processor loads a program in seconds.
const SOON: Duration = Duration::from_mins(1);

/// shaper and its monitor run, and everything that is configured is in place.
fn all_is_well() {
    must("sh /usr/lib/lab/well.sh");
    within(SOON, "all is well", || status().0 == 0);
}

/// How often the monitor has said `event` of `interface`.
fn n_said(event: &str, interface: &str) -> usize {
    let matches = format!("SHAPER_EVENT={event} SHAPER_INTERFACE={interface}");
    let said = must(&format!(
        "journalctl --sync; journalctl -b --no-pager -q -o cat {matches}"
    ));
    said.lines().count()
}

fn root_qdisc(interface: &str) -> String {
    let shown = must(&format!("tc qdisc show dev {interface} root"));
    shown.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn an_interface_that_appears_is_limited_and_one_that_goes_is_not_waited_for() {
    all_is_well();
    let before = n_said("repaired", "hot0");
    must("ip link add hot0 type dummy && ip link set hot0 up");
    let (code, document) = status();
    let is_attached = document["interfaces"].to_string().contains("hot0");
    assert!(
        is_attached || code == 7,
        "neither limited nor reported: {document}"
    );
    within(SOON, "hot0 is limited", || {
        status().0 == 0 && root_qdisc("hot0") == "fq"
    });
    within(SOON, "it is in the journal", || {
        n_said("repaired", "hot0") > before
    });
    must("ip link del hot0");
    within(SOON, "hot0 is forgotten", || {
        let (code, document) = status();
        code == 0 && !document.to_string().contains("hot0")
    });
}

#[test]
fn an_interface_that_is_made_anew_under_its_name_is_limited_again() {
    all_is_well();
    must("ip link del up0");
    assert_eq!(status().0, 7);
    must("sh /usr/lib/lab/card.sh && ip link set up0 up");
    let (code, document) = status();
    assert!(code == 7 || root_qdisc("up0") == "fq", "{document}");
    within(SOON, "up0 is limited again", || status().0 == 0);
}

#[test]
fn a_name_that_changes_and_changes_back_leaves_the_limits_in_place() {
    all_is_well();
    must("ip link set up0 down && ip link set up0 name other0");
    within(SOON, "the missing name is reported", || {
        let (code, document) = status();
        code == 7 && document.to_string().contains("up0")
    });
    assert_eq!(root_qdisc("other0"), "fq");
    must("ip link set other0 name up0 && ip link set up0 up");
    within(SOON, "all is well again", || status().0 == 0);
}

#[test]
fn a_qdisc_that_somebody_replaces_is_put_back() {
    all_is_well();
    let said = || ["degraded", "repaired", "restored"].map(|event| n_said(event, "up0"));
    let before = said();
    must("tc qdisc replace dev up0 root pfifo limit 100");
    within(SOON, "fq is back", || {
        root_qdisc("up0") == "fq" && status().0 == 0
    });
    within(SOON, "it is in the journal", || {
        said().iter().zip(before).all(|(now, before)| *now > before)
    });
}

#[test]
fn a_qdisc_that_cannot_be_put_back_is_left_alone_and_reported() {
    all_is_well();
    let before = n_said("repair_failed", "up0");
    must("tc qdisc replace dev up0 root handle 1: htb");
    assert_eq!(status().0, 7);
    within(SOON, "it is in the journal", || {
        n_said("repair_failed", "up0") > before
    });
    assert_eq!(root_qdisc("up0"), "htb");
    must("tc qdisc del dev up0 root");
    within(SOON, "fq is back", || {
        root_qdisc("up0") == "fq" && status().0 == 0
    });
}

#[test]
fn a_rule_that_ends_is_in_the_journal_with_its_name_and_its_destination() {
    all_is_well();
    let n_said = || {
        let matches = "SHAPER_EVENT=expired SHAPER_RULE=short SHAPER_DESTINATION=10.0.0.4";
        let said = must(&format!(
            "journalctl --sync; journalctl -b --no-pager -q -o cat {matches}"
        ));
        said.lines().count()
    };
    let n_before = n_said();
    must("shaper set 10.0.0.4 1mbit --name short --for 2s");
    within(SOON, "it is in the journal", || n_said() == n_before + 1);
    assert!(!must("shaper -o plain list").contains("short"));
}

#[test]
fn limits_hold_while_the_monitor_is_killed_and_it_comes_back() {
    all_is_well();
    let process = property("shaper-monitor.service", "MainPID");
    must("systemctl kill --kill-whom=main --signal=KILL shaper-monitor.service");
    assert_eq!(status().0, 0);
    within(SOON, "the monitor is back", || {
        let again = property("shaper-monitor.service", "MainPID");
        again != "0" && again != process && property("shaper-monitor.service", "ActiveState") == "active"
    });
    must("systemctl stop shaper-monitor.service");
    assert_eq!(status().0, 0);
}

#[test]
fn limits_hold_while_the_monitor_is_starved_and_it_repairs_when_it_is_fed() {
    all_is_well();
    must("systemctl set-property --runtime shaper-monitor.service CPUQuota=1%");
    assert_eq!(status().0, 0);
    must("tc qdisc del dev up0 root");
    let meanwhile = status().0;
    assert!([0, 7].contains(&meanwhile), "{meanwhile}");
    must("systemctl set-property --runtime shaper-monitor.service CPUQuota=");
    within(SOON, "fq is back", || {
        root_qdisc("up0") == "fq" && status().0 == 0
    });
}

#[test]
fn stopping_takes_everything_away_and_starting_brings_it_back() {
    all_is_well();
    must("systemctl stop shaper.service");
    assert_eq!(root_qdisc("up0"), "noqueue");
    assert_eq!(sh("ls /sys/fs/bpf/shaper").code, 2);
    assert_eq!(property("shaper-monitor.service", "ActiveState"), "inactive");
    assert_eq!(status().0, 6);
    must("systemctl start shaper.service");
    within(SOON, "limits are back", || {
        status().0 == 0 && root_qdisc("up0") == "fq"
    });
    within(SOON, "and the monitor", || {
        property("shaper-monitor.service", "ActiveState") == "active"
    });
}
