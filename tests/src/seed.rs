//! The policy of the script that shaper replaces: three clients with a limit of their own, one for all the rest, and
//! one address that is exempt. TCP to all of them at once, by real `iperf3`.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::lab::{DOWNLINK, Lab, UPLINK};
use crate::shaper::Shaper;
use crate::traffic::{Arrivals, Echo, Iperf, Probe, Tap};

/// What each rule may send at once after a pause.
pub const BURST_BYTES: f64 = 5_000.0;

/// Until bursts are over and TCP knows the rates.
const SETTLING: Duration = Duration::from_secs(2);

/// Address that is never limited.
pub const EXEMPT: IpAddr = address(200);

/// The policy as an operator writes it.
pub const CONFIG: &str = r#"
[defaults]
burst = "5kB"

[exempt]
prefixes = ["192.168.1.200/32"]

[[rule]]
name = "first"
destination = "192.168.1.101"
rate = "128kbit"

[[rule]]
name = "second"
destination = "192.168.1.102"
rate = "512kbit"

[[rule]]
name = "third"
destination = "192.168.1.103"
rate = "32kbit"

[[rule]]
name = "rest"
destination = "any"
rate = "100mbit"
"#;

const fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 168, 1, last))
}

/// A client, its limit, and what reached it.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its address.
    pub destination: IpAddr,
    /// Its limit, in bits per second.
    pub wanted: f64,
    /// Every packet that reached it.
    pub arrivals: Arrivals,
    /// Bits of TCP payload per second, as iperf3 counted.
    pub goodput: f64,
}

impl Client {
    /// Bits per second on the wire, once its burst was over. Segments that departed as one packet count as one.
    #[must_use]
    pub fn measured(&self) -> f64 {
        self.departures().settled(SETTLING).bits_per_second()
    }

    /// The largest packet once its burst was over, all of its segments together.
    #[must_use]
    pub fn largest_bytes(&self) -> f64 {
        largest(&self.departures().settled(SETTLING))
    }

    /// By how many bytes more than the burst and one packet it exceeded its limit and half a percent, if ever. As long as
    /// TCP does not know the rate, it hands over larger packets than later.
    #[must_use]
    pub fn excess_bytes(&self) -> f64 {
        let excess = |arrivals: &Arrivals, largest| {
            let burst = arrivals.burst_bytes(self.wanted * 1.005);
            burst - BURST_BYTES - largest
        };
        let settled = self.arrivals.settled(SETTLING);
        excess(&self.arrivals, largest(&self.departures()))
            .max(excess(&settled, self.largest_bytes()))
            .max(0.0)
    }

    /// Within 2 % of the limit, and never above it by more than what `stall` is worth: the longest time for which the
    /// machine may have done something else and delivered what was due after it.
    #[must_use]
    pub fn holds(&self, stall: Duration) -> bool {
        (self.measured() / self.wanted - 1.0).abs() <= 0.02 && self.never_exceeds(stall)
    }

    /// Close to its limit, or above a quarter of what an emulated machine can send when it has nothing else to do; and
    /// never above its limit.
    #[must_use]
    pub fn fills(&self, capacity: f64, stall: Duration) -> bool {
        self.measured() >= (self.wanted * 0.98).min(capacity / 4.0) && self.never_exceeds(stall)
    }

    /// Never above the limit by more than what `stall` is worth.
    #[must_use]
    pub fn never_exceeds(&self, stall: Duration) -> bool {
        self.excess_bytes() <= self.wanted / 8.0 * stall.as_secs_f64()
    }

    /// One line of all that.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "{}: {:.0} of {:.0} bit/s ({:+.2} %) on the wire, goodput {:.0}, excess {:.0} bytes, largest packet {:.0}",
            self.destination,
            self.measured(),
            self.wanted,
            (self.measured() / self.wanted - 1.0) * 100.0,
            self.goodput,
            self.excess_bytes(),
            self.largest_bytes(),
        )
    }

    /// Packets as they departed: those of a slow client are far apart, their segments are not.
    fn departures(&self) -> Arrivals {
        let slot = Duration::from_secs_f64(1514.0 * 8.0 / self.wanted);
        self.arrivals.joined(slot / 4)
    }
}

#[expect(clippy::cast_precision_loss, reason = "at most 64 KiB")]
fn largest(arrivals: &Arrivals) -> f64 {
    let sizes = arrivals.0.iter().map(|arrival| arrival.wire_bytes).max();
    sizes.unwrap_or_default() as f64
}

/// Those with a limit of their own, in bits per second.
pub const LIMITED: [(IpAddr, f64); 3] = [(address(101), 128e3), (address(102), 512e3), (address(103), 32e3)];

/// One of all the rest, and what they may get together.
pub const REST: (IpAddr, f64) = (address(104), 100e6);

/// Bits of TCP payload per second that this machine sends where nothing limits it: to be asked before the policy is in
/// force.
#[must_use]
pub fn capacity(lab: &Lab) -> f64 {
    let transfer = Iperf::to(REST.0, 5200, 3).run(&lab.server, &lab.clients);
    transfer.bits_per_second
}

/// What was seen while all of them were sent to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The three, and one of the rest.
    pub clients: Vec<Client>,
    /// Round-trip times of the exempt address before.
    pub before: Probe,
    /// Round-trip times of the exempt address during.
    pub during: Probe,
}

/// A server with clients 192.168.1.101 to 105 and the exempt address.
#[must_use]
pub fn lab() -> Lab {
    let lab = Lab::new();
    lab.server
        .ip([format!("address add 192.168.1.1/24 dev {UPLINK}")]);
    let addresses = [101, 102, 103, 104, 200].map(address);
    lab.clients
        .ip(addresses.map(|address| format!("address add {address}/24 dev {DOWNLINK}")));
    lab
}

/// Sends TCP to the three and to one of the rest for `seconds`, with the policy in force. `say` is told what is being
/// done.
#[must_use]
pub fn run(lab: &Lab, seconds: u32, say: &dyn Fn(&str)) -> Outcome {
    let _echo = Echo::start(&lab.clients);
    let probe = |n| Probe::run(&lab.server, EXEMPT, n, Duration::from_millis(20));
    say("round-trip times to 192.168.1.200 while nothing else is sent");
    let before = probe(100);
    let [first, second, third] = LIMITED;
    let wanted = [first, second, third, REST];
    say("TCP by iperf3 to all clients at once, and round-trip times again");
    let tap = Tap::start(&lab.clients, DOWNLINK);
    let transfers: Vec<_> = wanted
        .iter()
        .zip(5201..)
        .map(|(&(destination, _), port)| {
            Iperf::to(destination, port, seconds).start(&lab.server, &lab.clients)
        })
        .collect();
    let during = probe((seconds - 1) * 50);
    let arrivals = tap.arrivals();
    say("waiting for iperf3 to end");
    let clients = wanted
        .iter()
        .zip(transfers)
        .map(|(&(destination, wanted), transfer)| Client {
            destination,
            wanted,
            arrivals: arrivals.to(destination),
            goodput: transfer.finish().bits_per_second,
        });
    Outcome {
        clients: clients.collect(),
        before,
        during,
    }
}

/// `shaper up` with the policy.
#[must_use]
pub fn shaper(lab: &Lab) -> Shaper<'_> {
    Shaper::up_with(&lab.server, UPLINK, CONFIG)
}
