//! Receives loads and notes when each packet came.

use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use libc::{IPPROTO_IP, IPPROTO_IPV6, SOL_SOCKET};

use super::collector::{Collector, Heard};
use super::{Arrival, Arrivals, PORT, UDP4_HEADERS, UDP6_HEADERS, sys};
use crate::lab::Host;

/// A thread that receives every load that reaches a host, for all of its addresses.
#[derive(Debug)]
pub struct Receiver(Collector);

impl Receiver {
    /// Receives on `host` from now on.
    #[must_use]
    pub fn start(host: &Host) -> Self {
        let socket = host.run(socket);
        let mut buffer = [0; 64];
        Self(Collector::start(host, move || {
            let received = sys::receive(&socket, &mut buffer)?;
            Ok(Heard {
                kernel_ns: received.kernel_ns,
                arrival: arrival(&received, &buffer),
            })
        }))
    }

    /// What has arrived so far.
    #[must_use]
    pub fn arrivals(&self) -> Arrivals {
        self.0.arrivals()
    }

    /// Number of packets that have arrived so far.
    #[must_use]
    pub fn n_arrived(&self) -> usize {
        self.0.lock().len()
    }

    /// Waits until a condition holds for what has arrived; false if it still does not after `patience`.
    pub fn wait_for(&self, patience: Duration, condition: impl Fn(&[Arrival]) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            if condition(&self.0.lock()) {
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until nothing has arrived for `quiet`, then returns all that did.
    #[must_use]
    pub fn drain(&self, quiet: Duration) -> Arrivals {
        let (mut n, mut since) = (self.n_arrived(), Instant::now());
        while since.elapsed() < quiet {
            thread::sleep(Duration::from_millis(5));
            if self.n_arrived() != n {
                (n, since) = (self.n_arrived(), Instant::now());
            }
        }
        self.arrivals()
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, PORT)).expect("the port is free");
    sys::receive_much(&socket).expect("root may");
    sys::receive_for(&socket, Duration::from_millis(50)).expect("sockets have timeouts");
    for (level, name) in [
        (SOL_SOCKET, libc::SO_TIMESTAMPNS),
        (IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
        (IPPROTO_IPV6, libc::IPV6_RECVTCLASS),
        (IPPROTO_IP, libc::IP_RECVTOS),
    ] {
        sys::set_option(&socket, level, name, 1_i32).expect("sockets tell");
    }
    socket
}

/// What to note about a packet, if it is a load's.
fn arrival(received: &sys::Received, buffer: &[u8]) -> Option<Arrival> {
    let destination = received.destination?;
    let (flow, sequence) = super::socket::label(buffer)?;
    let headers = match destination {
        IpAddr::V4(_) => UDP4_HEADERS,
        IpAddr::V6(_) => UDP6_HEADERS,
    };
    Some(Arrival {
        ns: received.kernel_ns,
        destination,
        flow,
        sequence,
        wire_bytes: received.len as u64 + headers,
        ecn: received.traffic_class.unwrap_or_default() & 3,
    })
}
