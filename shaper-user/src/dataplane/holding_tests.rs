//! Plans for devices as they are found, and the way back.

use super::super::coverage::coverage;
use super::*;
use crate::policy::FqNeeds;

fn needed() -> FqOptions {
    let needs = FqNeeds {
        limit_packets: 50_000,
        flow_limit_packets: 5_000,
        is_capped: false,
    };
    FqOptions::needed(&needs, 1)
}

fn device(n_tx_queues: u32) -> Device {
    Device {
        ifindex: 7,
        name: "eth0".into(),
        n_tx_queues,
        ..Device::default()
    }
}

fn qdisc(parent: u32, handle: u32, kind: &str) -> Qdisc {
    Qdisc {
        ifindex: 7,
        parent,
        handle,
        kind: kind.into(),
        ..Qdisc::default()
    }
}

fn plan_of(n_tx_queues: u32, qdiscs: &[Qdisc]) -> Plan {
    plan(&device(n_tx_queues), qdiscs, &needed()).unwrap()
}

/// The qdiscs after `steps`, as the kernel would have them.
fn after(mut qdiscs: Vec<Qdisc>, steps: &[Step]) -> Vec<Qdisc> {
    for step in steps {
        match step {
            Step::Graft { place, kind, options } => {
                let is_gone = |qdisc: &Qdisc| place.parent == ROOT || qdisc.parent == place.parent;
                qdiscs.retain(|qdisc| !is_gone(qdisc));
                let handle = if place.handle == 0 {
                    0x8001_0000
                } else {
                    place.handle
                };
                qdiscs.push(Qdisc {
                    options: options.clone(),
                    ..qdisc(place.parent, handle, kind)
                });
            }
            Step::Change { place, kind, options } => {
                let changed = qdiscs
                    .iter_mut()
                    .find(|qdisc| qdisc.parent == place.parent)
                    .unwrap();
                assert_eq!((&changed.kind, place.handle), (kind, 0));
                changed.options.clone_from(options);
            }
            Step::Delete { place } => {
                assert_eq!(root(&qdiscs).map(|root| root.handle), Some(place.handle));
                qdiscs = vec![qdisc(ROOT, 0, "default")];
            }
        }
    }
    qdiscs
}

/// What the plan makes of `found`; it must hold, a second plan must find nothing to do, and the way back must lead
/// to what was found.
fn there_and_back(n_tx_queues: u32, found: &[Qdisc]) -> Vec<Qdisc> {
    let plan = plan_of(n_tx_queues, found);
    let made = after(found.to_vec(), &plan.steps);
    let coverage = coverage(&device(n_tx_queues), &made, &needed());
    assert_eq!((coverage.n_fq, &coverage.problem), (coverage.n_queues, &None));
    assert_eq!(plan_of(n_tx_queues, &made), Plan::default(), "a second time");
    let (steps, left_alone) = restore(7, &plan.before, &made);
    assert_eq!(left_alone, Vec::<String>::new());
    let back = after(made.clone(), &steps);
    let is_default = root(found).is_none_or(|root| root.handle == 0);
    if is_default {
        assert_eq!(back, [qdisc(ROOT, 0, "default")]);
    } else {
        let kinds = |qdiscs: &[Qdisc]| {
            let mut kinds: Vec<_> = qdiscs
                .iter()
                .map(|qdisc| (qdisc.parent, qdisc.kind.clone(), qdisc.options.clone()))
                .collect();
            kinds.sort();
            kinds
        };
        assert_eq!(kinds(&back), kinds(found));
    }
    made
}

#[test]
fn a_device_with_one_queue_gets_fq_at_its_root() {
    for kind in ["noqueue", "pfifo_fast", "fq_codel", "fq"] {
        let made = there_and_back(1, &[qdisc(ROOT, 0, kind)]);
        assert_eq!(
            (made.len(), &*made[0].kind, made[0].handle),
            (1, "fq", OUR_HANDLE)
        );
    }
    there_and_back(1, &[]);
}

#[test]
fn a_device_with_many_queues_gets_fq_on_each_of_them() {
    let found = [
        qdisc(ROOT, 0, "mq"),
        qdisc(1, 0, "fq_codel"),
        qdisc(2, 0, "fq_codel"),
    ];
    let made = there_and_back(4, &found);
    assert_eq!(made.len(), 5);
    assert_eq!((&*made[0].kind, made[0].handle), ("mq", OUR_HANDLE));
    assert!((1..5).all(|queue| {
        made.iter()
            .any(|made| made.parent == (OUR_HANDLE | queue) && made.kind == "fq")
    }));
}

#[test]
fn a_classless_root_of_somebody_else_is_made_again() {
    let options = vec![8, 0, 1, 0, 1, 2, 3, 4];
    for n_tx_queues in [1, 4] {
        let found = [Qdisc {
            options: options.clone(),
            ..qdisc(ROOT, 0x8003_0000, "sfq")
        }];
        there_and_back(n_tx_queues, &found);
    }
}

#[test]
fn an_fq_of_somebody_else_is_changed_in_place() {
    let theirs = FqOptions {
        limit_packets: 10_000,
        flow_limit_packets: 100,
        ..needed()
    };
    for n_tx_queues in [1, 4] {
        let found = [Qdisc {
            options: theirs.encode(),
            ..qdisc(ROOT, 0x1_0000, "fq")
        }];
        let plan = plan_of(n_tx_queues, &found);
        assert!(matches!(plan.steps[..], [Step::Change { .. }]), "{plan:?}");
        there_and_back(n_tx_queues, &found);
    }
    let enough = [Qdisc {
        options: needed().encode(),
        ..qdisc(ROOT, 0x1_0000, "fq")
    }];
    assert_eq!(plan_of(1, &enough), Plan::default());
}

