//! The rate, with two processors that race: what is delivered is 99 % to 100.5 % of the limit.

use std::time::Duration;

use shaper_tests::lab::qdisc::Qdisc;
use shaper_tests::lab::{Lab, UPLINK, client};
use shaper_tests::shaper::{Shaper, Stats};
use shaper_tests::traffic::{Arrival, Clock, Load, Receiver};

/// The defaults: no packet is to wait longer than this, or than so many full packets take.
const HORIZON_SECS: f64 = 0.2;
const HORIZON_BITS: f64 = 48.0 * 1514.0 * 8.0;
const PATIENCE: Duration = Duration::from_secs(20);

/// What a case came to.
#[derive(Debug)]
struct Measured {
    /// For people.
    #[expect(dead_code, reason = "printed")]
    what: String,
    /// Of the rate.
    share: f64,
    /// There was always a packet that waited, and none waited longer than for its departure time: no processor was kept
    /// from sending.
    is_saturated: bool,
}

/// As much as `n_sockets` can send to client `n`, who is then limited to so many Mbit/s.
fn measure(
    lab: &Lab,
    shaper: &Shaper<'_>,
    n: u16,
    (megabits, payload, n_sockets): (u32, usize, u32),
) -> Measured {
    let rate = f64::from(megabits) * 1e6;
    shaper.set(client(n), &format!("{megabits}mbit"), &[]);
    let receiver = Receiver::start(&lab.clients);
    let load = Load::to(client(n))
        .payload(payload)
        .sockets(n_sockets)
        .start(&lab.server);
    let has_settled = |arrivals: &[Arrival]| match arrivals {
        [first, .., last] => last.ns - first.ns > 300_000_000,
        _ => false,
    };
    assert!(receiver.wait_for(PATIENCE, has_settled));
    let before = shaper.stats(client(n));
    let from_ns = Clock::Realtime.now_ns();
    let has_lasted = |arrivals: &[Arrival]| {
        arrivals
            .last()
            .is_some_and(|last| last.ns > from_ns + 1_700_000_000)
    };
    assert!(receiver.wait_for(PATIENCE, has_lasted));
    let after = shaper.stats(client(n));
    let after_ns = Clock::Realtime.now_ns();
    load.stop();
    let all = receiver.drain(Duration::from_millis(300));
    let wire_len = all.wire_bytes() / all.len() as u64;
    let n_waiting = after
        .sent_packets
        .saturating_sub(all.only(|arrival| arrival.ns <= after_ns).len() as u64);
    let arrivals = all.only(|arrival| (from_ns..=after_ns).contains(&arrival.ns));
    let share = arrivals.departure_rate(rate) / rate;
    // Only to a bucket that is idle can packets be sent at once. Counters are read while a few are being counted.
    let n_at_once = |stats: &Stats| stats.sent_packets.saturating_sub(stats.delayed_packets);
    let is_full =
        after.dropped_packets > before.dropped_packets && n_at_once(&after).abs_diff(n_at_once(&before)) <= 4;
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 bits")]
    let waiting_secs = (n_waiting * wire_len * 8) as f64 / rate;
    let is_saturated = is_full && waiting_secs <= HORIZON_SECS.max(HORIZON_BITS / rate);
    let what = format!(
        "{megabits} Mbit/s, payload {payload}, {n_sockets} sockets: {:.3} % delivered, {waiting_secs:.3} s waiting, saturated: {is_saturated}",
        share * 100.0,
    );
    println!("{what}");
    Measured {
        what,
        share,
        is_saturated,
    }
}

/// As fast as the guest can send, with each payload, from one socket and from eight. Every payload at every rate is
/// tried in virtual time, where rates are exact.
#[test]
fn as_much_as_can_be_sent_arrives_at_the_rate() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    let cases = [(1, 1400), (10, 64), (10, 200), (10, 500), (10, 1400), (100, 1400)];
    let cases = cases
        .into_iter()
        .flat_map(|(megabits, payload)| [(megabits, payload, 1), (megabits, payload, 8)]);
    let (mut failures, mut n_saturated) = (Vec::new(), 0);
    for (case, n) in cases.zip(1..) {
        let measured = measure(&lab, &shaper, n, case);
        n_saturated += u32::from(measured.is_saturated);
        // Small packets at a high rate are more than the emulated processors can send.
        if measured.share > 1.005 || (measured.is_saturated && measured.share < 0.99) {
            failures.push(measured);
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(
        n_saturated >= 2,
        "in {n_saturated} cases of 12 more was sent than may arrive"
    );
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
}

#[test]
fn one_destination_over_four_transmit_queues_gets_one_rate() {
    let lab = Lab::with_queues(4);
    let shaper = Shaper::up(&lab.server, UPLINK);
    assert_eq!(Qdisc::fqs(&lab.server, UPLINK).len(), 4);
    shaper.set(client(1), "10mbit", &[]);
    let receiver = Receiver::start(&lab.clients);
    Load::to(client(1))
        .sockets(8)
        .run(&lab.server, Duration::from_secs(2));
    let measured = receiver
        .arrivals()
        .settled(Duration::from_millis(300))
        .departure_rate(10e6);
    println!("{measured:.0} of 10 Mbit/s");
    assert!((9.9e6..=10.05e6).contains(&measured), "{measured}");
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
}
