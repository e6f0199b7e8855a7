//! What `shaper doctor` finds on a machine where something is missing or in the way, and that each finding says what to do. Needs
//! root.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use shaper_tests::lab::Release;
use shaper_tests::lab::foreign::{Foreign, NEXT};
use shaper_tests::server::{Ran, Server};

const POLICED: &str = "[interface.eth0]\nenforcement = \"police\"\n";

/// The checks of one kind: state, what was found, remedy.
fn checks(ran: &Ran, what: &str) -> Vec<[String; 3]> {
    let document: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    let checks = document["checks"].as_array().unwrap();
    let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let of_kind = checks.iter().filter(|check| check["check"] == what);
    of_kind
        .map(|check| ["state", "found", "hint"].map(|key| text(check, key)))
        .collect()
}

fn doctor(server: &Server) -> Ran {
    server.run(&["-o", "json", "doctor"])
}

/// That the only check of this kind has this state and says these words, and is a line of the text, too.
fn assert_says(server: &Server, what: &str, state: &str, words: &[&str]) {
    let ran = doctor(server);
    let found = checks(&ran, what);
    let [check] = &found[..] else {
        panic!("{what}: {found:?}");
    };
    assert_eq!(check[0], state, "{check:?}");
    for word in words {
        assert!(check[1..].concat().contains(word), "`{word}` is not in {check:?}");
    }
    assert_eq!(ran.code == 7, ran.stdout.contains("\"fail\""), "{ran:?}");
    let text = server.run(&["doctor"]).stdout;
    let line = text
        .lines()
        .find(|line| line.split_whitespace().nth(1) == Some(what));
    assert!(line.is_some_and(|line| line.ends_with(&check[1])), "{text}");
}

/// A command that may not do what these capabilities allow.
fn without(mut command: Command, capabilities: &'static [libc::c_int]) -> Command {
    let drop_all = move || {
        for capability in capabilities {
            // SAFETY: a system call without pointers.
            if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, *capability, 0, 0, 0) } != 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: nothing but system calls between fork and exec.
    unsafe { command.pre_exec(drop_all) };
    command
}

#[test]
fn a_missing_capability_is_named() {
    let server = Server::up(POLICED);
    // Whoever may administrate the system (21) may load programs, too.
    for (capabilities, name) in [(&[12_i32][..], "CAP_NET_ADMIN"), (&[21, 39], "CAP_BPF")] {
        let mut command = without(server.command(&["-o", "json", "doctor"]), capabilities);
        let ran = Ran::from(command.output().unwrap());
        let found = checks(&ran, "privilege");
        assert_eq!((ran.code, &*found[0][0]), (7, "fail"), "{found:?}");
        assert!(found[0][1].contains(name) && !found[0][2].is_empty(), "{found:?}");
    }
}

#[test]
fn a_directory_that_is_no_bpf_file_system_is_named() {
    let server = Server::up(POLICED);
    let place = server.dir.join("plain/shaper");
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    let mut command = server.command(&["-o", "json", "doctor"]);
    let ran = Ran::from(command.env("SHAPER_BPFFS_DIR", &place).output().unwrap());
    let found = checks(&ran, "bpffs");
    assert_eq!((ran.code, &*found[0][0]), (7, "fail"), "{found:?}");
    assert!(found[0][2].contains("mount -t bpf"), "{found:?}");
    assert!(!Path::new(&place).exists());
}

#[test]
fn a_qdisc_that_is_somebody_elses_is_named_and_left_alone() {
    let server = Server::up(POLICED);
    server.ok(&["down"]);
    server.configure("[interface.eth0]\n");
    let tc = |args: &str| {
        let output = Command::new("tc").args(args.split(' ')).output().unwrap();
        assert!(output.status.success(), "{args}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    tc("qdisc add dev eth0 root handle 1: htb");
    assert_says(&server, "interface", "fail", &["eth0", "htb", "tc qdisc del"]);
    assert!(tc("qdisc show dev eth0").contains("htb"));
}

#[test]
fn a_pattern_stands_for_the_interfaces_that_are_there() {
    let server = Server::up(POLICED);
    server.configure("[interface.\"pee*\"]\nenforcement = \"police\"\n");
    assert_says(&server, "interface", "ok", &["peer0"]);
    server.configure("[interface.missing0]\nenforcement = \"police\"\n");
    assert_says(&server, "interface", "fail", &["missing0"]);
}

#[test]
fn a_configuration_with_a_mistake_is_one_line() {
    let server = Server::up(POLICED);
    server.configure("[[rule]]\ndestination = \"203.0.113.7/8\"\nrate = \"1mbit\"\n");
    assert_says(
        &server,
        "config",
        "fail",
        &["shaper.toml:2", "host bits", "shaper check"],
    );
    let text = server.run(&["doctor"]).stdout;
    assert!(!text.contains("destination ="), "{text}");
}

#[test]
fn whoever_stands_before_us_is_named_with_what_that_means() {
    let server = Server::up(POLICED);
    assert_says(&server, "programs", "ok", &["eth0", "none but shaper's"]);
    if Release::running() < Release::V6_12 {
        return;
    }
    let meter = Foreign::load_named(NEXT, "meter");
    let last = meter.attach_tcx_here("eth0", false).unwrap();
    assert_says(&server, "programs", "ok", &["shaper's runs before meter"]);
    drop(last);
    let _first = meter.attach_tcx_here("eth0", true).unwrap();
    assert_says(
        &server,
        "programs",
        "warn",
        &["meter before shaper's", "without a limit"],
    );
    server.ok(&["down"]);
    assert_says(&server, "programs", "ok", &["meter", "ends the chain"]);
}
