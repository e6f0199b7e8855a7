//! What a thread that listens has heard, for the test that asks it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Arrival, Arrivals, Clock};
use crate::lab::Host;

/// A thread that listens until this is dropped.
#[derive(Debug)]
pub(super) struct Collector {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    arrivals: Mutex<Vec<Arrival>>,
    /// Whatever had arrived at this time, in nanoseconds of the time of day, has been heard.
    heard_until_ns: AtomicU64,
    is_done: AtomicBool,
}

/// A packet that was heard.
pub(super) struct Heard {
    /// When the kernel received it.
    pub(super) kernel_ns: u64,
    /// What to note about it, if anything.
    pub(super) arrival: Option<Arrival>,
}

impl Collector {
    /// Calls `listen` on `host` again and again; it returns what it heard, or an error if that was nothing for a
    /// short while.
    pub(super) fn start(host: &Host, mut listen: impl FnMut() -> io::Result<Heard> + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let thread = host.spawn({
            let shared = Arc::clone(&shared);
            move || {
                while !shared.is_done.load(Ordering::Relaxed) {
                    let before_ns = Clock::Realtime.now_ns();
                    let until_ns = match listen() {
                        Ok(heard) => {
                            shared.lock().extend(heard.arrival);
                            heard.kernel_ns
                        }
                        Err(_) => before_ns,
                    };
                    shared.heard_until_ns.store(until_ns, Ordering::Release);
                }
            }
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// All that has arrived by now, even if the thread has not heard it yet.
    ///
    /// # Panics
    ///
    /// If the thread is far behind.
    pub(super) fn arrivals(&self) -> Arrivals {
        let asked_ns = Clock::Realtime.now_ns();
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.shared.heard_until_ns.load(Ordering::Acquire) < asked_ns {
            assert!(Instant::now() < deadline, "the thread that listens is far behind");
            thread::sleep(Duration::from_millis(1));
        }
        Arrivals(self.lock().clone())
    }

    /// What has been heard so far.
    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<Arrival>> {
        self.shared.lock()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.shared.is_done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Arrival>> {
        // A panic elsewhere leaves a list of packets that is still a list of packets.
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
