//! Traffic that goes on while a test looks at something else.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Clock, Options, Socket, sys};
use crate::lab::Host;

/// Shortest time a paced sender sleeps: below it, waking costs more than sending.
const MIN_SLEEP_NS: u64 = 500_000;

/// Sockets that send to the same destinations, each from a thread of its own.
#[derive(Clone, Debug)]
pub struct Load {
    destinations: Vec<IpAddr>,
    options: Options,
    n_sockets: u32,
    bits_per_second: Option<u64>,
    departure_offset: Option<Duration>,
    cpu: Option<usize>,
    is_one_socket: bool,
}

/// What a load has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Packets that the kernel took.
    pub n_packets: u64,
    /// Sends that it refused with `ENOBUFS`, because the packet was dropped.
    pub n_refused: u64,
}

impl Load {
    /// As much as one connected socket can send to `destination`.
    #[must_use]
    pub fn to(destination: IpAddr) -> Self {
        Self::to_all([destination])
    }

    /// As much as one thread can send to each of `destinations` in turn, from a connected socket each. Flows are
    /// numbered by socket, then by destination, from the flow of the options.
    #[must_use]
    pub fn to_all(destinations: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            destinations: destinations.into_iter().collect(),
            options: Options::default().unstoppable(),
            n_sockets: 1,
            bits_per_second: None,
            departure_offset: None,
            cpu: None,
            is_one_socket: false,
        }
    }

    /// With sockets of this kind.
    #[must_use]
    pub fn with(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// Packets with this much payload.
    #[must_use]
    pub fn payload(self, payload: usize) -> Self {
        let options = Options {
            payload,
            ..self.options
        };
        Self { options, ..self }
    }

    /// Numbers flows from `flow`.
    #[must_use]
    pub fn flow(self, flow: u32) -> Self {
        let options = Options { flow, ..self.options };
        Self { options, ..self }
    }

    /// From this many sockets.
    #[must_use]
    pub fn sockets(self, n_sockets: u32) -> Self {
        Self { n_sockets, ..self }
    }

    /// Only this much on the wire, all destinations and sockets together.
    #[must_use]
    pub fn bits_per_second(self, bits_per_second: u64) -> Self {
        let bits_per_second = Some(bits_per_second);
        Self {
            bits_per_second,
            ..self
        }
    }

    /// Each packet carries a departure time of `offset` from now, by the options' departure clock.
    #[must_use]
    pub fn departing_in(self, offset: Duration) -> Self {
        let departure_offset = Some(offset);
        Self {
            departure_offset,
            ..self
        }
    }

    /// From one processor only.
    #[must_use]
    pub fn on_cpu(self, cpu: usize) -> Self {
        let cpu = Some(cpu);
        Self { cpu, ..self }
    }

    /// Each thread sends to all destinations from one socket that is not connected, as one flow.
    #[must_use]
    pub fn from_one_socket(self) -> Self {
        Self {
            is_one_socket: true,
            ..self
        }
    }

    /// Sends from `host` until told to stop.
    #[must_use]
    pub fn start(&self, host: &Host) -> Running {
        let is_done = Arc::new(AtomicBool::new(false));
        let threads = (0..self.n_sockets)
            .map(|n| {
                let sender = Sender::open(self, host, n);
                let is_done = Arc::clone(&is_done);
                thread::spawn(move || sender.send_until(&is_done))
            })
            .collect();
        Running { threads, is_done }
    }

    /// Sends from `host` for this long.
    pub fn run(&self, host: &Host, duration: Duration) -> Sent {
        let running = self.start(host);
        thread::sleep(duration);
        running.stop()
    }
}

/// A load that is being sent.
#[derive(Debug)]
pub struct Running {
    threads: Vec<JoinHandle<Sent>>,
    is_done: Arc<AtomicBool>,
}

impl Running {
    /// Stops it.
    pub fn stop(mut self) -> Sent {
        self.is_done.store(true, Ordering::Relaxed);
        let mut sent = Sent::default();
        for thread in self.threads.drain(..) {
            let part = thread.join().expect("a sender does not panic");
            sent.n_packets += part.n_packets;
            sent.n_refused += part.n_refused;
        }
        sent
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.is_done.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// One thread's part of a load.
struct Sender {
    sockets: Vec<Socket>,
    /// Where to in turn, and with which socket.
    targets: Vec<(IpAddr, usize)>,
    /// Time from one send to the next.
    interval_ns: u64,
    departure: Option<(Clock, Duration)>,
    cpu: Option<usize>,
}

impl Sender {
    fn open(load: &Load, host: &Host, n: u32) -> Self {
        let destinations = load.destinations.iter().copied();
        let (sockets, targets) = if load.is_one_socket {
            let flow = load.options.flow + n;
            let socket = Socket::open(host, Options { flow, ..load.options });
            (
                vec![socket],
                destinations.map(|destination| (destination, 0)).collect(),
            )
        } else {
            // Labels need a sequence of their own for each destination.
            let n_destinations = u32::try_from(load.destinations.len()).expect("few destinations");
            let first_flow = load.options.flow + n * n_destinations;
            let socket = |(flow, destination)| {
                let options = Options {
                    flow,
                    connect: Some(destination),
                    ..load.options
                };
                Socket::open(host, options)
            };
            (
                (first_flow..).zip(destinations.clone()).map(socket).collect(),
                destinations.zip(0..).collect(),
            )
        };
        let interval_ns = load.bits_per_second.map_or(0, |bits_per_second| {
            let bytes = load.options.wire_bytes(load.destinations[0]) * load.options.segments as u64;
            bytes * 8 * 1_000_000_000 * u64::from(load.n_sockets) / bits_per_second
        });
        Self {
            sockets,
            targets,
            interval_ns,
            departure: load
                .departure_offset
                .map(|offset| (load.options.departure_clock.unwrap_or(Clock::Monotonic), offset)),
            cpu: load.cpu,
        }
    }

    fn send_until(mut self, is_done: &AtomicBool) -> Sent {
        if let Some(cpu) = self.cpu {
            sys::stay_on_cpu(cpu).expect("the processor exists");
        }
        let mut n_refused = 0;
        let mut due_ns = Clock::Monotonic.now_ns();
        let n_targets = self.targets.len();
        for turn in (0..n_targets).cycle() {
            if is_done.load(Ordering::Relaxed) {
                break;
            }
            if self.interval_ns > 0 {
                let now_ns = Clock::Monotonic.now_ns();
                if due_ns > now_ns {
                    sys::wait_until(due_ns.max(now_ns + MIN_SLEEP_NS));
                }
                due_ns += self.interval_ns;
            }
            let (destination, socket) = self.targets[turn];
            let socket = &mut self.sockets[socket];
            let sent = match self.departure {
                Some((clock, offset)) => {
                    let offset_ns = u64::try_from(offset.as_nanos()).expect("seconds, not centuries");
                    socket.send_at(destination, clock.now_ns() + offset_ns)
                }
                None => socket.send(destination),
            };
            match sent.map_err(|error| (error.raw_os_error(), error.kind())) {
                // The send buffer is full of packets that wait: this socket is held back, as it should be. And a
                // connected one is told that nobody listens.
                Ok(())
                | Err((_, ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionRefused)) => {
                }
                Err((Some(libc::ENOBUFS), _)) => n_refused += 1,
                Err(error) => panic!("sending to {destination}: {error:?}"),
            }
        }
        let n_packets = self.sockets.iter().map(|socket| u64::from(socket.n_sent())).sum();
        Sent { n_packets, n_refused }
    }
}
