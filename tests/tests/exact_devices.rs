//! Devices that change under the limits: a bond and a team that fail over, transmit queues that come and go, a carrier that
//! is lost. From one horizon later on the rate holds. In virtual time.

use std::time::{Duration, Instant};

use serde_json::Value;
use shaper_tests::lab::qdisc::Qdisc;
use shaper_tests::lab::{CLIENTS, DOWNLINK, Host, Lab, SERVER, UPLINK, link};
use shaper_tests::traffic::Way;

/// Far longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What `ip` says about an interface.
fn shown(host: &Host, name: &str) -> Value {
    let text = host.output("ip", &["-j", "-d", "link", "show", "dev", name]);
    let mut shown: Value = serde_json::from_str(&text).unwrap();
    shown[0].take()
}

/// Asks about an interface until the answer is right.
fn wait_until(host: &Host, name: &str, holds: impl Fn(&Value) -> bool) {
    let began = Instant::now();
    while !holds(&shown(host, name)) {
        assert!(began.elapsed() < PATIENCE, "{}", shown(host, name));
    }
}

/// A server and a host of clients, joined by two cables: a bridge on the one side; on the other, `dev0` of this kind,
/// whose ports are yet to be added.
fn two_cables(kind: &str) -> Lab {
    let lab = Lab {
        server: Host::new("server"),
        clients: Host::new("clients"),
    };
    for n in 1..=2 {
        link::cable(
            (&lab.server, &format!("port{n}")),
            (&lab.clients, &format!("far{n}")),
            1,
        );
    }
    lab.server.ip([
        "link set port1 down",
        "link set port2 down",
        &format!("link add dev0 type {kind}"),
    ]);
    lab.clients.ip([
        "link add br0 address 02:00:00:00:00:02 type bridge",
        "link set far1 master br0",
        "link set far2 master br0",
        "link set br0 up",
    ]);
    lab
}

/// Adds the ports, and addresses at both ends.
fn join(lab: &Lab) {
    lab.server.ip([
        "link set port1 master dev0".to_owned(),
        "link set port2 master dev0".to_owned(),
        "link set port1 up".to_owned(),
        "link set port2 up".to_owned(),
        "link set dev0 up".to_owned(),
        format!("address add {SERVER}/24 dev dev0"),
        format!("route add 10.1.0.0/16 via {CLIENTS}"),
        format!("neighbour add {CLIENTS} dev dev0 lladdr 02:00:00:00:00:02"),
    ]);
    lab.clients.ip([
        format!("address add {CLIENTS}/24 dev br0"),
        "route add local 10.1.0.0/16 dev lo".to_owned(),
    ]);
}

#[test]
fn a_bond_that_fails_over_keeps_the_rate() {
    let lab = two_cables("bond mode active-backup miimon 50");
    join(&lab);
    let way = Way::limited(&lab, "dev0");
    let active =
        |port: &'static str| move |bond: &Value| bond["linkinfo"]["info_data"]["active_slave"] == *port;
    way.holds_the_rate("the other port is made active", || {
        lab.server.ip(["link set dev0 type bond active_slave port2"]);
    });
    way.holds_the_rate("the active port loses its carrier", || {
        wait_until(&lab.server, "dev0", active("port2"));
        lab.clients.ip(["link set far2 down"]);
        wait_until(&lab.server, "dev0", active("port1"));
    });
    assert_eq!(Qdisc::list(&lab.server, "port1")[0].kind, "fq");
    way.is_well();
}

#[test]
fn a_team_that_fails_over_keeps_the_rate() {
    let lab = two_cables("team");
    lab.server
        .output("teamnl", &["dev0", "setoption", "mode", "activebackup"]);
    join(&lab);
    let activate = |port: &str| {
        let index = shown(&lab.server, port)["ifindex"].to_string();
        lab.server
            .output("teamnl", &["dev0", "setoption", "activeport", &index]);
    };
    activate("port1");
    let way = Way::limited(&lab, "dev0");
    way.holds_the_rate("the other port is made active", || activate("port2"));
    assert_eq!(Qdisc::list(&lab.server, "port2")[0].kind, "fq");
    way.is_well();
}

#[test]
fn transmit_queues_that_come_and_go_keep_the_rate() {
    let lab = Lab::with_queues(4);
    let way = Way::limited(&lab, UPLINK);
    for (n, what) in [
        ("2", "four queues become two"),
        ("4", "two queues become four"),
        ("1", "four become one"),
    ] {
        way.holds_the_rate(what, || {
            lab.server.output("ethtool", &["-L", UPLINK, "tx", n]);
        });
        way.is_well();
        assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0, "{what}");
    }
}

#[test]
fn queues_that_nobody_uses_yet_have_fq_already() {
    let lab = Lab::with_queues(4);
    lab.server.output("ethtool", &["-L", UPLINK, "tx", "2"]);
    let way = Way::limited(&lab, UPLINK);
    assert_eq!(Qdisc::fqs(&lab.server, UPLINK).len(), 4);
    way.is_well();
    way.holds_the_rate("two queues become four", || {
        lab.server.output("ethtool", &["-L", UPLINK, "tx", "4"]);
    });
    way.is_well();
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
}

#[test]
fn a_carrier_that_is_lost_and_returns_keeps_the_rate() {
    let lab = Lab::new();
    let way = Way::limited(&lab, UPLINK);
    let is_up = |link: &Value| link["operstate"] == *"UP";
    way.holds_the_rate("the carrier is lost and returns", || {
        lab.clients.ip([format!("link set {DOWNLINK} down")]);
        wait_until(&lab.server, UPLINK, |link| !is_up(link));
        lab.clients.ip([
            format!("link set {DOWNLINK} up"),
            // Gone with the link.
            format!("neighbour replace {SERVER} dev {DOWNLINK} lladdr 02:00:00:00:00:01"),
        ]);
        wait_until(&lab.server, UPLINK, is_up);
    });
    way.is_well();
}