#[test]
fn an_mq_of_somebody_else_keeps_its_root() {
    let small = FqOptions {
        limit_packets: 10_000,
        ..needed()
    };
    let found = [
        qdisc(ROOT, 0x1_0000, "mq"),
        qdisc(0x1_0001, 0, "fq_codel"),
        Qdisc {
            options: small.encode(),
            ..qdisc(0x1_0002, 0x9_0000, "fq")
        },
        qdisc(0x1_0003, 0x8_0000, "sfq"),
    ];
    let made = there_and_back(3, &found);
    assert_eq!(root(&made).unwrap().handle, 0x1_0000);
}

#[test]
fn classes_of_somebody_else_are_not_touched() {
    let prio = [qdisc(ROOT, 0x1_0000, "prio")];
    let child = [
        qdisc(ROOT, 0x1_0000, "fq_codel"),
        qdisc(0x1_0001, 0x2_0000, "pfifo"),
    ];
    for found in [&[qdisc(ROOT, 0x1_0000, "htb")][..], &prio, &child] {
        let error = plan(&device(1), found, &needed()).unwrap_err();
        assert_eq!(error.code(), "foreign_qdisc");
        assert!(error.hint().unwrap().contains("tc qdisc del dev eth0 root"));
    }
}

#[test]
fn filters_and_size_tables_of_somebody_else_are_not_lost() {
    let filters = |qdisc| Qdisc {
        has_filters: true,
        ..qdisc
    };
    let size_table = |qdisc| Qdisc {
        has_size_table: true,
        ..qdisc
    };
    let mq = qdisc(ROOT, 0x1_0000, "mq");
    for (found, hint) in [
        (vec![filters(qdisc(ROOT, 0x7_0000, "fq_codel"))], "root"),
        // The kernel's own default takes filters, too.
        (vec![filters(qdisc(ROOT, 0, "fq_codel"))], "root"),
        (vec![size_table(qdisc(ROOT, 0x7_0000, "pfifo"))], "root"),
        (
            vec![mq.clone(), filters(qdisc(0x1_0002, 0x7_0000, "sfq"))],
            "parent 1:2",
        ),
        (vec![mq.clone(), qdisc(0x1_0001, 0x7_0000, "htb")], "parent 1:1"),
    ] {
        let error = plan(&device(2), &found, &needed()).unwrap_err();
        assert_eq!(error.code(), "foreign_qdisc");
        let hint = format!("`tc qdisc del dev eth0 {hint}`");
        assert!(error.hint().unwrap().contains(&hint), "{found:?}");
    }
    // What stays where it is loses nothing.
    let fq = Qdisc {
        options: needed().encode(),
        ..filters(size_table(qdisc(ROOT, 0x1_0000, "fq")))
    };
    assert_eq!(plan_of(1, &[fq]), Plan::default());
}

#[test]
fn what_was_replaced_since_is_left_alone() {
    let plan = plan_of(1, &[qdisc(ROOT, 0, "fq_codel")]);
    let replaced = [qdisc(ROOT, 0x8005_0000, "cake")];
    assert_eq!(
        restore(7, &plan.before, &replaced),
        (vec![], vec!["cake 8005:".to_owned()])
    );
}

#[test]
fn what_is_back_already_is_neither_put_back_nor_taken_for_somebody_else_s() {
    let found = [
        qdisc(ROOT, 0x1_0000, "mq"),
        qdisc(0x1_0001, 0, "fq_codel"),
        qdisc(0x1_0002, 0x8_0000, "sfq"),
    ];
    let plan = plan_of(2, &found);
    let back = [
        found[0].clone(),
        qdisc(0x1_0001, 0x8001_0000, "fq_codel"),
        found[2].clone(),
    ];
    assert_eq!(restore(7, &plan.before, &back), (vec![], vec![]));
    let other = Qdisc {
        options: vec![1],
        ..back[1].clone()
    };
    let (_, left_alone) = restore(7, &plan.before, &[found[0].clone(), other, found[2].clone()]);
    assert_eq!(left_alone, ["fq_codel 8001:"]);
}

#[test]
fn our_root_goes_even_if_nothing_is_remembered() {
    let (steps, _) = restore(7, &[], &[qdisc(ROOT, OUR_HANDLE, "fq")]);
    assert!(matches!(steps[..], [Step::Delete { .. }]));
    assert_eq!(
        restore(7, &[], &[qdisc(ROOT, 0x8001_0000, "fq")]),
        (vec![], vec![])
    );
}

#[test]
fn a_queue_without_fq_is_found_out() {
    let fq = |parent| Qdisc {
        options: needed().encode(),
        ..qdisc(parent, 0x5b01_0000, "fq")
    };
    let qdiscs = [
        qdisc(ROOT, OUR_HANDLE, "mq"),
        fq(OUR_HANDLE | 1),
        qdisc(OUR_HANDLE | 2, 0, "pfifo_fast"),
    ];
    let found = coverage(&device(2), &qdiscs, &needed());
    assert_eq!((found.n_fq, found.n_queues), (1, 2));
    assert_eq!(
        found.problem.as_deref(),
        Some("queue 2 of `eth0` has pfifo_fast instead of fq")
    );
    let small = FqOptions {
        flow_limit_packets: 100,
        ..needed()
    };
    let qdiscs = [Qdisc {
        options: small.encode(),
        ..qdisc(ROOT, OUR_HANDLE, "fq")
    }];
    let found = coverage(&device(1), &qdiscs, &needed());
    assert_eq!((found.n_fq, found.n_queues), (0, 1));
    assert_eq!(
        found.problem.as_deref(),
        Some("fq on `eth0`: flow_limit is 100 instead of 5000")
    );
}
