//! A limit for everyone must not cut the host off: neighbours are found while it is saturated, in virtual time.

use std::net::{IpAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use shaper_tests::lab::{CLIENTS, CLIENTS6, DOWNLINK, Host, Lab, SERVER, SERVER6, UPLINK, client, client6};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::{Load, Options, Receiver};

/// Forgets `neighbour`, sends it something, and waits until it is known again.
fn find_again(host: &Host, device: &str, neighbour: IpAddr) -> bool {
    host.ip([format!("neighbour del {neighbour} dev {device}")]);
    host.run(|| {
        let any = if neighbour.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let socket = UdpSocket::bind(any).expect("there is a free port");
        socket.send_to(b"?", (neighbour, 9)).expect("there is a route");
    });
    let deadline = Instant::now() + Duration::from_secs(6);
    while Instant::now() < deadline {
        let text = host.output(
            "ip",
            &[
                "-j",
                "neighbour",
                "show",
                "to",
                &neighbour.to_string(),
                "dev",
                device,
            ],
        );
        let list: Value = serde_json::from_str(&text).expect("ip writes JSON");
        if !list[0]["lladdr"].is_null() {
            println!("{} found {neighbour}: {}", host.name(), list[0]["state"]);
            return true;
        }
        thread::sleep(Duration::from_millis(50));
    }
    println!("{} did not find {neighbour}", host.name());
    false
}

#[test]
fn neighbours_are_found_while_the_limit_for_everyone_is_saturated() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set_any("8kbit", &[]);
    let receiver = Receiver::start(&lab.clients);
    let options = Options {
        connect: Some(client6(1)),
        flow: 1,
        ..Options::default()
    };
    let _loads = [
        Load::to(client(1)).bits_per_second(64_000).start(&lab.server),
        Load::to(client6(1))
            .with(options.unstoppable())
            .bits_per_second(64_000)
            .start(&lab.server),
    ];
    let dropped = || shaper.stats_of_any().dropped_packets > 0;
    let deadline = Instant::now() + Duration::from_mins(1);
    while !dropped() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(500));
    }
    assert!(
        dropped(),
        "the limit is not saturated; {} arrived",
        receiver.n_arrived()
    );
    let found = [
        find_again(&lab.server, UPLINK, CLIENTS.into()),
        find_again(&lab.server, UPLINK, CLIENTS6.into()),
        find_again(&lab.clients, DOWNLINK, SERVER.into()),
        find_again(&lab.clients, DOWNLINK, SERVER6.into()),
    ];
    assert_eq!(
        found, [true; 4],
        "the server asks for IPv4, IPv6; the server answers for IPv4, IPv6"
    );
}
