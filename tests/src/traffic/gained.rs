//! How far arrivals got ahead of a rate, whatever the machine was late for.

use std::time::Duration;

use super::Arrivals;

impl Arrivals {
    /// The most time that any `n_packets` in a row gained on any before them, against a steady rate.
    ///
    /// A machine may be late, never early. So of each row the packet counts that was held up least: who was late once is on time
    /// again with the next, whereas all that follows a packet beyond the rate is ahead for good. Whoever has nothing to send
    /// for a while falls behind for good, too, and gains nothing by it.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "far fewer than 2^52 bytes and nanoseconds"
    )]
    pub fn gained(&self, bits_per_second: f64, n_packets: usize) -> Duration {
        let Some(first) = self.0.first() else {
            return Duration::ZERO;
        };
        let mut sent = 0_u64;
        let late_ns: Vec<f64> = self
            .0
            .iter()
            .map(|arrival| {
                let ns = (arrival.ns - first.ns) as f64;
                let due_ns = sent as f64 * 8e9 / bits_per_second;
                sent += arrival.wire_bytes;
                ns - due_ns
            })
            .collect();
        let (mut latest, mut gained) = (f64::NEG_INFINITY, 0_f64);
        for row in late_ns.chunks(n_packets) {
            let least = row.iter().copied().fold(f64::INFINITY, f64::min);
            gained = gained.max(latest - least);
            latest = latest.max(least);
        }
        Duration::from_secs_f64(gained / 1e9)
    }
}
