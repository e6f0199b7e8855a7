//! Receives loads and notes when each packet came.

use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use libc::{IPPROTO_IP, IPPROTO_IPV6, SOL_SOCKET};

use super::{Arrival, Arrivals, PORT, UDP4_HEADERS, UDP6_HEADERS, sys};
use crate::lab::Host;

/// A thread that receives every load that reaches a host, for all of its addresses.
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    arrivals: Mutex<Vec<Arrival>>,
    is_done: AtomicBool,
}

impl Receiver {
    /// Receives on `host` from now on.
    #[must_use]
    pub fn start(host: &Host) -> Self {
        let shared = Arc::new(Shared::default());
        let socket = host.run(socket);
        let thread = host.spawn({
            let shared = Arc::clone(&shared);
            move || receive(&socket, &shared)
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// What has arrived so far.
    #[must_use]
    pub fn arrivals(&self) -> Arrivals {
        Arrivals(self.shared.lock().clone())
    }

    /// Number of packets that have arrived so far.
    #[must_use]
    pub fn n_arrived(&self) -> usize {
        self.shared.lock().len()
    }

    /// Waits until a condition holds for what has arrived; false if it still does not after `patience`.
    pub fn wait_for(&self, patience: Duration, condition: impl Fn(&[Arrival]) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            if condition(&self.shared.lock()) {
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

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.is_done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arrival>> {
        // A panic elsewhere leaves a list of packets that is still a list of packets.
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
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

fn receive(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 64];
    while !shared.is_done.load(Ordering::Relaxed) {
        let Ok(received) = sys::receive(socket, &mut buffer) else {
            continue;
        };
        let (Some(destination), Some((flow, sequence))) =
            (received.destination, super::socket::label(&buffer))
        else {
            continue;
        };
        let headers = match destination {
            IpAddr::V4(_) => UDP4_HEADERS,
            IpAddr::V6(_) => UDP6_HEADERS,
        };
        shared.lock().push(Arrival {
            ns: received.kernel_ns,
            destination,
            flow,
            sequence,
            wire_bytes: received.len as u64 + headers,
            ecn: received.traffic_class.unwrap_or_default() & 3,
        });
    }
}
