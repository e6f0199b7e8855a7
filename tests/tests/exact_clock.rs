//! Somebody sets the clock, back and forth by a year: nobody's packets stall, nobody gets a burst for nothing, and deadlines
//! mean the time of day that was written down. In virtual time, and in guests only: a machine has one clock.

use std::time::{Duration, Instant};

use shaper_tests::lab::link::Counters;
use shaper_tests::lab::{DOWNLINK, Lab, UPLINK, client};
use shaper_tests::object;
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::{Clock, Load};

const YEAR_SECS: i64 = 365 * 86_400;
const BYTES_PER_SEC: f64 = 500_000.0;

/// The time of day, put right when dropped.
struct TimeOfDay {
    offset_ns: u64,
}

impl TimeOfDay {
    fn remembered() -> Self {
        assert!(object::in_lab(), "this sets the clock of the whole machine");
        Self {
            offset_ns: Clock::Realtime.now_ns() - Clock::Monotonic.now_ns(),
        }
    }

    /// Sets it to the right one and so many seconds.
    fn set(&self, secs: i64) {
        let ns = Clock::Monotonic.now_ns() + self.offset_ns;
        let time = libc::timespec {
            tv_sec: i64::try_from(ns / 1_000_000_000).unwrap() + secs,
            tv_nsec: i64::try_from(ns % 1_000_000_000).unwrap(),
        };
        // SAFETY: one system call, with a time that outlives it.
        let set = unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const time) };
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    }
}

impl Drop for TimeOfDay {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Bytes that reach the clients' host while `wait` lasts, and how many seconds that was.
fn delivered(lab: &Lab, wait: Duration) -> (f64, f64) {
    let (began, before) = (Instant::now(), Counters::read(&lab.clients, DOWNLINK));
    std::thread::sleep(wait);
    let after = Counters::read(&lab.clients, DOWNLINK).since(before);
    let span = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 bytes")]
    let bytes = after.rx_bytes as f64;
    (bytes, span)
}

#[test]
fn a_clock_that_is_set_neither_stalls_anybody_nor_lets_a_burst_pass() {
    let lab = Lab::new();
    let clock = TimeOfDay::remembered();
    let shaper = Shaper::up_with(&lab.server, UPLINK, "");
    shaper.set(client(1), "4mbit", &[]);
    let load = Load::to(client(1)).bits_per_second(8_000_000).start(&lab.server);
    // The burst is over, and the queue is full.
    delivered(&lab, Duration::from_millis(500));
    let moves = [
        ("a year forth", YEAR_SECS),
        ("a year back", -YEAR_SECS),
        ("right again", 0),
    ];
    for (what, moved) in moves {
        clock.set(moved);
        let (bytes, span) = delivered(&lab, Duration::from_secs(1));
        let share = bytes / (span * BYTES_PER_SEC);
        println!(
            "{what}: {bytes} bytes in {span:.3} s, {:.1} % of the rate",
            share * 100.0
        );
        // To ask for the counters takes milliseconds.
        assert!((0.99..1.005).contains(&share), "{what}: {share}");
    }
    load.stop();
    assert_eq!(shaper.status()["is_degraded"], false);
}

#[test]
fn a_deadline_is_the_time_of_day_that_was_written() {
    let lab = Lab::new();
    let clock = TimeOfDay::remembered();
    let shaper = Shaper::up_with(&lab.server, UPLINK, "");
    shaper.set(client(1), "4mbit", &["--for", "2h"]);
    let rates = std::cell::Cell::new(1);
    let listed = || -> serde_json::Value {
        // Whatever changes the policy leaves out what has expired.
        shaper.set(client(2), &format!("{}mbit", rates.replace(rates.get() + 1)), &[]);
        let list: serde_json::Value = serde_json::from_str(&shaper.run(&["-o", "json", "list"])).unwrap();
        let rules = list["rules"].as_array().unwrap();
        let destination = format!("{}/32", client(1));
        let rule = rules.iter().find(|rule| rule["destination"] == *destination);
        rule.map_or(serde_json::Value::Null, |rule| rule["expires_at"].clone())
    };
    let written = listed();
    assert!(written.is_string(), "{written}");
    clock.set(-YEAR_SECS);
    assert_eq!(listed(), written, "a year before");
    clock.set(7_000);
    assert_eq!(listed(), written, "minutes before");
    clock.set(YEAR_SECS);
    assert_eq!(listed(), serde_json::Value::Null, "a year after");
}
