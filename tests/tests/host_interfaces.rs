//! What becomes of interfaces, programs and buckets when `up`, `reload` and `apply` find the configuration changed, and when
//! something of it is refused. Needs root.

use std::os::fd::OwnedFd;

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use serde_json::Value;
use shaper_tests::alone::{Ran, Server, ip, tc};
use shaper_tests::lab::bpf;
use shaper_tests::lab::foreign::{Foreign, NEXT};
use shaper_tests::packet;
use shaper_tests::plane::hooks;

const RULE: &str = "[[rule]]\ndestination = \"203.0.113.7\"\nrate = \"100mbit\"\n";

/// A rule, and these interfaces, which are policed.
fn policing(interfaces: &[&str]) -> String {
    let section = |name: &&str| format!("[interface.{name}]\nenforcement = \"police\"\n");
    interfaces.iter().map(section).collect::<String>() + RULE
}

/// Another interface, a cable of its own.
fn add_interface(name: &str) {
    ip(&format!("link add {name} type veth peer name {name}-peer"));
}

/// The program that is pinned for an interface.
fn program(server: &Server, interface: &str) -> Vec<bpf::Id> {
    bpf::ids_at(&server.pin(&format!("prog_{interface}"))).unwrap()
}

/// Sends a packet through the program that is pinned for an interface; how long it was.
fn send(server: &Server, interface: &str) -> u64 {
    let program = SchedClassifier::from_pin(server.pin(&format!("prog_{interface}"))).unwrap();
    let frame = packet::udp_to("203.0.113.7".parse().unwrap(), 1000);
    let options = TestRunOptions {
        data_in: Some(&frame),
        repeat: 1,
        ..TestRunOptions::default()
    };
    program.test_run(options).unwrap();
    frame.len() as u64
}

/// What the rule for 203.0.113.7 has sent: packets and bytes.
fn sent(server: &Server) -> (u64, u64) {
    let listed: Value = serde_json::from_str(&server.ok(&["-o", "json", "list", "--stats"])).unwrap();
    let stats = &listed["rules"][0]["stats"];
    let number = |key: &str| stats[key].as_u64().unwrap();
    (number("sent_packets"), number("sent_bytes"))
}

/// The interfaces that `status` knows.
fn attached(server: &Server) -> Vec<String> {
    let status: Value = serde_json::from_str(&server.run(&["-o", "json", "status"]).out).unwrap();
    let interfaces = status["interfaces"].as_array().unwrap().iter();
    interfaces
        .map(|interface| interface["name"].as_str().unwrap().to_owned())
        .collect()
}

fn assert_refused(ran: &Ran, says: &str) {
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains(says), "{ran:?}");
}

/// As many programs of somebody else on the hook of an interface as the kernel takes.
fn fill_hook(interface: &str) -> Vec<(Foreign, OwnedFd)> {
    let mut programs = Vec::new();
    loop {
        let foreign = Foreign::load(NEXT);
        match foreign.attach_tcx_here(interface, false) {
            Ok(link) => programs.push((foreign, link)),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::ERANGE));
                return programs;
            }
        }
    }
}

