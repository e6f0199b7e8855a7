//! Programs, links and filters.

use shaper_tests::alone::{INTERFACE, tc};
use shaper_tests::lab::bpf;
use shaper_tests::lab::foreign::{Foreign, NEXT, PASS};

use super::kind::{ANEW, CLSACT, Kind, REFUSED, UP, kind, opened, pinned, unpin};

/// By a link, where the kernel has tcx.
pub(super) fn on_tcx() -> Vec<Kind> {
    vec![
        kind(
            "the link is detached by force",
            |server| {
                bpf::detach_link(&opened(server, "link_eth0")).unwrap();
                None
            },
            "its link was detached",
            UP,
        ),
        kind(
            "the pin of the link is removed",
            |server| unpin(server, "link_eth0"),
            "the pin of its link is missing",
            UP,
        ),
        kind(
            "the pin of the program is removed",
            |server| unpin(server, "prog_eth0"),
            "its pin is missing",
            UP,
        ),
        kind(
            "both pins are removed",
            |server| {
                unpin(server, "prog_eth0");
                unpin(server, "link_eth0")
            },
            "its pin is missing",
            UP,
        ),
        kind(
            "another program is put into the link",
            |server| {
                Foreign::load_named(PASS, "shaper_egress").put_into(&opened(server, "link_eth0")).unwrap();
                None
            },
            "another program was put into its link",
            UP,
        ),
        kind(
            "another program of the same name is put into the link and pinned",
            |server| {
                let foreign = Foreign::load_named(PASS, "shaper_egress");
                foreign.put_into(&opened(server, "link_eth0")).unwrap();
                unpin(server, "prog_eth0");
                foreign.pin(&server.pin("prog_eth0"));
                None
            },
            "another program is pinned in its place",
            UP,
        ),
        kind(
            "something else is pinned as the link",
            |server| {
                unpin(server, "link_eth0");
                Foreign::load(PASS).pin(&server.pin("link_eth0"));
                None
            },
            "something else is pinned in place of its link",
            ANEW,
        ),
        kind(
            "something else is pinned as the program",
            |server| {
                unpin(server, "prog_eth0");
                bpf::pin(&bpf::create_array(8, 1).unwrap(), &server.pin("prog_eth0")).unwrap();
                None
            },
            "/prog_eth0",
            ANEW,
        ).exits(REFUSED),
        kind(
            "a program in front ends the chain",
            |_| Some(Box::new(Foreign::load(PASS).attach_tcx_here(INTERFACE, true).unwrap())),
            "1 other programs run first",
            &[],
        ),
        kind(
            "a program in front lets the next one run",
            |_| Some(Box::new(Foreign::load(NEXT).attach_tcx_here(INTERFACE, true).unwrap())),
            "1 other programs run first",
            &[],
        ),
        kind(
            "the program stands on clsact, too",
            |server| {
                tc("qdisc add dev eth0 clsact");
                let path = server.pin("prog_eth0");
                tc(&format!(
                    "filter add dev eth0 egress prio 1 handle 0x5a9e protocol all bpf direct-action object-pinned {}",
                    path.display()
                ));
                None
            },
            "packets are charged twice",
            ANEW,
        )
        .undone(|_| tc("qdisc del dev eth0 clsact")),
    ]
}

/// By a filter on clsact.
pub(super) fn on_clsact() -> Vec<Kind> {
    vec![
        kind(
            "the filter is deleted",
            |_| {
                tc("filter del dev eth0 egress prio 1");
                None
            },
            "its filter is not on clsact",
            CLSACT,
        ),
        kind(
            "clsact is deleted",
            |_| {
                tc("qdisc del dev eth0 clsact");
                None
            },
            "its filter is not on clsact",
            CLSACT,
        ),
        kind(
            "another program takes the filter's place",
            |server| {
                tc("filter del dev eth0 egress prio 1");
                tc(&format!(
                    "filter add dev eth0 egress prio 1 handle 0x5a9e protocol all bpf direct-action object-pinned {}",
                    pinned(server, PASS).display()
                ));
                None
            },
            "its filter is not on clsact",
            CLSACT,
        )
        .undone(|_| tc("filter del dev eth0 egress prio 1")),
        kind(
            "a filter in front ends the chain",
            |server| {
                tc(&format!(
                    "filter add dev eth0 egress prio 1 handle 0x1 protocol all bpf direct-action object-pinned {}",
                    pinned(server, PASS).display()
                ));
                None
            },
            "other programs run first",
            &[],
        )
        .undone(|_| tc("filter del dev eth0 egress prio 1 handle 0x1 protocol all bpf")),
        kind(
            "the pin of the program is removed, which stands on clsact",
            |server| unpin(server, "prog_eth0"),
            "its pin is missing",
            CLSACT,
        ),
    ]
}

/// By a filter on clsact, where the kernel has tcx.
pub(super) fn on_both() -> Vec<Kind> {
    vec![kind(
        "a program on tcx ends the chain before clsact",
        |_| {
            Some(Box::new(
                Foreign::load(PASS).attach_tcx_here(INTERFACE, true).unwrap(),
            ))
        },
        "1 other programs run first",
        &[],
    )]
}
