//! What is charged is what crosses the wire, as the interface at the other end counts it.

use std::net::{IpAddr, Ipv4Addr};

use shaper_tests::lab::link::Counters;
use shaper_tests::lab::{CLIENTS, DOWNLINK, Lab, UPLINK, client};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::{Iperf, Options, Socket};

/// Panics unless the rule for `destination` charged what `transmit` made arrive, within half a percent.
fn assert_charged(lab: &Lab, destination: IpAddr, what: &str, transmit: impl FnOnce()) {
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(destination, "1gbit", &["--burst", "10MB"]);
    let before = Counters::read(&lab.clients, DOWNLINK);
    transmit();
    let crossed = Counters::read(&lab.clients, DOWNLINK).since(before);
    let stats = shaper.stats(destination);
    println!(
        "{what}: {} bytes charged in {} packets, {} bytes crossed in {} packets",
        stats.sent_bytes, stats.sent_packets, crossed.rx_bytes, crossed.rx_packets
    );
    assert!(
        crossed.rx_packets > stats.sent_packets,
        "{what}: nothing was segmented"
    );
    assert!(
        stats.sent_bytes.abs_diff(crossed.rx_bytes) * 200 <= crossed.rx_bytes,
        "{what}: {} charged, {} crossed",
        stats.sent_bytes,
        crossed.rx_bytes
    );
}

fn send_segments(lab: &Lab, destination: IpAddr) {
    let options = Options {
        payload: 1000,
        segments: 10,
        ..Options::default()
    };
    let mut socket = Socket::open(&lab.server, options.unstoppable());
    for _ in 0..50 {
        socket.send(destination).unwrap();
    }
}

#[test]
fn every_segment_of_a_udp_packet_is_charged_with_its_headers() {
    let lab = Lab::new();
    assert_charged(&lab, client(1), "UDP segments", || send_segments(&lab, client(1)));
}

#[test]
fn every_segment_of_a_tcp_packet_is_charged_with_its_headers() {
    let lab = Lab::new();
    assert_charged(&lab, client(1), "TCP", || {
        let _ = Iperf::to(client(1), 5201, 2).run(&lab.server, &lab.clients);
    });
}

/// A network inside VXLAN, whose packets go to [`CLIENTS`].
fn vxlan(lab: &Lab) -> IpAddr {
    for (host, end, local, remote) in [
        (&lab.server, 1, "10.0.0.1", "10.0.0.2"),
        (&lab.clients, 2, "10.0.0.2", "10.0.0.1"),
    ] {
        host.ip([
            format!("link add vxlan1 mtu 1450 type vxlan id 1 local {local} remote {remote} dstport 4789"),
            "link set vxlan1 up".to_owned(),
            format!("address add 10.8.0.{end}/24 dev vxlan1"),
        ]);
        host.output("ethtool", &["-K", "vxlan1", "gro", "off"]);
    }
    IpAddr::V4(Ipv4Addr::new(10, 8, 0, 2))
}

#[test]
fn every_segment_of_encapsulated_udp_is_charged_with_all_its_headers() {
    let lab = Lab::new();
    let inner = vxlan(&lab);
    assert_charged(&lab, CLIENTS.into(), "UDP in VXLAN", || {
        send_segments(&lab, inner);
    });
}

#[test]
fn every_segment_of_encapsulated_tcp_is_charged_with_all_its_headers() {
    let lab = Lab::new();
    let inner = vxlan(&lab);
    assert_charged(&lab, CLIENTS.into(), "TCP in VXLAN", || {
        let _ = Iperf::to(inner, 5201, 2).run(&lab.server, &lab.clients);
    });
}
