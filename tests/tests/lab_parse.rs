//! The destination is found whatever the device puts in front of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use shaper_tests::lab::{DOWNLINK, Lab, UPLINK, client, client6};
use shaper_tests::packet;
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::frames::{FrameSocket, Machine, tagged, tun};
use shaper_tests::traffic::{Options, Socket};

/// Packets that are sent to each destination.
const N_PACKETS: u64 = 3;

/// The other end of device number `n`.
fn v4(n: u8) -> IpAddr {
    Ipv4Addr::new(10, 9, n, 5).into()
}

/// The other end of device number `n`.
fn v6(n: u8) -> IpAddr {
    Ipv6Addr::new(0xfd09, n.into(), 0, 0, 0, 0, 0, 5).into()
}

/// Gives devices their addresses, IPv6 with `is_v6`, and neighbours that need no asking.
fn address(lab: &Lab, devices: &[(&str, u8, bool)], neighbours: &str) {
    lab.server.ip(devices.iter().flat_map(|&(device, n, is_v6)| {
        let (net, end) = if is_v6 {
            (format!("fd09:{n:x}::1/64 nodad"), v6(n))
        } else {
            (format!("10.9.{n}.1/24"), v4(n))
        };
        let mut lines = vec![
            format!("link set {device} up"),
            format!("address add {net} dev {device}"),
        ];
        if !neighbours.is_empty() {
            lines.push(format!("neighbour add {end} lladdr {neighbours} dev {device}"));
        }
        lines
    }));
}

/// Limits every destination on every one of `interfaces`, sends, and panics unless each packet was found.
fn assert_found(lab: &Lab, interfaces: &str, destinations: &[(&str, IpAddr)], send: impl Fn(IpAddr)) {
    let shaper = Shaper::up(&lab.server, interfaces);
    for (_, destination) in destinations {
        shaper.set(*destination, "10mbit", &["--temporary"]);
    }
    for (_, destination) in destinations {
        for _ in 0..N_PACKETS {
            send(*destination);
        }
    }
    let found: Vec<_> = destinations
        .iter()
        .map(|(device, destination)| (*device, shaper.stats(*destination).sent_packets))
        .collect();
    println!("{found:?}");
    assert!(
        found.iter().all(|(_, n)| *n == N_PACKETS),
        "{found:?} of {N_PACKETS} each"
    );
}

fn send_udp(lab: &Lab, destination: IpAddr) {
    let options = Options {
        payload: 100,
        connect: Some(destination),
        ..Options::default()
    };
    Socket::open(&lab.server, options).send(destination).unwrap();
}

#[test]
fn the_destination_is_found_on_devices_without_a_link_header() {
    let lab = Lab::new();
    let _tun = tun(&lab.server, "tun0");
    lab.server.ip([
        "link add wg0 type wireguard",
        "link add gre1 type gre local 10.0.0.1 remote 10.0.0.2",
        "link add nbma type gre local 10.0.0.1 key 7",
        "link add ipip1 type ipip local 10.0.0.1 remote 10.0.0.2",
        "link add sit1 type sit local 10.0.0.1 remote 10.0.0.2",
        "link add gre6 type ip6gre local fd00::1 remote fd00::2",
        "link add tnl6 type ip6tnl mode any local fd00::1 remote fd00::2",
    ]);
    let devices = [
        ("tun0", 1, false),
        ("wg0", 2, false),
        ("gre1", 3, false),
        ("nbma", 4, false),
        ("ipip1", 5, false),
        ("sit1", 6, true),
        ("gre6", 7, true),
        ("tnl6", 8, false),
        ("tun0", 9, true),
        ("wg0", 10, true),
    ];
    address(&lab, &devices, "");
    lab.server.ip(["neighbour add 10.9.4.5 lladdr 10.0.0.2 dev nbma"]);
    let destinations = devices.map(|(device, n, is_v6)| (device, if is_v6 { v6(n) } else { v4(n) }));
    let interfaces = "tun0,wg0,gre1,nbma,ipip1,sit1,gre6,tnl6";
    assert_found(&lab, interfaces, &destinations, |destination| {
        send_udp(&lab, destination);
    });
}

#[test]
fn the_destination_is_found_on_devices_that_stand_on_others() {
    let lab = Lab::new();
    lab.server.ip([
        format!("link add link {UPLINK} name vlan5 type vlan id 5"),
        format!("link add link {UPLINK} name outer type vlan proto 802.1ad id 6"),
        "link add link outer name inner type vlan id 7".to_owned(),
        format!("link add link {UPLINK} name macvlan1 type macvlan mode bridge"),
        "link add vxlan1 type vxlan id 1 local 10.0.0.1 remote 10.0.0.2 dstport 4789".to_owned(),
        "link add dummy1 type dummy".to_owned(),
        "link add bridge1 type bridge".to_owned(),
        "link set dummy1 master bridge1".to_owned(),
        "link set outer up".to_owned(),
        "link set dummy1 up".to_owned(),
    ]);
    let devices = [
        ("vlan5", 1, false),
        ("vlan5", 2, true),
        ("inner", 3, false),
        ("inner", 4, true),
        ("macvlan1", 5, false),
        ("vxlan1", 6, true),
        ("bridge1", 7, false),
    ];
    address(&lab, &devices, "02:00:00:00:00:05");
    let destinations = devices.map(|(device, n, is_v6)| (device, if is_v6 { v6(n) } else { v4(n) }));
    let interfaces = "vlan5,inner,macvlan1,vxlan1,bridge1";
    assert_found(&lab, interfaces, &destinations, |destination| {
        send_udp(&lab, destination);
    });
}

