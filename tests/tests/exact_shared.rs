//! A server with one socket for all its clients, as for DNS or QUIC: what limited clients wait for must not take the
//! send buffer from the others. In virtual time.

use std::net::IpAddr;
use std::time::Duration;

use shaper_common::outcome::Outcome;
use shaper_tests::lab::qdisc::Qdisc;
use shaper_tests::lab::{Lab, UPLINK, client};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::{Arrivals, Iperf, Load, Options, Receiver};

const N_CLIENTS: u16 = 1_000;

/// Clients that are limited, and flooded.
const N_LIMITED: u16 = 10;

const DURATION: Duration = Duration::from_millis(1_500);

/// Whom the server sends to in turn: every client, and the limited ones again and again in between.
fn turns(n_per_limited: u16) -> Vec<IpAddr> {
    let n_others = N_CLIENTS - N_LIMITED;
    let mut turns = Vec::new();
    let mut n_floods = 0_u32;
    for other in 0..n_others {
        turns.push(client(N_LIMITED + 1 + other));
        let due =
            u32::from(N_LIMITED) * u32::from(n_per_limited) * u32::from(other + 1) / u32::from(n_others);
        while n_floods < due {
            turns.push(client(
                1 + u16::try_from(n_floods % u32::from(N_LIMITED)).unwrap(),
            ));
            n_floods += 1;
        }
    }
    turns
}

fn n_of_others(arrivals: &Arrivals) -> usize {
    let limited = (1..=N_LIMITED).map(client).collect::<Vec<_>>();
    arrivals
        .only(|arrival| !limited.contains(&arrival.destination))
        .len()
}

/// Sends packets of `payload` bytes to everybody from one socket with an ordinary send buffer, to the limited ones four
/// times what they may get.
fn serve(payload: usize, kilobits: u32, n_per_limited: u16) {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    let options = Options {
        payload,
        ..Options::default()
    };
    let turns = turns(n_per_limited);
    // Four times a limited client's rate is his part of all that is sent.
    let bits_per_second = u64::from(kilobits) * 4_000 * turns.len() as u64 / u64::from(n_per_limited);
    let load = Load::to_all(turns)
        .from_one_socket()
        .with(options)
        .bits_per_second(bits_per_second);
    let run = || {
        let receiver = Receiver::start(&lab.clients);
        let sent = load.run(&lab.server, DURATION);
        (sent, receiver.drain(Duration::from_millis(300)))
    };
    let (sent, before) = run();
    assert_eq!(before.len() as u64, sent.n_packets, "nobody is limited yet");
    for n in 1..=N_LIMITED {
        shaper.set(client(n), &format!("{kilobits}kbit"), &["--temporary"]);
    }
    let (_, during) = run();
    let (n_before, n_during) = (n_of_others(&before), n_of_others(&during));
    println!("payload {payload}: {n_before} packets to others, then {n_during}");
    assert!(n_during * 100 >= n_before * 95, "{n_during} of {n_before}");
    for n in 1..=N_LIMITED {
        let rate = during
            .to(client(n))
            .settled(Duration::from_millis(300))
            .bits_per_second();
        assert!(
            (rate / f64::from(kilobits) / 1e3 - 1.0).abs() < 0.01,
            "{}: {rate}",
            client(n)
        );
    }
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
}

#[test]
fn a_quic_server_that_floods_ten_of_its_clients_has_room_for_the_others() {
    serve(1400, 1_000, 70);
}

#[test]
fn a_dns_server_that_floods_ten_of_its_clients_has_room_for_the_others() {
    serve(100, 200, 140);
}

#[test]
fn answers_get_through_behind_the_download_of_the_client_who_asked() {
    const PAYLOAD: usize = 100;
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "2mbit", &[]);
    let receiver = Receiver::start(&lab.clients);
    let download = Iperf::to(client(1), 5201, 4).start(&lab.server, &lab.clients);
    let options = Options {
        payload: PAYLOAD,
        ..Options::default()
    };
    // Ten answers a second.
    let sent = Load::to(client(1))
        .from_one_socket()
        .with(options)
        .bits_per_second(options.wire_bytes(client(1)) * 8 * 10)
        .run(&lab.server, Duration::from_secs(3));
    let goodput = download.finish().bits_per_second;
    let arrivals = receiver.drain(Duration::from_millis(300));
    let n_refused = shaper.snapshot().total(Outcome::SharedFull);
    println!(
        "{} of {} answers, {n_refused} refused a place, TCP {goodput:.0} bit/s",
        arrivals.len(),
        sent.n_packets
    );
    assert!(sent.n_packets >= 29 && goodput > 1.8e6);
    // One that comes while the download fills the whole queue is dropped like the download's own packets. Were theirs a
    // queue of four packets, hardly any would get through.
    assert_eq!(n_refused, 0);
    assert!(arrivals.len() as u64 * 2 >= sent.n_packets);
}

#[test]
fn an_unconnected_socket_gets_the_rate_too() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    let receiver = Receiver::start(&lab.clients);
    for (n, megabits, payload) in [
        (1, 1_u32, 1400),
        (2, 10, 1400),
        (3, 100, 1400),
        (4, 1, 64),
        (5, 10, 64),
    ] {
        shaper.set(client(n), &format!("{megabits}mbit"), &["--temporary"]);
        let options = Options {
            payload,
            ..Options::default()
        };
        Load::to(client(n))
            .from_one_socket()
            .with(options.unstoppable())
            .bits_per_second(u64::from(megabits) * 4_000_000)
            .run(&lab.server, Duration::from_millis(1_300));
        let arrivals = receiver.drain(Duration::from_millis(100)).to(client(n));
        let rate = arrivals.settled(Duration::from_millis(300)).bits_per_second();
        println!("{megabits} Mbit/s, payload {payload}: {rate:.0} bit/s");
        assert!(
            (0.99..1.005).contains(&(rate / f64::from(megabits) / 1e6)),
            "{megabits} Mbit/s, payload {payload}: {rate}"
        );
        assert_eq!(arrivals.n_reordered(), 0);
    }
}
