//! Packets through shaper as a package, on a machine with systemd, and what becomes of them.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use super::{must, status, within};
use crate::lab::{DOWNLINK, Host};

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

/// Packets to one address, until stopped.
#[derive(Debug)]
pub struct Sender {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Sender {
    /// One packet after the other, with pauses.
    ///
    /// # Panics
    ///
    /// The thread, if the kernel refuses a packet.
    #[must_use]
    pub fn start(to: Ipv4Addr, pause: Duration) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                let mut n_sent = 0;
                while !is_over.load(Ordering::Relaxed) {
                    socket.send_to(&[0; PAYLOAD], (to, 9)).unwrap();
                    n_sent += 1;
                    thread::sleep(pause);
                }
                n_sent
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
    clients.ip([format!("link set {DOWNLINK} arp off up")]);
    must("ip link set up0 arp off up && ip addr replace 10.0.0.1/24 dev up0");
    std::fs::create_dir_all("/etc/shaper").unwrap();
    std::fs::write("/etc/shaper/shaper.toml", CONFIG).unwrap();
    must("systemctl restart shaper.service && systemctl start shaper-monitor.service");
    within(SOON, "limits are in force", || status().0 == 0);
    clients
}
