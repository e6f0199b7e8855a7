//! Sees every IP packet that reaches an interface, whatever protocol it carries and whoever reads it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Arrival, Arrivals, sys};
use crate::lab::Host;

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// A thread that notes every IP packet that an interface receives.
#[derive(Debug)]
pub struct Tap {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    arrivals: Mutex<Vec<Arrival>>,
    is_done: AtomicBool,
}

impl Tap {
    /// Listens on interface `name` of `host` from now on.
    #[must_use]
    pub fn start(host: &Host, name: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let socket = host
            .run(|| sys::packet_socket(name))
            .expect("the interface exists");
        sys::receive_much(&socket).expect("root may");
        sys::receive_for(&socket, Duration::from_millis(50)).expect("sockets have timeouts");
        sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1_i32).expect("sockets tell");
        let thread = host.spawn({
            let shared = Arc::clone(&shared);
            move || listen(&socket, &shared)
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// What has arrived so far.
    #[must_use]
    pub fn arrivals(&self) -> Arrivals {
        Arrivals(
            self.shared
                .arrivals
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        )
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.shared.is_done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(socket: &OwnedFd, shared: &Shared) {
    let mut frame = [0; 96];
    while !shared.is_done.load(Ordering::Relaxed) {
        let Ok(received) = sys::receive(socket, &mut frame) else {
            continue;
        };
        let Some((destination, ecn)) = destination(&frame) else {
            continue;
        };
        if !received.is_outgoing {
            let mut arrivals = shared.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
            arrivals.push(Arrival {
                ns: received.kernel_ns,
                destination,
                flow: 0,
                sequence: 0,
                wire_bytes: received.len as u64,
                ecn,
            });
        }
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
