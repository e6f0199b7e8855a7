//! Devices on top of others, each limited by itself: VLAN, bridge, GRE, VXLAN, WireGuard, and a program behind a tun device.
//! In virtual time.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::thread;

use shaper_tests::lab::{CLIENTS, DOWNLINK, Host, Lab, SERVER, UPLINK};
use shaper_tests::traffic::{Way, frames};

/// `dev0` of the server on top of its uplink, and the like on the other side; the way to the clients goes through both.
fn on_top(definition: &str) -> Lab {
    let lab = Lab::new();
    let mirrored = definition.replace(UPLINK, DOWNLINK).replace(
        &format!("local {SERVER} remote {CLIENTS}"),
        &format!("local {CLIENTS} remote {SERVER}"),
    );
    lab.server.ip([format!("link add dev0 {definition}")]);
    lab.clients.ip([format!("link add dev0 {mirrored}")]);
    lab
}

/// Gives both ends addresses, and leads packets there.
fn lead(lab: &Lab) {
    for (host, address) in [(&lab.server, "10.9.0.1/24"), (&lab.clients, "10.9.0.2/24")] {
        host.ip([
            format!("address add {address} dev dev0"),
            "link set dev0 up".to_owned(),
        ]);
    }
    lab.server.ip(["route replace 10.1.0.0/16 via 10.9.0.2"]);
}

#[test]
fn a_vlan_keeps_the_rate() {
    let lab = on_top(&format!("link {UPLINK} type vlan id 5"));
    lead(&lab);
    let way = Way::limited(&lab, "dev0");
    way.is_well();
    way.holds_the_rate("vlan", || {});
}

#[test]
fn a_bridge_keeps_the_rate() {
    let lab = on_top("type bridge");
    lab.server.ip([format!("link set {UPLINK} master dev0")]);
    lab.clients.ip([format!("link set {DOWNLINK} master dev0")]);
    lead(&lab);
    let way = Way::limited(&lab, "dev0");
    way.is_well();
    way.holds_the_rate("bridge", || {});
}

#[test]
fn tunnels_keep_the_rate() {
    let lab = on_top(&format!(
        "type vxlan id 42 local {SERVER} remote {CLIENTS} dstport 4789"
    ));
    lead(&lab);
    let way = Way::limited(&lab, "dev0");
    way.is_well();
    way.holds_the_rate("vxlan", || {});
    let lab = on_top(&format!("type gre local {SERVER} remote {CLIENTS}"));
    lead(&lab);
    let way = Way::limited(&lab, "dev0").without_link_header(1400);
    way.is_well();
    way.holds_the_rate("gre", || {});
}

/// Runs a line of the shell on a host.
fn shell(host: &Host, line: &str) -> String {
    host.output("sh", &["-c", line]).trim().to_owned()
}

#[test]
fn wireguard_keeps_the_rate() {
    let lab = on_top("type wireguard");
    let [server, clients] = [&lab.server, &lab.clients].map(|host| {
        let make =
            "umask 077; wg genkey >$0.key; wg set dev0 private-key $0.key listen-port 51820; rm $0.key";
        host.output("sh", &["-c", make, &format!("/tmp/{}", host.name())]);
        shell(host, "wg show dev0 public-key")
    });
    for (host, peer, endpoint) in [(&lab.server, clients, CLIENTS), (&lab.clients, server, SERVER)] {
        shell(
            host,
            &format!("wg set dev0 peer {peer} allowed-ips 0.0.0.0/0 endpoint {endpoint}:51820"),
        );
    }
    lead(&lab);
    let way = Way::limited(&lab, "dev0").without_link_header(1300);
    way.is_well();
    way.holds_the_rate("wireguard", || {});
}

#[test]
fn a_program_behind_a_tun_device_is_sent_the_rate() {
    let lab = Lab::new();
    let [mut from, mut to] = [&lab.server, &lab.clients].map(|host| File::from(frames::tun(host, "dev0")));
    lead(&lab);
    // A tunnel in user space, from one end to the other; reading ends with the device.
    let tunnel = thread::spawn(move || {
        let mut packet = [0; 2_000];
        while let Ok(len) = from.read(&mut packet) {
            to.write_all(&packet[..len]).unwrap();
        }
    });
    let way = Way::limited(&lab, "dev0").without_link_header(1400);
    way.is_well();
    way.holds_the_rate("tun", || {});
    lab.server.ip(["link delete dev0"]);
    tunnel.join().unwrap();
}
