//! Looks at the kernel whenever it announces a change, and three times a second for what it does not announce: a program
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
const INTERVAL: Duration = Duration::from_millis(300);
/// The longest time between two looks, however long each takes: a second after something was done, it is to be reported or
/// repaired, and that takes its time, too.
const LONGEST_INTERVAL: Duration = Duration::from_millis(400);
/// Looking takes at most this part of one processor, one in so many, unless a look takes longer than 8 ms.
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
    pauses: Pauses,
    /// The longest pause.
    longest: Duration,
}

/// How long to wait after a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pauses {
    /// If nothing is announced.
    quiet: Duration,
    /// At least, even if something is: a storm of announcements is answered by one look.
    storm: Duration,
}

impl Pauses {
    /// After a look that took `cost`; neither is longer than `longest`.
    fn after(cost: Duration, longest: Duration) -> Self {
        Self {
            quiet: INTERVAL.max(cost.saturating_mul(IDLE_PER_LOOK)).min(longest),
            storm: cost.saturating_mul(IDLE_PER_ANNOUNCEMENT).min(longest),
        }
    }
}

/// A runtime of one thread, and another one for repairs that wait for a lock.
pub(super) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
}

impl Patrol {
    /// Listens from here on. Looks are no further apart than `tells`, if somebody has to be told as often.
    pub(super) fn begin(tells: Option<Duration>) -> anyhow::Result<Self> {
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
            pauses: Pauses::default(),
            longest: tells.unwrap_or(LONGEST_INTERVAL).min(LONGEST_INTERVAL),
        })
    }

    /// A look has just been taken, and took `cost`.
    pub(super) fn looked(&mut self, cost: Duration) {
        self.last_look = Instant::now();
        self.pauses = Pauses::after(cost, self.longest);
    }

    /// Waits until it is time to look again.
    ///
    /// # Errors
    ///
    /// If the kernel cannot be heard.
    pub(super) async fn wait(&mut self) -> anyhow::Result<Call> {
        let at_the_latest = self.last_look + self.pauses.quiet;
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
            sleep_until(self.last_look + self.pauses.storm).await;
            heard = self.listener.get_ref().drain()?;
        }
        Ok(if heard == Heard::Overflow {
            Call::Overflow
        } else {
            call
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn looks_take_a_small_part_of_a_processor_and_none_is_waited_for_longer_than_a_second() {
        for (cost, quiet, storm) in [
            (0, 300, 0),
            (6, 300, 24),
            (7, 350, 28),
            (8, 400, 32),
            (9, 400, 36),
            (250, 400, 400),
            // A look is held up for a minute by whatever takes the processor.
            (60_000, 400, 400),
        ] {
            let expected = Pauses {
                quiet: millis(quiet),
                storm: millis(storm),
            };
            assert_eq!(
                Pauses::after(millis(cost), LONGEST_INTERVAL),
                expected,
                "{cost} ms"
            );
        }
        let watched = Pauses::after(millis(600), millis(200));
        assert_eq!((watched.quiet, watched.storm), (millis(200), millis(200)));
        assert_eq!(
            Pauses::after(Duration::MAX, LONGEST_INTERVAL).quiet,
            LONGEST_INTERVAL
        );
    }
}
