//! What real devices show the program, and `BPF_PROG_TEST_RUN` cannot: tags that a device adds, tunnels, devices
//! without a link header, clocks of departure times.

use std::net::{IpAddr, Ipv4Addr};

use aya::programs::{SchedClassifier, TcAttachType, tc};
use shaper_common::{
    NSEC_PER_SEC,
    names::{self, NO_LINK_HEADER},
    outcome::Outcome,
    pacing::{Limit, ticks},
    rule::Rule,
};
use shaper_tests::{
    kernel::{Kernel, Settings},
    lab::{CLIENTS, Lab, Release, SERVER, UPLINK},
    model::Policy,
    traffic::{Clock, Options, Socket},
};

/// Headers of UDP over IPv4 in an Ethernet frame.
const HEADERS: u64 = 14 + 20 + 8;
/// Address of the clients' host inside a tunnel or behind a tag; nobody answers there.
const INNER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

/// The program on an interface of the lab's server, with a rule for `destination` that charges bucket 0.
fn limited(lab: &Lab, interface: &str, destination: Ipv4Addr, link_header_len: u32) -> Kernel {
    let settings = Settings {
        fake_clock: false,
        link_header_len,
        ..Settings::default()
    };
    let mut kernel = Kernel::load(settings);
    let limit = Limit::new(NSEC_PER_SEC, 0, NSEC_PER_SEC, None);
    let rule = Rule::limited(limit, 0);
    kernel.install(&Policy {
        exact4: vec![(destination, rule)],
        ..Policy::default()
    });
    lab.server.run(|| {
        if Release::running() < Release(6, 6) {
            tc::qdisc_add_clsact(interface).unwrap();
        }
        let program: &mut SchedClassifier = kernel
            .ebpf()
            .program_mut(names::PROGRAM)
            .unwrap()
            .try_into()
            .unwrap();
        program.attach(interface, TcAttachType::Egress).unwrap();
    });
    kernel
}

/// Bytes charged for `n_packets` packets that are sent to `destination`, each; all are alike.
fn charged_each(lab: &Lab, kernel: &Kernel, destination: Ipv4Addr, options: Options, n_packets: u64) -> u64 {
    let mut socket = Socket::open(&lab.server, options);
    let before = kernel.bucket(0);
    for _ in 0..n_packets {
        socket.send(IpAddr::V4(destination)).unwrap();
    }
    let after = kernel.bucket(0);
    assert_eq!(after.sent_packets - before.sent_packets, n_packets);
    assert_eq!((after.sent_bytes - before.sent_bytes) % n_packets, 0);
    (after.sent_bytes - before.sent_bytes) / n_packets
}

/// Ten segments of 1000 bytes, handed over at once.
fn segmented() -> Options {
    Options {
        payload: 1000,
        segments: 10,
        ..Options::default()
    }
}

/// Puts a device on the server's uplink, with a route to [`INNER`] and no question for its address.
fn add_device(lab: &Lab, definition: &str) {
    lab.server.ip([
        format!("link add dev0 {definition}"),
        "address add 10.9.0.1/24 dev dev0".to_owned(),
        "link set dev0 up".to_owned(),
    ]);
}

fn know_neighbour(lab: &Lab) {
    lab.server.ip([format!(
        "neighbour add {INNER} dev dev0 lladdr 02:00:00:00:00:09 nud permanent"
    )]);
}

#[test]
fn a_tag_that_the_device_adds_is_charged_with_every_segment() {
    let lab = Lab::new();
    add_device(&lab, &format!("link {UPLINK} type vlan id 5"));
    know_neighbour(&lab);
    let kernel = limited(&lab, UPLINK, INNER, 14);
    let one = Options {
        payload: 1000,
        ..Options::default()
    };
    assert_eq!(charged_each(&lab, &kernel, INNER, one, 3), 1000 + HEADERS + 4);
    assert_eq!(
        charged_each(&lab, &kernel, INNER, segmented(), 3),
        10 * (1000 + HEADERS + 4)
    );
}

#[test]
fn without_a_tunnel_segments_are_charged_their_headers() {
    let lab = Lab::new();
    let kernel = limited(&lab, UPLINK, CLIENTS, 14);
    assert_eq!(
        charged_each(&lab, &kernel, CLIENTS, segmented(), 3),
        10 * (1000 + HEADERS)
    );
}

