//! The machine sleeps and wakes: the clock that packets go by has stood still, the time of day has not.

use std::time::{Duration, Instant};

use shaper_tests::lab::DOWNLINK;
use shaper_tests::lab::link::Counters;
use shaper_tests::machine::flow::{SLOW, SLOW_BYTES_PER_SEC, Sender, counted, installed};
use shaper_tests::machine::{must, property, status, within};

const SOON: Duration = Duration::from_mins(1);
/// A deadline that passes while the machine sleeps, and when it wakes.
const DEADLINE: &str = "4s";
const ASLEEP_SECS: f64 = 8.0;

fn clock_secs(clock: libc::clockid_t) -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: one system call, with a place for its answer.
    let read = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(read, 0, "{}", std::io::Error::last_os_error());
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap()).as_secs_f64()
}

/// How long the machine has slept since it was booted.
fn slept_secs() -> f64 {
    clock_secs(libc::CLOCK_BOOTTIME) - clock_secs(libc::CLOCK_MONOTONIC)
}

/// Suspends the machine to memory, until its clock wakes it.
fn sleep() {
    let clock = "/sys/class/rtc/rtc0/wakealarm";
    must(&format!(
        "echo 0 >{clock} && echo +{ASLEEP_SECS} >{clock} && echo mem >/sys/power/state"
    ));
}

#[test]
fn whoever_slept_finds_the_rates_as_they_were_and_the_deadlines_over() {
    let clients = installed();
    let n_restarts = property("shaper-monitor.service", "NRestarts");
    let slow = Sender::start(SLOW, Duration::from_millis(4));
    within(SOON, "his queue is full", || counted(SLOW).1 > 0);
    must(&format!("shaper set 10.0.0.4 1mbit --for {DEADLINE}"));
    let slept_before = slept_secs();
    let (began, before) = (Instant::now(), Counters::read(&clients, DOWNLINK));
    sleep();
    let slept = slept_secs() - slept_before;
    let awake = Instant::now();
    within(SOON, "the rule is over", || {
        !must("shaper -o plain list").contains("10.0.0.4")
    });
    println!(
        "slept {slept:.1} s, the rule was over {:?} later",
        awake.elapsed()
    );
    assert!(slept > ASLEEP_SECS / 2.0, "it did not sleep: {slept} s");
    // By the clock that stood still.
    within(SOON, "there is something to measure", || {
        awake.elapsed() > Duration::from_secs(2)
    });
    let arrived = Counters::read(&clients, DOWNLINK).since(before);
    let span = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 bytes")]
    let share = arrived.rx_bytes as f64 / (span * SLOW_BYTES_PER_SEC);
    println!("{:.1} % of the rate in {span:.2} s", share * 100.0);
    // Less is what an emulated processor was late for; who stalls would get next to nothing.
    assert!((0.8..1.02).contains(&share), "{share}");
    assert!(slow.stop() > 0);
    assert_eq!(status().0, 0);
    assert_eq!(property("shaper-monitor.service", "NRestarts"), n_restarts);
}
