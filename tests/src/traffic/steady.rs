//! A client who is offered twice what he may get, while something happens to the way to him. In virtual time.

use std::time::Duration;

use crate::lab::{Lab, client};
use crate::shaper::Shaper;

use super::{Arrival, Clock, Load, Options, Receiver};

/// Of the rule, in bits per second.
const RATE: f64 = 4e6;
/// Of the rule, by default.
const HORIZON_NS: u64 = 200_000_000;
/// Far longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of an Ethernet frame, which a device without link header does not count.
const LINK_HEADER: u64 = 14;

/// The way to the client, through the interface that is limited.
#[derive(Debug)]
pub struct Way<'a> {
    lab: &'a Lab,
    shaper: Shaper<'a>,
    /// What is sent.
    options: Options,
    /// Bits per second as the receiver counts them.
    rate: f64,
}

impl<'a> Way<'a> {
    /// Limits the client on an interface of the server.
    #[must_use]
    pub fn limited(lab: &'a Lab, interface: &str) -> Self {
        let shaper = Shaper::up_with(&lab.server, interface, "");
        shaper.set(client(1), "4mbit", &[]);
        Self {
            lab,
            shaper,
            options: Options::default().unstoppable(),
            rate: RATE,
        }
    }

    /// The interface has no link header, and room for packets with this much payload.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a few bytes")]
    pub fn without_link_header(mut self, payload: usize) -> Self {
        self.options.payload = payload;
        let counted = self.options.wire_bytes(client(1)) as f64;
        Self {
            rate: RATE * counted / (counted - LINK_HEADER as f64),
            ..self
        }
    }

    /// Whoever limits the client.
    #[must_use]
    pub fn shaper(&self) -> &Shaper<'a> {
        &self.shaper
    }

    /// Sends while `change` happens. From one horizon after it on, the client gets the rate, and no more.
    pub fn holds_the_rate(&self, what: &str, change: impl FnOnce()) {
        let receiver = Receiver::start(&self.lab.clients);
        let load = Load::to(client(1)).with(self.options).bits_per_second(8_000_000);
        let load = load.start(&self.lab.server);
        let flows_for = |ns: u64, from_ns: u64| {
            move |arrivals: &[Arrival]| {
                let from = arrivals.partition_point(|arrival| arrival.ns < from_ns);
                let after = &arrivals[from..];
                after.last().is_some_and(|last| last.ns - after[0].ns > ns)
            }
        };
        let wait_for = |ns: u64, from_ns: u64| {
            assert!(
                receiver.wait_for(PATIENCE, flows_for(ns, from_ns)),
                "{what}: nothing flows; {} packets arrived\n{}\n{}",
                receiver.n_arrived(),
                self.lab.server.output("tc", &["-s", "qdisc", "show"]),
                self.lab.server.output("ip", &["-s", "link", "show"])
            );
        };
        wait_for(400_000_000, 0);
        change();
        let settled_ns = Clock::Realtime.now_ns() + HORIZON_NS;
        wait_for(800_000_000, settled_ns);
        load.stop();
        let arrivals = receiver.drain(Duration::from_nanos(2 * HORIZON_NS));
        let after = arrivals.only(|arrival| arrival.ns >= settled_ns);
        let (share, burst) = (after.bits_per_second() / self.rate, after.burst_bytes(self.rate));
        let late = Duration::from_nanos(after.0[0].ns - settled_ns);
        println!(
            "{what}: nothing for {:?}; {late:?} after a horizon, {:.3} % of the rate, {burst:.0} bytes at once",
            arrivals.longest_gap(),
            share * 100.0
        );
        assert!(late < Duration::from_millis(10), "{what}: {late:?}");
        assert!((0.999..1.001).contains(&share), "{what}: {share}");
        assert!(burst < 3_000.0, "{what}: {burst} bytes");
    }

    /// `status` finds nothing wrong.
    pub fn is_well(&self) {
        let status = self.shaper.status();
        assert_eq!(status["is_degraded"], false, "{status}");
    }
}
