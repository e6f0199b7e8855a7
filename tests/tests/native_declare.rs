//! The commands that take and give whole policies, against this machine's kernel. Needs root.

use std::io::Write;
use std::process::Stdio;

use shaper_tests::server::{Ran, Server};

const CONFIG: &str = "[interface.eth0]\nenforcement = \"police\"\n[group.g]\nrate = \"1gbit\"\n\
    [[rule]]\nname = \"rest\"\ndestination = \"any\"\nper = \"client\"\nrate = \"100mbit\"\ngroup = \"g\"\n";

const REST: &str = "rest\tany\t-\tclient\t100000000\t125000\tg\t-\tconfig\n";

/// `shaper apply` of `text`, given on standard input.
fn apply(server: &Server, text: &str, more: &[&str]) -> Ran {
    let args = [&["apply", "-f", "-"], more].concat();
    let mut child = server.command(&args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Ran::from(child.wait_with_output().unwrap())
}

#[test]
fn what_is_saved_and_applied_again_changes_nothing() {
    let server = Server::up(CONFIG);
    server.ok(&[
        "set",
        "203.0.113.7",
        "20mbit",
        "--service",
        "tcp:8000-8099",
        "--per",
        "ip",
        "--comment",
        "a \"b\"",
    ]);
    server.ok(&["set", "203.0.113.8", "block", "--for", "2h"]);
    server.ok(&["set", "2001:db8::/56", "50mbit", "--temporary", "--group", "g"]);
    server.ok(&["exempt", "add", "10.0.0.0/8"]);
    let before = server.rules();
    let saved = server.ok(&["save"]);
    for prune in [&[][..], &["--prune"]] {
        let ran = apply(&server, &saved, prune);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (0, "+0 -0 ~0 =6\n"),
            "{}",
            ran.stderr
        );
    }
    assert_eq!(server.ok(&["save"]), saved);
    assert_eq!(server.rules(), before.replace("\tcli\n", "\tconfig\n"));
}

