//! Commands that change queues, each from nothing in force and back to nothing: what only grows is as it was each time.

mod known;

use super::{Ground, Scene, Step, step};
pub use known::Known;

/// A command that changes queues.
#[derive(Debug)]
pub struct Trip {
    /// What the queues are before shaper.
    pub ground: Ground,
    /// From nothing in force to where the command finds it.
    pub before: &'static [Step],
    /// The command.
    pub there: Step,
    /// What may be done after it was cut short, and what that leads to.
    pub ends: &'static [(Step, End)],
}

impl Trip {
    /// Goes where the command finds it.
    pub fn prepare(&self, scene: &Scene) {
        for step in self.before {
            scene.take(step);
        }
    }
}

/// What there is in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// What was found, with nothing in force.
    Found,
    /// What there was before the command.
    Old,
    /// What the command leads to.
    New,
}

/// Takes all away.
pub const DOWN: Step = step(BOTH, &["down"]);

/// `eth0` has two queues, `eth1` one; the kernel's default.
const DEFAULTS: Ground = Ground {
    ip: &[
        "link add eth0 numtxqueues 2 type veth peer name peer0",
        "link add eth1 numtxqueues 1 numrxqueues 1 type veth peer name peer1 numtxqueues 1 numrxqueues 1",
        "link set eth0 up",
        "link set eth1 up",
    ],
    tc: &[],
};

/// The same, with queues of somebody else's: of each sort that is put back in another way.
const THEIRS: Ground = Ground {
    tc: &[
        "qdisc replace dev eth0 root handle 9: mq",
        "qdisc replace dev eth0 parent 9:1 handle 6: fq_codel limit 777",
        "qdisc replace dev eth0 parent 9:2 handle 8: fq limit 777 flow_limit 77",
        "qdisc replace dev eth1 root handle 7: pfifo limit 77",
    ],
    ..DEFAULTS
};

/// A rule, and these interfaces.
macro_rules! with_a_rule {
    ($interfaces:literal) => {
        concat!(
            "[defaults]\nmax_clients = 1000\n",
            $interfaces,
            "[[rule]]\ndestination = \"10.0.0.1\"\nrate = \"8mbit\"\n"
        )
    };
}

const BOTH: &str = with_a_rule!("[interface.eth0]\n[interface.eth1]\n");
const ONE_QUEUE: &str = with_a_rule!("[interface.eth1]\n");
const TWO_QUEUES: &str = with_a_rule!("[interface.eth0]\n");

/// As [`TWO_QUEUES`]; `fq` must hold more.
const MORE: &str = r#"
[defaults]
max_clients = 1000
[interface.eth0]
[[rule]]
destination = "10.0.0.1"
rate = "800mbit"
horizon = "400ms"
"#;

const UP: Step = step(BOTH, &["up"]);
const UP_ONE: Step = step(TWO_QUEUES, &["up"]);

/// An `mq` where the kernel's default was.
pub const UP_ON_DEFAULTS: Trip = Trip {
    ground: DEFAULTS,
    before: &[],
    there: UP_ONE,
    ends: &[(UP_ONE, End::New), (DOWN, End::Found)],
};

/// Queues of somebody else's.
pub const UP_ON_THEIRS: Trip = Trip {
    ground: THEIRS,
    before: &[],
    there: UP,
    ends: &[(UP, End::New), (DOWN, End::Found)],
};

/// The kernel's default comes back.
pub const DOWN_TO_DEFAULTS: Trip = Trip {
    ground: DEFAULTS,
    before: &[UP_ONE],
    there: DOWN,
    ends: &[(UP_ONE, End::Old), (DOWN, End::New)],
};

/// Queues of somebody else's come back.
pub const DOWN_TO_THEIRS: Trip = Trip {
    ground: THEIRS,
    before: &[UP],
    there: DOWN,
    ends: &[(UP, End::Old), (DOWN, End::New)],
};

/// A configuration for which `fq` must hold more.
pub const RELOAD_FOR_MORE: Trip = Trip {
    ground: THEIRS,
    before: &[UP_ONE],
    there: step(MORE, &["reload"]),
    ends: &[(step(MORE, &["up"]), End::New), (DOWN, End::Found)],
};

/// A rule for which `fq` must hold more.
pub const SET_MORE: Trip = Trip {
    ground: DEFAULTS,
    before: &[UP_ONE],
    there: step(TWO_QUEUES, SET),
    ends: &[(step(TWO_QUEUES, SET), End::New), (DOWN, End::Found)],
};

/// Of a rule that `down` forgets.
const SET: &[&str] = &["set", "10.0.0.7", "800mbit", "--temporary"];

/// One more interface in the configuration.
pub const ADD: Trip = Trip {
    ground: THEIRS,
    before: &[step(ONE_QUEUE, &["up"])],
    there: step(BOTH, &["apply"]),
    ends: &[
        (step(BOTH, &["apply"]), End::New),
        (step(ONE_QUEUE, &["reload"]), End::Old),
        (DOWN, End::Found),
    ],
};

/// One interface less.
pub const REMOVE: Trip = Trip {
    ground: THEIRS,
    before: &[UP],
    there: step(ONE_QUEUE, &["reload"]),
    ends: &[(step(ONE_QUEUE, &["reload"]), End::New), (DOWN, End::Found)],
};
