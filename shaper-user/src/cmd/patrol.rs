//! Looks at the kernel whenever it announces a change, and every half second for what it does not announce: a program
//! put in front of ours, a link that was taken away.

use std::io;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use crate::dataplane::{Heard, Listener};

/// The longest time between two looks, if looks are cheap.
const INTERVAL: Duration = Duration::from_millis(500);
/// Looking takes at most this part of one processor: one in so many.
const IDLE_PER_LOOK: u32 = 50;
/// After announcements it may take more, for a while.
const IDLE_PER_ANNOUNCEMENT: u32 = 4;

/// Why it is time to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Nobody said anything.
    Time,
    /// Something changed.
    Change,
    /// More changed than could be heard.
    Overflow,
    /// We are to end.
    End,
}

/// Waits for the next reason to look.
#[derive(Debug)]
pub(super) struct Patrol {
    listener: AsyncFd<Listener>,
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    last_look: Instant,
    cost: Duration,
}

/// A runtime of one thread, and another one for repairs that wait for a lock.
pub(super) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
}

impl Patrol {
    /// Listens from here on.
    pub(super) fn begin() -> anyhow::Result<Self> {
        let refused = "cannot wait for signals";
        let listener = Listener::open()?;
        // SAFETY: the listener owns its descriptor, and keeps it open as long as it lives.
        let listener = unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) };
        Ok(Self {
            listener: listener.context("cannot wait for the kernel")?,
            terminate: signal(SignalKind::terminate()).context(refused)?,
            interrupt: signal(SignalKind::interrupt()).context(refused)?,
            hang_up: signal(SignalKind::hangup()).context(refused)?,
            last_look: Instant::now(),
            cost: Duration::ZERO,
        })
    }

    /// A look has just been taken, and took `cost`.
    pub(super) fn looked(&mut self, cost: Duration) {
        self.last_look = Instant::now();
        self.cost = cost;
    }

    /// Waits until it is time to look again.
    ///
    /// # Errors
    ///
    /// If the kernel cannot be heard.
    pub(super) async fn wait(&mut self) -> anyhow::Result<Call> {
        let at_the_latest = self.last_look + INTERVAL.max(self.cost * IDLE_PER_LOOK);
        let mut heard = Heard::Nothing;
        let call = tokio::select! {
            biased;
            _ = self.terminate.recv() => Call::End,
            _ = self.interrupt.recv() => Call::End,
            _ = self.hang_up.recv() => Call::Change,
            ready = self.listener.readable() => {
                ready.context("cannot wait for the kernel")?.clear_ready();
                Call::Change
            }
            () = sleep_until(at_the_latest) => Call::Time,
        };
        if call == Call::Change {
            // A storm of announcements is answered by one look.
            sleep_until(self.last_look + self.cost * IDLE_PER_ANNOUNCEMENT).await;
            heard = self.listener.get_ref().drain()?;
        }
        Ok(if heard == Heard::Overflow {
            Call::Overflow
        } else {
            call
        })
    }
}