#[test]
fn every_key_of_a_policy_is_saved_and_applied_again() {
    let server = Server::up(
        "[interface.eth0]\nenforcement = \"police\"\noverhead = 24\n\
         [defaults]\nburst = \"20ms\"\nhorizon = \"300ms\"\necn = \"off\"\nmax_clients = 1000\n\
         [exempt]\nprefixes = [\"192.168.0.0/16\"]\n\
         [service.game]\nports = [\"udp:27000-27999\", \"tcp:27015\"]\n\
         [group.g]\nrate = \"1gbit\"\nburst = \"100kB\"\nhorizon = \"250ms\"\necn = \"7ms\"\ncomment = \"a 'b' \\\"c\\\"\"\n\
         [[rule]]\nname = \"full\"\ndestination = \"2001:db8::/32\"\nservice = \"game\"\nper = \"/56\"\nrate = \"12345kbit\"\n\
         group = \"g\"\nburst = \"25001B\"\nhorizon = \"201ms\"\necn = \"6ms\"\nexpires = 2999-12-31T23:00:00Z\n\
         comment = \"TICKET-4711\"\n",
    );
    let rules = || {
        let listed: serde_json::Value = serde_json::from_str(&server.ok(&["-o", "json", "list"])).unwrap();
        listed["rules"].clone()
    };
    let before = rules();
    let saved = server.ok(&["save"]);
    // All but the interface is taken away, and comes back.
    let nothing = "[interface.eth0]\nenforcement = \"police\"\noverhead = 24\n";
    assert_eq!(apply(&server, nothing, &[]).code, 0);
    assert_eq!(server.rules(), "");
    let ran = apply(&server, &saved, &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(rules(), before);
    assert_eq!(server.ok(&["save"]), saved);
    let differs = server.run(&["diff"]);
    assert_eq!(
        (differs.code, differs.stdout.as_str()),
        (0, ""),
        "{}",
        differs.stderr
    );
}

#[test]
fn a_diff_says_what_apply_does_and_differs_by_its_exit_code() {
    let server = Server::up(CONFIG);
    assert_eq!(server.run(&["diff"]).code, 0);
    let more = "[[rule]]\ndestination = \"203.0.113.7\"\nrate = \"1mbit\"\n";
    server.configure(&(CONFIG.replace("100mbit", "50mbit") + more));
    let diff = server.run(&["diff"]);
    assert_eq!(diff.code, 7);
    assert!(
        diff.stdout.contains("+ 203.0.113.7/32 1.00 Mbit/s"),
        "{}",
        diff.stdout
    );
    assert_eq!(server.rules(), REST);
    assert_eq!(server.ok(&["apply"]), "+1 -0 ~1 =1\n");
    assert_eq!(server.run(&["diff"]).code, 0);
}

#[test]
fn a_diff_shows_whatever_differs() {
    let group = "[group.g]\nrate = \"1gbit\"\n";
    let rule = "[[rule]]\nname = \"rest\"\ndestination = \"any\"\nper = \"client\"\nrate = \"100mbit\"\ngroup = \"g\"\n";
    let server = Server::up(CONFIG);
    for (changed, before, after) in [
        (
            CONFIG.replace(rule, &format!("{rule}horizon = \"201ms\"\n")),
            "- any 100 Mbit/s, burst 125 kB, horizon 200 ms, ecn 5.00 ms, per client, group \"g\", named \"rest\"\n",
            "+ any 100 Mbit/s, burst 125 kB, horizon 201 ms, ecn 5.00 ms, per client, group \"g\", named \"rest\"\n",
        ),
        (
            CONFIG.replace(group, &format!("{group}ecn = \"off\"\n")),
            "- group g 1.00 Gbit/s, burst 1.25 MB, horizon 200 ms, ecn 5.00 ms\n",
            "+ group g 1.00 Gbit/s, burst 1.25 MB, horizon 200 ms, ecn off\n",
        ),
    ] {
        server.configure(&changed);
        let diff = server.run(&["diff"]);
        assert_eq!(
            (diff.code, diff.stdout),
            (7, format!("{before}{after}")),
            "{}",
            diff.stderr
        );
    }
    let diff = server.run(&["-o", "json", "diff"]);
    let diff: serde_json::Value = serde_json::from_str(&diff.stdout).unwrap();
    let group = |side: &str| diff["differences"][0][side]["group"].clone();
    assert_eq!(group("before")["ecn_ns"], 5_000_000);
    assert_eq!(group("after")["ecn_ns"], serde_json::Value::Null);
    assert_eq!(group("after")["horizon_ns"], 200_000_000);
}

#[test]
fn a_dry_run_says_what_apply_would_change_and_changes_nothing() {
    let server = Server::up(CONFIG);
    server.ok(&["set", "203.0.113.9", "20mbit"]);
    let rules = server.rules();
    let running = std::fs::read(server.dir.join("run/policy.toml")).unwrap();
    server.configure(&CONFIG.replace("100mbit", "50mbit"));
    for (args, said) in [
        (&["apply", "--dry-run"][..], "+0 -0 ~1 =2"),
        (&["apply", "--dry-run", "--prune"], "+0 -1 ~1 =1"),
    ] {
        let said = format!("{said} (nothing was changed: --dry-run)\n");
        assert_eq!(server.ok(args), said);
    }
    let json = server.ok(&["-o", "json", "apply", "--dry-run"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["is_dry_run"], true);
    assert_eq!(json["applied"]["changed"], 1);
    let set = server.ok(&["set", "203.0.113.8", "20mbit", "--dry-run"]);
    assert!(set.ends_with("; nothing was changed: --dry-run\n"), "{set}");
    assert_eq!(server.rules(), rules);
    assert_eq!(
        std::fs::read(server.dir.join("run/policy.toml")).unwrap(),
        running
    );
    assert_eq!(server.run(&["status"]).code, 0);
}

#[test]
fn a_queue_too_short_for_tcp_is_a_warning_wherever_it_is_written() {
    let server = Server::up(CONFIG);
    let warning = |place: &str| {
        format!(
            "shaper: warning: {place}a queue of `100ms` has no room for 16 full packets at 1mbit: TCP will stall"
        )
    };
    let set = server.run(&["set", "203.0.113.7", "1mbit", "--horizon", "100ms"]);
    let hint = "; write \"194ms\" or more, or leave `horizon` out\n";
    assert_eq!((set.code, set.stderr), (0, warning("") + hint));
    let set = server.run(&["set", "203.0.113.7", "1mbit", "--horizon", "194ms"]);
    assert_eq!((set.code, set.stderr.as_str()), (0, ""));
    let path = server.dir.join("shaper.toml");
    let more = "[[rule]]\ndestination = \"203.0.113.8\"\nrate = \"1mbit\"\nhorizon = \"100ms\"\n\
        [group.h]\nrate = \"1mbit\"\nhorizon = \"100ms\"\n";
    server.configure(&format!("{CONFIG}{more}"));
    for command in ["check", "apply"] {
        let ran = server.run(&[command]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        for line in [14, 17] {
            let place = format!("{}:{line}:11: ", path.display());
            assert!(ran.stderr.contains(&warning(&place)), "{command}: {}", ran.stderr);
        }
    }
}

#[test]
fn a_hostile_configuration_changes_nothing_of_what_runs() {
    let server = Server::up(CONFIG);
    let rules = server.rules();
    let running = std::fs::read(server.dir.join("run/policy.toml")).unwrap();
    let deep = format!("{CONFIG}x = {}", "[".repeat(20_000));
    let twice = format!("{CONFIG}{}", &CONFIG[CONFIG.find("[[rule]]").unwrap()..]);
    let huge = vec![b'a'; 1 << 20];
    let no_text = [CONFIG.as_bytes(), b"[[rule]]\nname = \"\xff\"\n"].concat();
    let hostile: [(&str, &[u8]); 7] = [
        ("truncated", &CONFIG.as_bytes()[..CONFIG.len() - 3]),
        ("huge", &huge),
        ("wrong type", b"[[rule]]\ndestination = 7\nrate = \"1mbit\"\n"),
        ("deep", deep.as_bytes()),
        ("not UTF-8", &no_text),
        ("duplicate", twice.as_bytes()),
        (
            "contradictory",
            b"[[rule]]\ndestination = \"any\"\nrate = \"block\"\nburst = \"1kB\"\n",
        ),
    ];
    for (what, bytes) in hostile {
        std::fs::write(server.dir.join("shaper.toml"), bytes).unwrap();
        for command in [
            &["apply"][..],
            &["reload"],
            &["apply", "--prune", "--try", "60s"],
            &["diff"],
            &["up"],
        ] {
            let ran = server.run(command);
            assert_eq!(
                (ran.code, ran.stdout.as_str()),
                (3, ""),
                "{what}, {command:?}: {}",
                ran.stderr
            );
            assert!(
                ran.stderr.contains("shaper.toml"),
                "{what}, {command:?}: {}",
                ran.stderr
            );
        }
    }
    assert_eq!(server.rules(), rules);
    assert_eq!(
        std::fs::read(server.dir.join("run/policy.toml")).unwrap(),
        running
    );
    assert_eq!(server.run(&["status"]).code, 0);
}
