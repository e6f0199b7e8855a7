//! A machine that booted with a policy. Nothing is changed here, so the tests may come in any order.

use serde_json::Value;
use shaper_tests::machine::{must, property, sh, status};

/// Packets that were sent as soon as the network was configured; see `tests/systemd`.
const N_PACKETS: u64 = 40;

fn peer() -> Value {
    let listed: Value = serde_json::from_str(&must("shaper -o json list --stats")).unwrap();
    listed["rules"]
        .as_array()
        .and_then(|rules| rules.iter().find(|rule| rule["name"] == "peer"))
        .cloned()
        .expect("the policy has a rule of this name")
}

/// When a unit did that, in microseconds.
fn moment(unit: &str, what: &str) -> u64 {
    property(unit, &format!("{what}TimestampMonotonic"))
        .parse()
        .unwrap()
}

#[test]
fn the_very_first_packets_are_limited() {
    let stats = &peer()["stats"];
    let n_sent = stats["sent_packets"].as_u64().unwrap();
    let n_delayed = stats["delayed_packets"].as_u64().unwrap();
    // Each passed the program, and at 1 Mbit/s only a few pass without waiting.
    assert_eq!(n_sent, N_PACKETS, "{stats}");
    assert!(n_delayed >= N_PACKETS / 2, "{stats}");
}

#[test]
fn an_interface_that_never_appears_is_named_and_delays_nothing() {
    let (code, document) = status();
    let problems = document["problems"].to_string();
    assert!(code == 7 && problems.contains("never0"), "{code} {document}");
    // Neither systemd waits for a device, nor `shaper up` for longer than its unit may take.
    for kind in ["After", "Wants", "Requires", "BindsTo"] {
        let others = property("shaper.service", kind);
        assert!(!others.contains(".device"), "{kind}: {others}");
    }
    assert_eq!(property("shaper.service", "Result"), "success");
    let took_usec = moment("shaper.service", "ActiveEnter") - moment("shaper.service", "InactiveExit");
    println!("shaper.service took {took_usec} us to start");
    // An emulated processor loads a program in seconds; whoever waits for a device waits for a minute and more.
    assert!(took_usec < 30_000_000, "{took_usec} us");
}

#[test]
fn limits_are_in_force_before_anything_configures_the_network() {
    let limits = moment("shaper.service", "ActiveEnter");
    let network = moment("lab-network.service", "InactiveExit");
    assert!(0 < limits && limits < network, "{limits} {network}");
}

#[test]
fn both_units_run_and_expose_little() {
    for unit in ["shaper.service", "shaper-monitor.service"] {
        assert_eq!(property(unit, "ActiveState"), "active", "{unit}");
        let said = sh(&format!("systemd-analyze security --no-pager {unit} | tail -n 1")).out;
        let exposure: f64 = said
            .split_once(": ")
            .and_then(|(_, level)| level.split(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("{unit}: {said}"));
        println!("{unit}: exposure {exposure}");
        assert!(exposure <= 2.0, "{unit}: {said}");
        assert_eq!(property(unit, "CapabilityBoundingSet"), "cap_net_admin cap_bpf");
    }
}

#[test]
fn the_monitor_has_the_capabilities_it_needs_and_no_other() {
    let process = property("shaper-monitor.service", "MainPID");
    let bounds = must(&format!("grep CapBnd /proc/{process}/status"));
    let bits = u64::from_str_radix(bounds.split_whitespace().nth(1).unwrap(), 16).unwrap();
    // CAP_NET_ADMIN, CAP_BPF.
    assert_eq!(bits, 1 << 12 | 1 << 39, "{bounds}");
    assert_eq!(property("shaper-monitor.service", "NRestarts"), "0");
}
