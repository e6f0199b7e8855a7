//! What arrived, in order, and what it says about rates, bursts, gaps, loss and order.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// One packet that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When, by the receiving kernel's wall clock.
    pub ns: u64,
    /// Address it was sent to.
    pub destination: IpAddr,
    /// Which socket of which load sent it; zero where that is not known.
    pub flow: u32,
    /// Which of the flow's packets it is, from zero.
    pub sequence: u32,
    /// Bytes that it took on the wire.
    pub wire_bytes: u64,
    /// ECN bits.
    pub ecn: u8,
}

/// Packets in the order of their arrival.
#[derive(Clone, Debug, Default)]
pub struct Arrivals(pub Vec<Arrival>);

impl Arrivals {
    /// Those that were sent to one address.
    #[must_use]
    pub fn to(&self, destination: IpAddr) -> Self {
        self.only(|arrival| arrival.destination == destination)
    }

    /// Those of one flow.
    #[must_use]
    pub fn of_flow(&self, flow: u32) -> Self {
        self.only(|arrival| arrival.flow == flow)
    }

    /// Those that a condition holds for.
    #[must_use]
    pub fn only(&self, condition: impl Fn(&Arrival) -> bool) -> Self {
        Self(
            self.0
                .iter()
                .copied()
                .filter(|arrival| condition(arrival))
                .collect(),
        )
    }

    /// Without those of the first `settling` after the first one: bursts are over, queues are as they will be.
    #[must_use]
    pub fn settled(&self, settling: Duration) -> Self {
        let from_ns = self.first_ns() + nanoseconds(settling);
        self.only(|arrival| arrival.ns >= from_ns)
    }

    /// With packets that came less than `within` after the one before them joined to it: what was segments of
    /// one packet when it departed is one arrival.
    #[must_use]
    pub fn joined(&self, within: Duration) -> Self {
        let within_ns = nanoseconds(within);
        let (mut joined, mut last_ns) = (Vec::<Arrival>::new(), 0);
        for arrival in &self.0 {
            match joined.last_mut() {
                Some(group) if arrival.ns - last_ns < within_ns => group.wire_bytes += arrival.wire_bytes,
                _ => joined.push(*arrival),
            }
            last_ns = arrival.ns;
        }
        Self(joined)
    }

    /// Number of packets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Nothing arrived.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All bytes on the wire.
    #[must_use]
    pub fn wire_bytes(&self) -> u64 {
        self.0.iter().map(|arrival| arrival.wire_bytes).sum()
    }

    fn first_ns(&self) -> u64 {
        self.0.first().expect("nothing arrived").ns
    }

    fn last_ns(&self) -> u64 {
        self.0.last().expect("nothing arrived").ns
    }

    /// Time between the first and the last arrival.
    #[must_use]
    pub fn span(&self) -> Duration {
        Duration::from_nanos(self.last_ns() - self.first_ns())
    }

    /// Bits per second on the wire between the first and the last arrival.
    ///
    /// A packet occupies the time after its departure, so the last one does not count.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "far fewer than 2^52 bits and nanoseconds"
    )]
    pub fn bits_per_second(&self) -> f64 {
        assert!(self.len() > 1, "{} packets have no rate", self.len());
        let last = self.0.last().map_or(0, |last| last.wire_bytes);
        let bits = (self.wire_bytes() - last) * 8;
        bits as f64 * 1e9 / (self.last_ns() - self.first_ns()) as f64
    }

    /// Bits per second between the packets of the first and of the last third that were delayed least, given that about
    /// `expected` bits per second departed. For a machine that does other things too: it may look late, never early.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "far fewer than 2^52 bits and nanoseconds"
    )]
    pub fn departure_rate(&self, expected: f64) -> f64 {
        assert!(self.len() > 5, "{} packets have no rate", self.len());
        let mut sent = 0;
        let departed: Vec<(f64, f64)> = self
            .0
            .iter()
            .map(|arrival| {
                let bits_before = sent as f64 * 8.0;
                sent += arrival.wire_bytes;
                ((arrival.ns - self.first_ns()) as f64, bits_before)
            })
            .collect();
        let third = departed.len() / 3;
        let delay_ns = |(ns, bits): &(f64, f64)| ns - bits * 1e9 / expected;
        let [first, last] = [&departed[..third], &departed[departed.len() - third..]].map(|part| {
            let least = part.iter().min_by(|a, b| delay_ns(a).total_cmp(&delay_ns(b)));
            *least.expect("a third of six is two")
        });
        (last.1 - first.1) * 1e9 / (last.0 - first.0)
    }

    /// The most bytes by which any span of time exceeded `bits_per_second`: the burst that a bucket of that rate
    /// would have needed, one packet included.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "far fewer than 2^52 bytes and nanoseconds"
    )]
    pub fn burst_bytes(&self, bits_per_second: f64) -> f64 {
        let Some(first) = self.0.first() else { return 0.0 };
        let (mut sent, mut lowest, mut burst) = (0_u64, f64::INFINITY, 0_f64);
        for arrival in &self.0 {
            let allowed = (arrival.ns - first.ns) as f64 * bits_per_second / 8e9;
            lowest = lowest.min(sent as f64 - allowed);
            sent += arrival.wire_bytes;
            burst = burst.max(sent as f64 - allowed - lowest);
        }
        burst
    }

    /// Longest time in which the destination had nothing to receive although all that came before would have been
    /// through at `bits_per_second`: time that a sender with more to send has wasted.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "far fewer than 2^52 bytes and nanoseconds"
    )]
    pub fn longest_idle(&self, bits_per_second: f64) -> Duration {
        let (mut through_ns, mut idle_ns) = (f64::INFINITY, 0_f64);
        for arrival in &self.0 {
            let ns = (arrival.ns - self.first_ns()) as f64;
            idle_ns = idle_ns.max(ns - through_ns);
            let busy_from_ns = if through_ns.is_finite() {
                ns.max(through_ns)
            } else {
                ns
            };
            through_ns = busy_from_ns + arrival.wire_bytes as f64 * 8e9 / bits_per_second;
        }
        Duration::from_secs_f64(idle_ns / 1e9)
    }

    /// Longest time without an arrival.
    #[must_use]
    pub fn longest_gap(&self) -> Duration {
        let gaps = self.0.windows(2).map(|pair| pair[1].ns - pair[0].ns);
        Duration::from_nanos(gaps.max().unwrap_or_default())
    }

    /// Packets that arrived after a later one of their flow.
    #[must_use]
    pub fn n_reordered(&self) -> usize {
        let mut highest: BTreeMap<u32, u32> = BTreeMap::new();
        let mut n_reordered = 0;
        for arrival in &self.0 {
            let highest = highest.entry(arrival.flow).or_default();
            if arrival.sequence < *highest {
                n_reordered += 1;
            } else {
                *highest = arrival.sequence;
            }
        }
        n_reordered
    }

    /// Packets with each value of the ECN bits.
    #[must_use]
    pub fn n_by_ecn(&self) -> [usize; 4] {
        let mut n = [0; 4];
        for arrival in &self.0 {
            n[usize::from(arrival.ecn & 3)] += 1;
        }
        n
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("no test lasts for centuries")
}