#[test]
fn what_is_refused_while_it_is_up_leaves_rules_and_buckets_as_they_are() {
    let server = Server::up(&policing(&["eth0"]));
    add_interface("eth1");
    let length = send(&server, "eth0");
    let before = (
        server.ok(&["-o", "plain", "list"]),
        sent(&server),
        program(&server, "eth0"),
    );
    assert_eq!(before.1, (1, length));
    let assert_same = |what: &str| {
        let after = (
            server.ok(&["-o", "plain", "list"]),
            sent(&server),
            program(&server, "eth0"),
        );
        assert_eq!(after, before, "after {what}");
    };
    // By now the rule that runs is in no file.
    let without = |interfaces: &[&str]| server.configure(&policing(interfaces).replace(RULE, ""));
    without(&["eth0"]);
    assert_refused(
        &server.run(&["up", "-i", "eth0,eth9"]),
        "there is no interface `eth9`",
    );
    assert_same("a name that was mistyped");
    tc("qdisc add dev eth1 root handle 1: htb");
    assert_refused(&server.run(&["up", "-i", "eth1"]), "tc qdisc del dev eth1 root");
    assert_same("a qdisc of somebody else");
    server.configure("[interface.eth0]\nenforcement = \"police\"\n[interface.eth1]\n");
    assert_refused(&server.run(&["reload"]), "tc qdisc del dev eth1 root");
    assert_same("a reload that meets a qdisc of somebody else");
    without(&["eth0", "eth1"]);
    tc("qdisc add dev eth1 clsact");
    tc("filter add dev eth1 egress prio 1 protocol all u32 match u32 0 0 classid 1:1");
    assert_refused(
        &server.run(&["up", "--attach", "clsact"]),
        "tc filter show dev eth1 egress",
    );
    assert_same("a filter of somebody else");
    if hooks().contains(&"tcx") {
        let _full = fill_hook("eth1");
        assert_refused(&server.run(&["reload"]), "bpftool net show dev eth1");
        assert_same("a hook that is full");
    }
    server.configure(&policing(&["eth0"]));
    server.ok(&["status"]);
}

#[test]
fn a_reload_that_fails_on_the_second_interface_puts_the_program_of_the_first_back() {
    for hook in hooks() {
        let server = Server::new(&policing(&["eth0"]));
        server.ok(&["up", "--attach", hook]);
        add_interface("eth1");
        let before = program(&server, "eth0");
        server.configure(&policing(&["eth0", "eth1"]).replacen('\n', "\noverhead = 24\n", 1));
        let refused = if *hook == "tcx" {
            let _full = fill_hook("eth1");
            server.run(&["reload"])
        } else {
            tc("qdisc add dev eth1 clsact");
            tc("filter add dev eth1 egress prio 1 protocol all u32 match u32 0 0 classid 1:1");
            server.run(&["up", "--attach", "clsact"])
        };
        assert_eq!(refused.code, 1, "{refused:?}");
        assert_eq!(program(&server, "eth0"), before, "by {hook}");
        server.configure(&policing(&["eth0"]));
        server.ok(&["status"]);
    }
}

#[test]
fn an_interface_that_the_configuration_names_no_more_is_let_go_of() {
    let server = Server::new(&policing(&["eth0", "eth1"]));
    add_interface("eth1");
    server.ok(&["up"]);
    server.configure(&policing(&["eth0"]));
    // Whoever names an interface by hand means that one.
    server.ok(&["up", "-i", "eth0"]);
    assert_eq!(attached(&server), ["eth0", "eth1"]);
    let said = server.ok(&["reload"]);
    assert!(
        said.ends_with("eth1: detached, the configuration names it no more\n"),
        "{said}"
    );
    assert_eq!(attached(&server), ["eth0"]);
    assert!(!server.pin("prog_eth1").exists() && !server.pin("link_eth1").exists());
    server.ok(&["status"]);
    server.configure(&policing(&["eth1"]));
    let said: Value = serde_json::from_str(&server.ok(&["-o", "json", "up"])).unwrap();
    let done = |place: usize| {
        let attached = &said["attached"][place];
        (attached["name"].as_str(), attached["done"].as_str())
    };
    assert_eq!(done(0), (Some("eth1"), Some("attached")));
    assert_eq!(done(1), (Some("eth0"), Some("detached")));
    server.configure(RULE);
    server.ok(&["reload"]);
    assert_eq!(attached(&server), Vec::<String>::new());
}

#[test]
fn a_limit_moves_from_a_port_to_what_is_above_it() {
    let server = Server::up(&policing(&["eth0"]));
    ip("link add br0 type bridge");
    ip("link set eth0 master br0");
    send(&server, "eth0");
    server.configure(&policing(&["br0"]));
    let said = server.ok(&["reload"]);
    assert!(
        said.contains("br0: attached by ") && said.contains("eth0: detached"),
        "{said}"
    );
    assert_eq!(attached(&server), ["br0"]);
    server.ok(&["status"]);
    send(&server, "br0");
    assert_eq!(sent(&server).0, 2, "the bucket is the same");
    server.configure(&policing(&["eth0"]));
    server.ok(&["up"]);
    assert_eq!(attached(&server), ["eth0"]);
}