#[test]
fn the_destination_is_found_behind_tags_that_an_upper_device_adds() {
    let lab = Lab::new();
    lab.server.ip([
        format!("link add link {UPLINK} name vlan5 type vlan id 5"),
        format!("link add link {UPLINK} name outer type vlan proto 802.1ad id 6"),
        "link add link outer name inner type vlan id 7".to_owned(),
        "link set outer up".to_owned(),
    ]);
    let devices = [
        ("vlan5", 1, false),
        ("vlan5", 2, true),
        ("inner", 3, false),
        ("inner", 4, true),
    ];
    address(&lab, &devices, "02:00:00:00:00:05");
    let destinations = devices.map(|(device, n, is_v6)| (device, if is_v6 { v6(n) } else { v4(n) }));
    assert_found(&lab, UPLINK, &destinations, |destination| {
        send_udp(&lab, destination);
    });
}

#[test]
fn the_destination_is_found_behind_tags_that_an_application_writes() {
    let lab = Lab::new();
    let socket = FrameSocket::open(&lab.server, UPLINK);
    let destinations = [
        ("no tag", v4(1)),
        ("802.1Q", v4(2)),
        ("802.1ad and 802.1Q", v4(3)),
        ("no tag", v6(1)),
        ("802.1Q", v6(2)),
        ("802.1ad and 802.1Q", v6(3)),
    ];
    assert_found(&lab, UPLINK, &destinations, |destination| {
        let tags: &[(u16, u16)] = match destinations.iter().find(|(_, other)| *other == destination) {
            Some(("802.1Q", _)) => &[(0x8100, 5)],
            Some(("no tag", _)) | None => &[],
            Some(_) => &[(0x88a8, 6), (0x8100, 7)],
        };
        socket.send(&tagged(tags, destination)).unwrap();
    });
}

/// A frame of UDP from port 143 that is longer than a page.
fn long_frame(destination: IpAddr) -> Vec<u8> {
    let datagram = packet::udp_from(143, 9, &[0; 5000]);
    match destination {
        IpAddr::V4(address) => packet::ethernet(0x0800, &packet::ipv4(address, 17, 0, &datagram)),
        IpAddr::V6(address) => packet::ethernet(0x86dd, &packet::ipv6(address, 17, 0, &datagram)),
    }
}

/// Bytes before the transport header.
fn n_headers(destination: IpAddr) -> u16 {
    if destination.is_ipv4() { 34 } else { 54 }
}

#[test]
fn destination_and_port_are_found_however_few_bytes_of_a_bridged_frame_are_linear() {
    let lab = Lab::new();
    let mut machine = Machine::new(&lab.server, "tap0");
    let devices = ["bridge1", "tap0", UPLINK];
    lab.clients.ip([format!("link set {DOWNLINK} mtu 9000")]);
    lab.server.ip(["link add bridge1 type bridge"]);
    lab.server
        .ip(["tap0", UPLINK].map(|device| format!("link set {device} master bridge1")));
    lab.server
        .ip(devices.map(|device| format!("link set {device} mtu 9000 up")));
    let shaper = Shaper::up(&lab.server, UPLINK);
    let sent = || -> u64 {
        let snapshot = shaper.snapshot();
        snapshot
            .entries
            .iter()
            .map(|entry| entry.bucket.sent_packets)
            .sum()
    };
    let destinations = [client(7), client6(7)];
    for destination in destinations {
        shaper.set(destination, "1gbit", &["--temporary", "--service", "udp:143"]);
    }
    let mut expected = 0;
    for destination in destinations {
        // The link header alone; the first byte of IP; all of IP; half of a port; all headers.
        let n_headers = n_headers(destination);
        for n_linear in [14, 15, n_headers, n_headers + 1, n_headers + 8] {
            machine.send(&long_frame(destination), n_linear).unwrap();
            expected += 1;
            assert_eq!(sent(), expected, "{destination}, {n_linear} bytes linear");
        }
    }
    // What keeps the link alive is known just so, and never limited.
    for destination in destinations {
        shaper.set(destination, "1gbit", &["--temporary"]);
        let control = [packet::link_control(destination, 0), vec![0; 5000]].concat();
        machine.send(&control, 14).unwrap();
        assert_eq!(sent(), expected, "{destination}");
        let mut other = long_frame(destination);
        // From another port, so that no rule for a service counts.
        other[usize::from(n_headers(destination)) + 1] = 144;
        machine.send(&other, 14).unwrap();
        expected += 1;
        assert_eq!(sent(), expected, "{destination}");
    }
}

#[test]
fn what_is_no_ip_packet_passes() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set_any("8kbit", &[]);
    let before = shaper_tests::lab::link::Counters::read(&lab.clients, DOWNLINK);
    let socket = FrameSocket::open(&lab.server, UPLINK);
    // LLDP, 802.1X, PPPoE, MPLS, something that says it is IPv4 and is not, and half an IPv6 header.
    for protocol in [0x88cc_u16, 0x888e, 0x8864, 0x8847, 0x0800, 0x86dd] {
        for _ in 0..10 {
            let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
            frame.extend(protocol.to_be_bytes());
            frame.extend([0xff; 30]);
            socket.send(&frame).unwrap();
        }
    }
    let after = shaper_tests::lab::link::Counters::read(&lab.clients, DOWNLINK);
    assert!(after.since(before).rx_packets >= 60, "{:?}", after.since(before));
    assert_eq!(shaper.stats_of_any().sent_packets, 0);
}
