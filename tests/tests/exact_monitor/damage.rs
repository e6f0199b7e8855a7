//! What somebody does to an interface, and what the monitor makes of it.

use std::any::Any;
use std::time::{Duration, Instant};

use shaper_tests::lab::{DOWNLINK, Lab, UPLINK};
use shaper_tests::monitor::Monitor;
use shaper_tests::shaper::Shaper;

/// An interface, and others that may come.
pub(super) const CONFIG: &str =
    "[interface.up0]\n[interface.\"new*\"]\n[[rule]]\ndestination = \"any\"\nrate = \"100mbit\"\n";
const A_SECOND: Duration = Duration::from_secs(1);
/// What the monitor says of an interface at last.
pub(super) const WELL: &str = "everything is in place again";

/// What lasts as long as it is held.
pub(super) type Held = Option<Box<dyn Any>>;

/// The server, and who limits it.
pub(super) struct Scene<'a> {
    pub(super) lab: &'a Lab,
    pub(super) shaper: &'a Shaper<'a>,
}

/// What somebody does, and what comes of it.
pub(super) struct Damage {
    /// Does it. What it returns is kept until it is undone.
    harms: fn(&Scene<'_>) -> Held,
    /// What the monitor says once it has repaired it, or seen that it cannot.
    says: &'static str,
    /// Undoes what the monitor cannot repair; then everything is in place again.
    undo: Option<fn(&Scene<'_>)>,
}

/// What the monitor repairs.
pub(super) const fn repaired(harms: fn(&Scene<'_>) -> Held) -> Damage {
    Damage {
        harms,
        says: WELL,
        undo: None,
    }
}

/// What it reports.
pub(super) const fn reported(
    says: &'static str,
    harms: fn(&Scene<'_>) -> Held,
    undo: fn(&Scene<'_>),
) -> Damage {
    Damage {
        harms,
        says,
        undo: Some(undo),
    }
}

impl Scene<'_> {
    /// The exit code of `status`.
    pub(super) fn status(&self) -> Option<i32> {
        self.shaper.try_run(&["status", "--brief"]).status.code()
    }

    /// Runs `tc`.
    pub(super) fn tc(&self, line: &str) -> Held {
        self.lab.server.tc([line]);
        None
    }

    /// Runs `ip`.
    pub(super) fn ip(&self, lines: &[&str]) -> Held {
        self.lab.server.ip(lines);
        None
    }

    /// Makes the cable to the clients, after one of these lines.
    pub(super) fn make(&self, before: &[&str]) {
        let cable = format!(
            "link add {UPLINK} numtxqueues 2 numrxqueues 2 type veth peer name {DOWNLINK} netns {}",
            self.lab.clients.name()
        );
        let up = format!("link set {UPLINK} up");
        self.ip(&[before, &[&cable, &up]].concat());
    }

    /// Does the damage while the monitor is stopped, then again while it runs.
    fn suffer(&self, what: &str, damage: &Damage) {
        let monitor = Monitor::start(&mut self.shaper.command(&["monitor"]));
        for is_stopped in [true, false] {
            assert_eq!(self.status(), Some(0), "before: {what}");
            let mut began = Instant::now();
            if is_stopped {
                monitor.signal(libc::SIGSTOP);
            }
            let held = (damage.harms)(self);
            if is_stopped {
                assert_eq!(self.status(), Some(7), "{what}, and the monitor is stopped");
                began = Instant::now();
                monitor.signal(libc::SIGCONT);
            }
            monitor.hear(damage.says);
            in_time(what, began);
            if let Some(undo) = damage.undo {
                assert_eq!(self.status(), Some(7), "{what}");
                let began = Instant::now();
                drop(held);
                undo(self);
                monitor.hear(WELL);
                in_time(&format!("{what}, and undone"), began);
            }
        }
        assert_eq!(self.status(), Some(0), "after: {what}");
    }
}

/// It is not a second yet since it began.
pub(super) fn in_time(what: &str, began: Instant) {
    println!("{what}: after {:?}", began.elapsed());
    assert!(began.elapsed() < A_SECOND, "{what}: {:?}", began.elapsed());
}

/// An interface of two queues, limited.
pub(super) fn on(up: &[&str], damages: &[(&str, Damage)]) {
    let lab = Lab::with_queues(2);
    let shaper = Shaper::new(&lab.server);
    shaper.configure(CONFIG);
    shaper.run(up);
    let scene = Scene {
        lab: &lab,
        shaper: &shaper,
    };
    for (what, damage) in damages {
        scene.suffer(what, damage);
    }
}
