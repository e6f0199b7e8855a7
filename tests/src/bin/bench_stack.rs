//! What sending costs from the system call to the receiver's queue: one JSON line per kind of traffic and way.
//!
//! Only where the clock counts executed instructions: there is one processor, so the time that sending takes is what
//! sender, limiter, qdisc, cable and receiver execute. No packet waits: every limit is above what can be sent. What
//! remains between two ways is what one of them does more per packet, or per megabyte of TCP.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Instant;

use shaper_tests::lab::{Lab, UPLINK, client};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::{Options, PORT, Socket};

/// Packets in one measurement.
const N_PACKETS: u32 = 1_000;
/// Measurements, of which the median counts.
const N_ROUNDS: usize = 7;
/// Bytes of one TCP transfer.
const TCP_BYTES: usize = 4 << 20;
/// Clients with a limit, where there are many.
const N_CLIENTS: u16 = 1_000;
/// Above what can be sent.
const RATE: &str = "100gbit";

fn main() {
    let kernel = kernel();
    let lab = Lab::new();
    let report = |way: &str| {
        for (traffic, instructions) in [
            ("UDP, connected, per packet", udp(&lab, Some(client(1)))),
            ("UDP, not connected, per packet", udp(&lab, None)),
            ("TCP, per MiB", tcp(&lab)),
        ] {
            println!(r#"{{"kernel":"{kernel}","path":"{traffic}: {way}","instructions":{instructions}}}"#);
        }
    };
    lab.server.tc([format!("qdisc replace dev {UPLINK} root fq")]);
    report("fq alone");
    {
        let shaper = Shaper::up(&lab.server, UPLINK);
        report("shaper, no rule");
        shaper.set(client(2), RATE, &[]);
        report("shaper, a rule for somebody else");
        shaper.set(client(1), RATE, &[]);
        report("shaper, a rule for the receiver");
        shaper.configure(&rules());
        shaper.run(&["reload"]);
        report("shaper, one of 1000 rules for the receiver");
    }
    lab.server.tc(htb());
    report("HTB, one of 1000 classes for the receiver, found by flower");
}

/// A configuration with a rule for each client.
fn rules() -> String {
    let rule = |n| format!("[[rule]]\ndestination = \"{}\"\nrate = \"{RATE}\"\n", client(n));
    (1..=N_CLIENTS).map(rule).collect()
}

/// HTB at its best: a class for each client, and a hash table that finds it.
fn htb() -> Vec<String> {
    let mut commands = vec![format!(
        "qdisc replace dev {UPLINK} root handle 1: htb default ffff"
    )];
    commands.push(format!(
        "class add dev {UPLINK} parent 1: classid 1:ffff htb rate {RATE} quantum 60000"
    ));
    for n in 1..=N_CLIENTS {
        let destination = client(n);
        commands.push(format!(
            "class add dev {UPLINK} parent 1: classid 1:{n:x} htb rate {RATE} quantum 60000"
        ));
        commands.push(format!(
            "filter add dev {UPLINK} parent 1: protocol ip prio 1 flower dst_ip {destination} classid 1:{n:x}"
        ));
    }
    commands
}

/// Instructions per packet to the first client.
fn udp(lab: &Lab, connect: Option<IpAddr>) -> u64 {
    // Nobody reads: once its buffer is full, receiving costs the same for every packet.
    let sink = lab
        .clients
        .run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)))
        .expect("the port is free");
    let mut socket = Socket::open(
        &lab.server,
        Options {
            connect,
            ..Options::default().unstoppable()
        },
    );
    let instructions = median(|| {
        let begun = Instant::now();
        for _ in 0..N_PACKETS {
            socket.send(client(1)).expect("nothing is full");
        }
        begun.elapsed().as_nanos()
    });
    drop(sink);
    instructions / u64::from(N_PACKETS)
}

/// Instructions per mebibyte to the first client.
fn tcp(lab: &Lab) -> u64 {
    let listener = lab
        .clients
        .run(|| TcpListener::bind((client(1), 5001)))
        .expect("the port is free");
    let reader = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the sender connects");
        let mut buffer = vec![0; 64 << 10];
        while stream.read(&mut buffer).expect("the sender closes it") > 0 {}
    });
    let mut stream = lab
        .server
        .run(|| TcpStream::connect((client(1), 5001)))
        .expect("the receiver listens");
    let block = vec![0; 64 << 10];
    let instructions = median(|| {
        let begun = Instant::now();
        for _ in 0..TCP_BYTES / block.len() {
            stream.write_all(&block).expect("the receiver reads");
        }
        begun.elapsed().as_nanos()
    });
    drop(stream);
    reader.join().expect("the reader does not panic");
    instructions / (TCP_BYTES >> 20) as u64
}

fn median(measure: impl FnMut() -> u128) -> u64 {
    let mut rounds: Vec<_> = std::iter::repeat_with(measure).take(N_ROUNDS).collect();
    rounds.sort_unstable();
    u64::try_from(rounds[N_ROUNDS / 2]).expect("less than centuries")
}

/// The kernel as the tables name it.
fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("procfs is mounted");
    let numbers: Vec<_> = release.split('.').collect();
    match numbers[0] {
        "6" => format!("6.{}", numbers[1]),
        major => major.to_owned(),
    }
}
