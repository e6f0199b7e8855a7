//! What can happen to the queues behind the program: `shaper status` never says that all is well, names the place, and the
//! remedy helps.

use shaper_tests::lab::{Lab, Release, UPLINK};
use shaper_tests::shaper::Shaper;

/// One kind of degradation: what somebody does with `tc`, what `status` has to name, what has to be undone before
/// `shaper up` can help.
struct Kind {
    damage: &'static str,
    says: &'static str,
    undo: Option<&'static str>,
}

const fn kind(damage: &'static str, says: &'static str) -> Kind {
    Kind {
        damage,
        says,
        undo: None,
    }
}

const ONE_QUEUE: [Kind; 9] = [
    kind(
        "qdisc replace dev up0 root pfifo limit 100",
        "`up0` has pfifo instead of fq",
    ),
    kind(
        "qdisc replace dev up0 root fq_codel",
        "`up0` has fq_codel instead of fq",
    ),
    kind("qdisc replace dev up0 root handle 77: fq limit 5", "fq on `up0`"),
    kind("qdisc del dev up0 root", "`up0` has"),
    kind("qdisc change dev up0 root fq limit 10", "fq on `up0`"),
    kind("qdisc change dev up0 root fq flow_limit 3", "fq on `up0`"),
    kind("qdisc change dev up0 root fq horizon 1ms", "fq on `up0`"),
    kind("qdisc change dev up0 root fq orphan_mask 1023", "fq on `up0`"),
    Kind {
        damage: "qdisc replace dev up0 root handle 1: htb",
        says: "`up0` has htb instead of fq",
        undo: Some("qdisc del dev up0 root"),
    },
];

const TWO_QUEUES: [Kind; 5] = [
    kind(
        "qdisc replace dev up0 parent 5a9e:1 pfifo",
        "queue 1 of `up0` has pfifo instead of fq",
    ),
    kind(
        "qdisc replace dev up0 parent 5a9e:2 fq_codel",
        "queue 2 of `up0` has fq_codel instead of fq",
    ),
    kind(
        "qdisc change dev up0 parent 5a9e:2 fq limit 10",
        "fq on queue 2 of `up0`",
    ),
    kind(
        "qdisc replace dev up0 root pfifo",
        "`up0` has pfifo instead of fq",
    ),
    kind("qdisc del dev up0 root", "up0`"),
];

fn try_all(n_queues: u32, kinds: &[Kind]) {
    let lab = Lab::with_queues(n_queues);
    let shaper = Shaper::up_with(
        &lab.server,
        UPLINK,
        "[[rule]]\ndestination = \"any\"\nrate = \"100mbit\"\n",
    );
    // What `tc` shows hardly differs between kernels, and each kind takes seconds: all are tried on one of them.
    let n_tried = if Release::running() == Release::V6_12 {
        kinds.len()
    } else {
        2
    };
    let kinds = &kinds[..n_tried];
    let mut wrong = Vec::new();
    for kind in kinds {
        assert_eq!(shaper.try_run(&["status"]).status.code(), Some(0));
        lab.server.tc([kind.damage]);
        let output = shaper.try_run(&["status"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("{}: {:?}: {said}", kind.damage, output.status.code());
        lab.server.tc(kind.undo);
        shaper.run(&["up", "-i", UPLINK]);
        let is_found =
            output.status.code() == Some(7) && said.contains(kind.says) && said.contains("`shaper up`");
        if !is_found {
            wrong.push(format!("{}: {said}", kind.damage));
        }
    }
    println!(
        "{} kinds of degradation, {} not found out",
        kinds.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(shaper.try_run(&["status"]).status.code(), Some(0));
}

#[test]
fn a_queue_that_is_not_as_it_should_be_is_found_out() {
    try_all(1, &ONE_QUEUE);
}

#[test]
fn one_of_several_queues_that_is_not_as_it_should_be_is_found_out() {
    try_all(2, &TWO_QUEUES);
}

#[test]
fn a_queue_below_the_interface_that_is_limited_is_found_out() {
    let lab = Lab::new();
    lab.server.ip([
        format!("link add link {UPLINK} name {UPLINK}.5 type vlan id 5"),
        format!("link set {UPLINK}.5 up"),
    ]);
    let shaper = Shaper::new(&lab.server);
    shaper.run(&["up", "-i", "up0.5"]);
    assert_eq!(shaper.try_run(&["status"]).status.code(), Some(0));
    lab.server.tc([format!("qdisc replace dev {UPLINK} root pfifo")]);
    let status = shaper.try_run(&["status"]);
    assert_eq!(status.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&status.stdout).contains("`up0` has pfifo instead of fq"));
    shaper.run(&["up", "-i", "up0.5"]);
    assert_eq!(shaper.try_run(&["status"]).status.code(), Some(0));
    // A bridge above it, limited too: each packet would be charged twice.
    lab.server.ip(["link add br0 type bridge", "link set br0 up"]);
    shaper.run(&["up", "-i", "br0"]);
    lab.server.ip(["link set up0.5 master br0"]);
    let status = shaper.try_run(&["status"]);
    assert_eq!(status.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&status.stdout).contains("limited twice"));
}
