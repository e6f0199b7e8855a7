//! Services and groups, in virtual time: exactly what a rule says is limited, and the rest is not.

use std::time::Duration;

use shaper_tests::lab::qdisc::Qdisc;
use shaper_tests::lab::{Lab, UPLINK, client, client6};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::{Arrivals, Iperf, Load, Options, Receiver};

/// Bursts are over and queues are full.
const SETTLING: Duration = Duration::from_millis(300);

/// What a group may deviate by.
const TOLERANCE: f64 = 0.01;

/// Sockets of one test: one for each member of a large group, and what else is open.
const N_FILES: libc::rlim_t = 4_096;

/// Panics unless the rate is `bits_per_second` within `tolerance`.
fn assert_rate(what: &str, arrivals: &Arrivals, bits_per_second: f64, tolerance: f64) {
    let measured = arrivals.settled(SETTLING).departure_rate(bits_per_second);
    let deviation = measured / bits_per_second - 1.0;
    println!("{what}: {measured:.0} bit/s, {:+.1} ppm", deviation * 1e6);
    assert!(
        deviation.abs() < tolerance,
        "{what}: {measured} of {bits_per_second}"
    );
}

#[test]
fn imap_is_limited_and_ssh_and_https_of_the_same_client_are_not() {
    const LIMIT: f64 = 5e6;
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "5mbit", &["--service", "imap"]);
    let transfers = [143, 22, 443].map(|source_port| {
        let transfer = Iperf {
            source_port,
            ..Iperf::to(client(1), 5200 + source_port, 6)
        };
        transfer.start(&lab.server, &lab.clients)
    });
    let [imap, ssh, https] = transfers.map(|transfer| transfer.finish().bits_per_second);
    println!("imap {imap:.0}, ssh {ssh:.0}, https {https:.0} bit/s");
    assert!((0.92..1.0).contains(&(imap / LIMIT)), "imap: {imap}");
    for (service, rate) in [("ssh", ssh), ("https", https)] {
        assert!(rate > LIMIT * 4.0, "{service}: {rate}");
    }
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
}

#[test]
fn quic_is_limited_and_dns_to_the_same_client_is_not() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "4mbit", &["--service", "https"]);
    let receiver = Receiver::start(&lab.clients);
    let [quic, dns] = [(443, 1), (53, 2)].map(|(source_port, flow)| {
        let options = Options {
            source_port,
            flow,
            ..Options::default()
        };
        Load::to(client(1))
            .with(options.unstoppable())
            .bits_per_second(16_000_000)
            .start(&lab.server)
    });
    std::thread::sleep(Duration::from_millis(1500));
    let (_, dns) = (quic.stop(), dns.stop());
    let arrivals = receiver.drain(Duration::from_millis(300));
    assert_rate("QUIC", &arrivals.of_flow(1), 4e6, 100e-6);
    assert_eq!(arrivals.of_flow(2).len() as u64, dns.n_packets, "DNS");
}

#[test]
fn a_client_gets_one_rate_by_both_families_together() {
    let lab = Lab::new();
    let config = format!(
        "[group.customer]\nrate = \"8mbit\"\n\
         [[rule]]\ndestination = \"{}\"\nrate = \"20mbit\"\ngroup = \"customer\"\n\
         [[rule]]\ndestination = \"{}\"\nrate = \"20mbit\"\ngroup = \"customer\"\n",
        client(1),
        client6(1)
    );
    let _shaper = Shaper::up_with(&lab.server, UPLINK, &config);
    let receiver = Receiver::start(&lab.clients);
    let loads = [(client(1), 1), (client6(1), 2)].map(|(destination, flow)| {
        let options = Options {
            connect: Some(destination),
            flow,
            ..Options::default()
        };
        Load::to(destination)
            .with(options.unstoppable())
            .bits_per_second(16_000_000)
            .start(&lab.server)
    });
    std::thread::sleep(Duration::from_millis(1500));
    for load in loads {
        load.stop();
    }
    let arrivals = receiver.arrivals();
    assert_rate("both families", &arrivals, 8e6, 100e-6);
    for flow in [1, 2] {
        assert!(!arrivals.of_flow(flow).is_empty(), "one family got everything");
        assert_eq!(arrivals.of_flow(flow).n_reordered(), 0);
    }
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
}

/// Offers four times the group's rate to all members in turn.
fn members(n_members: u16) {
    let lab = Lab::new();
    let rules = (1..=n_members).map(|n| {
        format!(
            "[[rule]]\ndestination = \"{}\"\nrate = \"20mbit\"\ngroup = \"all\"\n",
            client(n)
        )
    });
    let config = rules.fold("[group.all]\nrate = \"10mbit\"\n".to_owned(), |config, rule| {
        config + &rule
    });
    let _shaper = Shaper::up_with(&lab.server, UPLINK, &config);
    let receiver = Receiver::start(&lab.clients);
    Load::to_all((1..=n_members).map(client))
        .bits_per_second(40_000_000)
        .run(&lab.server, Duration::from_millis(1500));
    assert_rate(
        &format!("{n_members} members"),
        &receiver.arrivals(),
        10e6,
        TOLERANCE,
    );
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
}

#[test]
fn a_group_of_one_gets_its_rate() {
    members(1);
}

#[test]
fn ten_members_get_the_rate_of_their_group_together() {
    members(10);
}

#[test]
fn a_thousand_members_get_the_rate_of_their_group_together() {
    let limit = libc::rlimit {
        rlim_cur: N_FILES,
        rlim_max: N_FILES,
    };
    // SAFETY: the call reads the struct it is given.
    let error = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(error, 0);
    members(1000);
}
