//! Round-trip times of small UDP packets, as an interactive user would feel them.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::sys;
use crate::lab::Host;

/// Port that echoes.
const ECHO_PORT: u16 = 7;

/// Answers every probe that reaches a host.
#[derive(Debug)]
pub struct Echo {
    is_done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// Answers on `host` from now on, for all of its addresses.
    #[must_use]
    pub fn start(host: &Host) -> Self {
        let socket = host
            .run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, ECHO_PORT)))
            .expect("the port is free");
        sys::receive_for(&socket, Duration::from_millis(50)).expect("sockets have timeouts");
        let is_done = Arc::new(AtomicBool::new(false));
        let thread = host.spawn({
            let is_done = Arc::clone(&is_done);
            move || {
                let mut buffer = [0; 64];
                while !is_done.load(Ordering::Relaxed) {
                    if let Ok((len, from)) = socket.recv_from(&mut buffer) {
                        let _ = socket.send_to(&buffer[..len], from);
                    }
                }
            }
        });
        Self {
            is_done,
            thread: Some(thread),
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.is_done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What came of a series of probes.
#[derive(Clone, Debug, Default)]
pub struct Probe {
    /// Round-trip times, the shortest first.
    pub round_trips: Vec<Duration>,
    /// Probes without an answer within a second.
    pub n_lost: usize,
}

impl Probe {
    /// Sends `n` probes from `host` to `destination`, one each `interval`.
    #[must_use]
    pub fn run(host: &Host, destination: IpAddr, n: u32, interval: Duration) -> Self {
        host.run(|| {
            // Answers come from whatever address routing picks, so the socket is not connected.
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("there is a free port");
            sys::receive_for(&socket, Duration::from_secs(1)).expect("sockets have timeouts");
            let mut probe = Self::default();
            let start = Instant::now();
            for number in 0..n {
                if let Some(wait) = (start + interval * number).checked_duration_since(Instant::now()) {
                    std::thread::sleep(wait);
                }
                match round_trip(&socket, destination, number) {
                    Some(time) => probe.round_trips.push(time),
                    None => probe.n_lost += 1,
                }
            }
            probe.round_trips.sort();
            probe
        })
    }

    /// The round-trip time that `percent` of the answers did not exceed.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let last = self
            .round_trips
            .len()
            .checked_sub(1)
            .expect("no probe was answered");
        self.round_trips[last * percent / 100]
    }

    /// The round-trip time in the middle.
    #[must_use]
    pub fn median(&self) -> Duration {
        self.percentile(50)
    }
}

fn round_trip(socket: &UdpSocket, destination: IpAddr, number: u32) -> Option<Duration> {
    let start = Instant::now();
    socket
        .send_to(&number.to_be_bytes(), (destination, ECHO_PORT))
        .expect("there is a route");
    let mut answer = [0; 64];
    loop {
        match socket.recv(&mut answer) {
            Ok(_) if answer[..4] == number.to_be_bytes() => return Some(start.elapsed()),
            // An answer that came too late for its own probe.
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => panic!("waiting for an answer: {error}"),
        }
    }
}
