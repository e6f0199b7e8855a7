//! The monitor gets no processor, or hangs, while packets flow: each meets its rule, and keeps to its rate.

use std::process::{Child, Command};
use std::time::{Duration, Instant};
use std::{fs, thread};

use shaper_tests::lab::Host;
use shaper_tests::machine::flow::{SLOW, Sender, assert_complete, assert_paced, counted, installed, listen};
use shaper_tests::machine::{must, property, sh, status, within};
use shaper_tests::traffic::Receiver;

const SOON: Duration = Duration::from_mins(2);
const MONITOR: &str = "shaper-monitor.service";
const IMPATIENT: &str = "/run/systemd/system/shaper-monitor.service.d/impatient.conf";

/// Somebody who is limited is sent twice his rate all the time.
struct Flood {
    slow: Sender,
    receiver: Receiver,
    _clients: Host,
}

impl Flood {
    fn start() -> Self {
        let clients = installed();
        let receiver = listen(&clients);
        let slow = Sender::start(SLOW, Duration::from_millis(4));
        within(SOON, "his queue is full", || counted(SLOW).1 > 0);
        Self {
            slow,
            receiver,
            _clients: clients,
        }
    }

    /// Each packet met the rule, and arrived at its rate or was refused.
    fn assert_held(self) {
        let n_sent = self.slow.stop();
        let (n_passed, n_refused) = counted(SLOW);
        within(SOON, "what waits has left", || {
            self.receiver.n_arrived() as u64 >= n_passed
        });
        let arrivals = self.receiver.arrivals();
        assert_eq!(n_passed + n_refused, n_sent, "some met no rule");
        assert_complete(&arrivals, SLOW, n_sent, n_refused);
        // Less is what an emulated processor, which others want, had no time to send.
        assert!(assert_paced(&arrivals) > 0.5);
    }
}

/// Others who want every processor, all the time; but whoever sends and receives comes first.
struct Greedy(Vec<Child>);

impl Greedy {
    fn start() -> Self {
        let want = |_| {
            let mut command = Command::new("nice");
            command.args(["-n", "19", "sh", "-c", "while :; do :; done"]);
            command.spawn().unwrap()
        };
        let n_processors = thread::available_parallelism().unwrap().get();
        Self((0..n_processors).map(want).collect())
    }
}

impl Drop for Greedy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The monitor gets next to nothing of a processor.
struct Starved;

impl Starved {
    fn new() -> Self {
        must(&format!(
            "systemctl set-property --runtime {MONITOR} CPUQuota=1% CPUWeight=1"
        ));
        Self
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        let _ = sh(&format!(
            "systemctl set-property --runtime {MONITOR} CPUQuota= CPUWeight="
        ));
    }
}

/// systemd waits for a monitor that hangs for seconds, not for a minute.
struct Impatient;

impl Impatient {
    fn new() -> Self {
        let dir = std::path::Path::new(IMPATIENT).parent().unwrap();
        fs::create_dir_all(dir).unwrap();
        fs::write(IMPATIENT, "[Service]\nWatchdogSec=6\nTimeoutStopSec=2\n").unwrap();
        must(&format!("systemctl daemon-reload && systemctl restart {MONITOR}"));
        Self
    }
}

impl Drop for Impatient {
    fn drop(&mut self) {
        let _ = fs::remove_file(IMPATIENT);
        let _ = sh(&format!("systemctl daemon-reload; systemctl restart {MONITOR}"));
    }
}

fn process() -> String {
    property(MONITOR, "MainPID")
}

/// Another one than `before` runs, and has said that it is ready.
fn is_replaced(before: &str) -> bool {
    let now = process();
    now != "0" && now != before && property(MONITOR, "ActiveState") == "active"
}

#[test]
fn the_rate_holds_while_the_monitor_starves_and_it_is_well_when_it_is_fed() {
    let flood = Flood::start();
    let fed = || property(MONITOR, "WatchdogTimestampMonotonic");
    let used = || Duration::from_nanos(property(MONITOR, "CPUUsageNSec").parse().unwrap());
    let before = process();
    let starved = Starved::new();
    let greedy = Greedy::start();
    let (began, fed_before, used_before) = (Instant::now(), fed(), used());
    // Longer than systemd lets it be silent: whoever gets too little even for a word is killed and started again.
    within(SOON, "it has starved for long", || {
        began.elapsed() > Duration::from_secs(32)
    });
    // What a restarted one has used is counted from its own start.
    let share = used()
        .saturating_sub(used_before)
        .div_duration_f64(began.elapsed());
    let (is_fed, is_restarted) = (fed() != fed_before, process() != before);
    println!(
        "{:.2} % of a processor; spoke: {is_fed}, restarted: {is_restarted}",
        share * 100.0
    );
    assert!(share < 0.02, "it did not starve: {share}");
    assert!(is_fed || is_restarted, "nobody missed it");
    drop((greedy, starved));
    within(SOON, "all is well", || {
        status().0 == 0 && property(MONITOR, "ActiveState") == "active"
    });
    flood.assert_held();
}

#[test]
fn the_rate_holds_while_a_monitor_that_hangs_is_found_out_and_replaced() {
    let flood = Flood::start();
    let _impatient = Impatient::new();
    let before = process();
    must(&format!(
        "systemctl kill --kill-whom=main --signal=STOP {MONITOR}"
    ));
    let took = within(SOON, "another one runs", || is_replaced(&before));
    println!("another one runs after {took:?}");
    let said = must(&format!(
        "journalctl --sync; journalctl -b --no-pager -q _PID=1 UNIT={MONITOR}"
    ));
    assert!(said.contains("Watchdog timeout"), "{said}");
    assert_eq!(status().0, 0);
    flood.assert_held();
}