#[test]
fn segments_in_a_tunnel_are_charged_inner_headers_too() {
    for (definition, has_neighbours, headers) in [
        (
            format!("type vxlan id 42 local {SERVER} remote {CLIENTS} dstport 4789"),
            true,
            14 + 20 + 8 + 8 + HEADERS,
        ),
        (
            format!("type vxlan id 42 local {SERVER} remote {CLIENTS} dstport 8472"),
            true,
            14 + 20 + 8 + 8 + HEADERS,
        ),
        (
            format!("type geneve id 42 remote {CLIENTS}"),
            true,
            14 + 20 + 8 + 8 + HEADERS,
        ),
        (
            format!("type gre local {SERVER} remote {CLIENTS}"),
            false,
            14 + 20 + 4 + 28,
        ),
        (
            format!("type gre local {SERVER} remote {CLIENTS} key 7"),
            false,
            14 + 20 + 8 + 28,
        ),
        (
            format!("type gretap local {SERVER} remote {CLIENTS}"),
            true,
            14 + 20 + 4 + HEADERS,
        ),
        (
            format!("type ipip local {SERVER} remote {CLIENTS}"),
            false,
            14 + 20 + 28,
        ),
    ] {
        let lab = Lab::new();
        add_device(&lab, &definition);
        if has_neighbours {
            know_neighbour(&lab);
        }
        let kernel = limited(&lab, UPLINK, CLIENTS, 14);
        let charged = charged_each(&lab, &kernel, INNER, segmented(), 3);
        assert_eq!(charged, 10 * (1000 + headers), "{definition}");
    }
}

#[test]
fn a_tunnel_device_without_a_link_header_shows_the_inner_destination() {
    for (definition, headers) in [
        (format!("type gre local {SERVER} remote {CLIENTS}"), 28),
        (format!("type ipip local {SERVER} remote {CLIENTS}"), 28),
    ] {
        let lab = Lab::new();
        add_device(&lab, &definition);
        let kernel = limited(&lab, "dev0", INNER, NO_LINK_HEADER);
        let one = Options {
            payload: 1000,
            ..Options::default()
        };
        assert_eq!(
            charged_each(&lab, &kernel, INNER, one, 3),
            1000 + headers,
            "{definition}"
        );
    }
}

#[test]
fn a_tunnel_device_with_half_a_header_shows_the_inner_destination() {
    let lab = Lab::new();
    // Without a remote address, the frame starts with an outer header that is yet to be filled in.
    add_device(&lab, &format!("type gre local {SERVER}"));
    lab.server.ip([format!(
        "neighbour add {INNER} dev dev0 lladdr {CLIENTS} nud permanent"
    )]);
    let kernel = limited(&lab, "dev0", INNER, NO_LINK_HEADER);
    let one = Options {
        payload: 1000,
        ..Options::default()
    };
    assert!(charged_each(&lab, &kernel, INNER, one, 3) >= 1000 + 28);
}

#[test]
fn a_departure_time_of_another_clock_is_replaced_and_one_of_ours_is_kept() {
    for (clock, n_replaced) in [(Clock::Tai, 1), (Clock::Realtime, 1), (Clock::Monotonic, 0)] {
        let lab = Lab::new();
        lab.server.tc([format!("qdisc replace dev {UPLINK} root fq")]);
        let kernel = limited(&lab, UPLINK, CLIENTS, 14);
        for ahead_ns in [0, NSEC_PER_SEC / 2] {
            let before = kernel.total(Outcome::Restamped);
            kernel.set_last_departure(0, ticks(Clock::Monotonic.now_ns() + ahead_ns));
            let options = Options {
                departure_clock: Some(clock),
                ..Options::default()
            };
            let mut socket = Socket::open(&lab.server, options);
            socket
                .send_at(IpAddr::V4(CLIENTS), clock.now_ns() + NSEC_PER_SEC / 10)
                .unwrap();
            let replaced = kernel.total(Outcome::Restamped) - before;
            assert_eq!(replaced, n_replaced, "{clock:?}, {ahead_ns} ns ahead");
        }
        assert_eq!(kernel.total(Outcome::RawStamped), 0);
    }
}
