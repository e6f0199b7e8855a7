//! The package is upgraded, and the way back, again and again, while packets flow: each meets its rule, none is lost to a
//! queue that was replaced, and nobody gets more than his rate.
//!
//! `SHAPER_UPGRADES` says how often; a few times if it is not set.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use shaper_tests::lab::link::Counters;
use shaper_tests::lab::{DOWNLINK, Host};
use shaper_tests::machine::{must, property, status, within};

const SOON: Duration = Duration::from_mins(2);
const CONFIG: &str = "[interface.up0]\n[[rule]]\ndestination = \"10.0.0.2\"\nrate = \"1mbit\"\n\
    [[rule]]\ndestination = \"10.0.0.3\"\nrate = \"100mbit\"\n";
/// Gets twice as much as he may.
const SLOW: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// May get far more than he does.
const FAST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
const BYTES_PER_SEC: f64 = 125_000.0;
const PAYLOAD: usize = 958;

/// Packets to one address, until stopped.
struct Sender {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Sender {
    fn start(to: Ipv4Addr, pause: Duration) -> Self {
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

    fn stop(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Packets of the rule for an address: sent, dropped.
fn counted(to: Ipv4Addr) -> (u64, u64) {
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
fn machine() -> Host {
    let clients = Host::new("clients");
    must("dpkg --force-confold -i /lab/shaper.deb");
    must("if [ ! -e /sys/class/net/up0 ]; then sh /usr/lib/lab/card.sh; fi");
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

#[test]
fn upgrades_and_the_way_back_lose_no_packet_and_let_none_pass() {
    let n_upgrades: u32 = std::env::var("SHAPER_UPGRADES").map_or(4, |text| text.parse().unwrap());
    let clients = machine();
    let since = property("shaper.service", "ActiveEnterTimestampMonotonic");
    let (began, before) = (Instant::now(), Counters::read(&clients, DOWNLINK));
    let slow = Sender::start(SLOW, Duration::from_millis(4));
    let fast = Sender::start(FAST, Duration::from_millis(20));
    for n in 0..n_upgrades {
        let (package, is_older) = if n % 2 == 0 {
            ("older", true)
        } else {
            ("shaper", false)
        };
        let said = must(&format!("dpkg --force-confold -i /lab/{package}.deb 2>&1"));
        assert!(!said.contains("not in force yet"), "{said}");
        let version = must("dpkg-query -W -f '${Version}' shaper");
        assert_eq!(version.starts_with("0~"), is_older, "{version}");
        within(SOON, "limits are in force", || status().0 == 0);
        if n % 10 == 0 {
            println!("{} of {n_upgrades} after {:?}", n + 1, began.elapsed());
        }
    }
    let n_fast = fast.stop();
    let n_slow = slow.stop();
    let (slow_sent, slow_dropped) = counted(SLOW);
    let (fast_sent, fast_dropped) = counted(FAST);
    within(SOON, "what waits has left", || {
        Counters::read(&clients, DOWNLINK).since(before).rx_packets >= slow_sent + fast_sent
    });
    let arrived = Counters::read(&clients, DOWNLINK).since(before);
    let span = began.elapsed().as_secs_f64();
    println!(
        "{n_upgrades} upgrades in {span:.0} s: {n_slow} and {n_fast} packets, {slow_sent} and {fast_sent} sent, \
         {slow_dropped} and {fast_dropped} dropped, {} arrived",
        arrived.rx_packets
    );
    // A packet that no program saw would be missing here.
    assert_eq!((n_slow, n_fast), (slow_sent + slow_dropped, fast_sent));
    assert_eq!(fast_dropped, 0);
    assert_eq!(arrived.rx_packets, slow_sent + fast_sent, "lost on the way");
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 bytes")]
    let slow_bytes = (slow_sent * (PAYLOAD as u64 + 42)) as f64;
    // The horizon, at the end, and the burst at the beginning.
    let allowed = BYTES_PER_SEC * (span + 1.0);
    assert!(slow_bytes <= allowed, "{slow_bytes} bytes, {allowed} allowed");
    // Nobody stopped shaper meanwhile.
    assert_eq!(property("shaper.service", "ActiveEnterTimestampMonotonic"), since);
}
