//! Packets through shaper as a package, on a machine with systemd, and what becomes of them.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{must, status, within};
use crate::lab::{DOWNLINK, Host};
use crate::traffic::{Arrivals, Options, Receiver, Socket};

const SOON: Duration = Duration::from_mins(2);
const CONFIG: &str = "[interface.up0]\n[[rule]]\ndestination = \"10.0.0.2\"\nrate = \"1mbit\"\n\
    [[rule]]\ndestination = \"10.0.0.3\"\nrate = \"100mbit\"\n";
/// Has a rate of 1 Mbit/s.
pub const SLOW: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// Has a rate of 100 Mbit/s.
pub const FAST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
/// The rate of [`SLOW`].
pub const SLOW_BYTES_PER_SEC: f64 = 125_000.0;
/// What a packet has on the wire.
pub const WIRE_LEN: usize = 1_000;
const PAYLOAD: usize = WIRE_LEN - 42;

/// What [`SLOW`] may gain on his rate: half a packet, of which his burst is three.
const GAIN: Duration = Duration::from_millis(4);
/// A second's packets at his rate. Longer than an emulated processor is late with all that it sends.
const ROW: usize = 125;

/// Packets to one address, until stopped.
#[derive(Debug)]
pub struct Sender {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Sender {
    /// A packet per `interval`, and whatever he was late for at once. They are numbered, as a [`Receiver`] reads them.
    ///
    /// # Panics
    ///
    /// The thread, if the kernel refuses a packet.
    #[must_use]
    pub fn start(to: Ipv4Addr, interval: Duration) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || {
                let options = Options {
                    payload: PAYLOAD,
                    flow: to.to_bits(),
                    ..Options::to(to.into())
                };
                let mut socket = Socket::open_here(options);
                let mut due = Instant::now();
                while !is_over.load(Ordering::Relaxed) {
                    socket.send(to.into()).unwrap();
                    due += interval;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                }
                socket.n_sent().into()
            }
        });
        Self { is_over, thread }
    }

    /// How many there were.
    ///
    /// # Panics
    ///
    /// If one was refused.
    #[must_use]
    pub fn stop(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Packets of the rule for an address: sent, dropped.
///
/// # Panics
///
/// If there is no such rule.
#[must_use]
pub fn counted(to: Ipv4Addr) -> (u64, u64) {
    let listed: Value = serde_json::from_str(&must("shaper -o json list --stats")).unwrap();
    let destination = format!("{to}/32");
    let rules = listed["rules"].as_array().unwrap();
    let rule = rules
        .iter()
        .find(|rule| rule["destination"] == *destination)
        .unwrap();
    let count = |name: &str| rule["stats"][name].as_u64().unwrap();
    (count("sent_packets"), count("dropped_packets"))
}

/// shaper is installed and up, and `down0` leads to another host that takes what comes.
///
/// # Panics
///
/// If that cannot be had.
#[must_use]
pub fn installed() -> Host {
    let clients = Host::new("clients");
    must("dpkg --force-confold -i /lab/shaper.deb");
    // What another test has moved away may still be about to go.
    must("if [ -e /sys/class/net/up0 ]; then ip link del up0 || true; fi; sh /usr/lib/lab/card.sh");
    must(&format!("ip link set {DOWNLINK} netns {}", clients.name()));
    // Nobody but the test sends there.
    clients.sysctl(&format!("net/ipv6/conf/{DOWNLINK}/disable_ipv6"), "1");
    // Who does not ask for addresses sends to his own.
    let address = must("cat /sys/class/net/up0/address");
    clients.ip([format!(
        "link set {DOWNLINK} address {} arp off up",
        address.trim()
    )]);
    must("ip link set up0 arp off up && ip addr replace 10.0.0.1/24 dev up0");
    std::fs::create_dir_all("/etc/shaper").unwrap();
    std::fs::write("/etc/shaper/shaper.toml", CONFIG).unwrap();
    must("systemctl restart shaper.service && systemctl start shaper-monitor.service");
    within(SOON, "limits are in force", || status().0 == 0);
    clients
}

/// Notes all that arrives at the clients from now on.
#[must_use]
pub fn listen(clients: &Host) -> Receiver {
    clients.ip([SLOW, FAST].map(|address| format!("addr add {address}/24 dev {DOWNLINK}")));
    Receiver::start(clients)
}

/// What arrived at [`SLOW`], who was sent more, kept to his rate: not only on average, and whatever else went on. Which share of
/// his rate it was.
///
/// # Panics
///
/// If it did not.
pub fn assert_paced(arrivals: &Arrivals) -> f64 {
    let bits_per_second = SLOW_BYTES_PER_SEC * 8.0;
    let mut slow = arrivals.to(SLOW.into());
    // Two processors may hand over in another order what they received.
    slow.0.sort_by_key(|arrival| arrival.ns);
    let share = slow.bits_per_second() / bits_per_second;
    let gained = slow.gained(bits_per_second, ROW);
    println!(
        "{} packets in {:?}: {:.2} % of the rate, {gained:?} gained; with those that were late, {:.0} bytes at once and nothing for {:?}",
        slow.len(),
        slow.span(),
        share * 100.0,
        slow.burst_bytes(bits_per_second),
        slow.longest_gap()
    );
    assert!(slow.len() > 4 * ROW, "too few to tell");
    assert!(gained < GAIN, "{gained:?}");
    assert!(share < 1.01, "{share}");
    share
}

/// So many were sent, of which so many arrived and the rule refused the others: none got lost on the way, and none came twice.
///
/// # Panics
///
/// If that is not so.
pub fn assert_complete(arrivals: &Arrivals, to: Ipv4Addr, n_sent: u64, n_refused: u64) {
    let mut numbers: Vec<u32> = arrivals
        .to(to.into())
        .0
        .iter()
        .map(|arrival| arrival.sequence)
        .collect();
    let n_arrived = numbers.len() as u64;
    numbers.sort_unstable();
    numbers.dedup();
    println!("{to}: {n_sent} sent, {n_refused} refused, {n_arrived} arrived");
    assert_eq!(numbers.len() as u64, n_arrived, "{to}: some came twice");
    assert_eq!(n_arrived + n_refused, n_sent, "{to}: lost on the way");
}
