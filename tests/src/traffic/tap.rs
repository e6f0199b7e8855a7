//! Sees every IP packet that reaches an interface, whatever protocol it carries and whoever reads it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::collector::{Collector, Heard};
use super::{Arrival, Arrivals, sys};
use crate::lab::Host;

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// A thread that notes every IP packet that an interface receives.
#[derive(Debug)]
pub struct Tap(Collector);

impl Tap {
    /// Listens on interface `name` of `host` from now on.
    #[must_use]
    pub fn start(host: &Host, name: &str) -> Self {
        let socket = host
            .run(|| sys::packet_socket(name))
            .expect("the interface exists");
        sys::receive_much(&socket).expect("root may");
        sys::receive_for(&socket, Duration::from_millis(50)).expect("sockets have timeouts");
        sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1_i32).expect("sockets tell");
        let mut frame = [0; 96];
        Self(Collector::start(host, move || {
            let received = sys::receive(&socket, &mut frame)?;
            let arrival = destination(&frame)
                .filter(|_| !received.is_outgoing)
                .map(|(destination, ecn)| Arrival {
                    ns: received.kernel_ns,
                    destination,
                    flow: 0,
                    sequence: 0,
                    wire_bytes: received.len as u64,
                    ecn,
                });
            Ok(Heard {
                kernel_ns: received.kernel_ns,
                arrival,
            })
        }))
    }

    /// What has arrived so far.
    #[must_use]
    pub fn arrivals(&self) -> Arrivals {
        self.0.arrivals()
    }
}

/// Destination and ECN bits of an untagged Ethernet frame, if it carries IP.
fn destination(frame: &[u8; 96]) -> Option<(IpAddr, u8)> {
    let packet = &frame[ETHERNET..];
    match [frame[12], frame[13]] {
        [0x08, 0x00] => {
            let address: [u8; 4] = *packet[16..].first_chunk()?;
            Some((Ipv4Addr::from(address).into(), packet[1] & 3))
        }
        [0x86, 0xdd] => {
            let address: [u8; 16] = *packet[24..].first_chunk()?;
            Some((Ipv6Addr::from(address).into(), packet[1] >> 4 & 3))
        }
        _ => None,
    }
}