#[test]
fn who_limits_a_tunnel_beside_another_interface_learns_that_packets_may_count_twice() {
    let server = Server::new(&policing(&["eth0"]));
    ip("tuntap add tun0 mode tun");
    let note = |ran: &Ran| ran.err.contains("`tun0` is a tunnel") && ran.err.contains("exempt");
    assert!(!note(&server.run(&["up"])));
    server.configure(&policing(&["eth0", "tun0"]));
    let ran = server.run(&["reload"]);
    assert!(ran.code == 0 && note(&ran), "{ran:?}");
    // It is said once.
    assert!(!note(&server.run(&["reload"])));
    server.ok(&["down"]);
    server.configure(&policing(&["tun0"]));
    assert!(!note(&server.run(&["up"])));
    server.ok(&["down"]);
    ip("link delete tun0");
}

#[test]
fn an_interface_that_was_renamed_is_not_let_go_of() {
    let server = Server::up(&policing(&["eth0"]));
    ip("link set eth0 down");
    ip("link set eth0 name lan0");
    server.ok(&["reload"]);
    assert_eq!(attached(&server), ["lan0"]);
    server.ok(&["reload"]);
    assert_eq!(attached(&server), ["lan0"]);
}

#[test]
fn apply_puts_what_the_configuration_says_of_interfaces_in_force() {
    let server = Server::up(&policing(&["eth0"]));
    add_interface("eth1");
    let length = send(&server, "eth0");
    assert_eq!(sent(&server), (1, length));
    let wanted = policing(&["eth0", "eth1"]).replacen('\n', "\noverhead = 24\n", 1);
    server.configure(&wanted);
    let dry = server.run(&["apply", "--dry-run"]);
    assert_eq!((dry.code, &*attached(&server).join(" ")), (0, "eth0"), "{dry:?}");
    let said = server.ok(&["apply"]);
    assert!(
        said.contains("eth0: program replaced in place\n") && said.contains("eth1: attached by "),
        "{said}"
    );
    server.ok(&["status"]);
    send(&server, "eth0");
    send(&server, "eth1");
    assert_eq!(sent(&server), (3, 3 * length + 24));
    server.configure(&wanted.replacen("24", "38", 1));
    server.ok(&["up"]);
    send(&server, "eth0");
    assert_eq!(sent(&server), (4, 4 * length + 24 + 38));
}

#[test]
fn apply_of_another_file_or_on_trial_says_that_interfaces_stay_as_they_are() {
    let server = Server::up(&policing(&["eth0"]));
    let file = server.dir().join("other.toml");
    std::fs::write(&file, policing(&["eth0"]).replacen('\n', "\noverhead = 24\n", 1)).unwrap();
    let ran = server.run(&["apply", "-f", file.to_str().unwrap()]);
    assert_eq!((ran.code, &*ran.out), (0, "+0 -0 ~1 =1\n"));
    assert!(ran.err.contains("`shaper reload`"), "{ran:?}");
    let ran = server.run(&["apply", "-f", file.to_str().unwrap()]);
    assert_eq!((ran.code, &*ran.err), (0, ""), "nothing has changed");
    // The very file of the configuration is no other one.
    let ran = server.run(&["apply", "-f", server.dir().join("shaper.toml").to_str().unwrap()]);
    assert_eq!((ran.code, &*ran.err), (0, ""));
    server.ok(&["status"]);
    let before = program(&server, "eth0");
    std::fs::copy(file, server.dir().join("shaper.toml")).unwrap();
    let ran = server.run(&["apply", "--try", "1s"]);
    assert_eq!((ran.code, program(&server, "eth0")), (7, before), "{ran:?}");
    assert!(ran.err.contains("`shaper reload`"), "{ran:?}");
}
