//! The commands that change a policy, against this machine's kernel: in a network and with directories of their own, on an
//! interface that is policed, so that no fq is needed. Needs root.

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use shaper_tests::server::{Ran, Server};

const CONFIG: &str = "[interface.eth0]\nenforcement = \"police\"\n[group.g]\nrate = \"1gbit\"\n\
    [[rule]]\nname = \"rest\"\ndestination = \"any\"\nper = \"client\"\nrate = \"100mbit\"\ngroup = \"g\"\n";

const REST: &str = "rest\tany\t-\tclient\t100000000\t125000\tg\t-\tconfig\n";

#[test]
fn a_rule_for_a_service_is_set_explained_and_taken_away() {
    let server = Server::up(CONFIG);
    let set = [
        "set",
        "203.0.113.7",
        "20mbit",
        "--service",
        "imap",
        "--name",
        "heavy",
    ];
    let said = server.ok(&set);
    assert_eq!(
        said,
        "203.0.113.7/32 imap -> 20.0 Mbit/s, burst 25.0 kB (kept across reboots)\n"
    );
    assert!(server.ok(&set).contains("it was so already"));
    assert_eq!(
        server.ok(&["get", "203.0.113.7", "--service", "imap"]),
        "203.0.113.7 imap: rule \"heavy\" (/32 + service), 20.0 Mbit/s; it beats: rule \"rest\" (any), 100 Mbit/s per client, group \"g\" 1.00 Gbit/s\n"
    );
    assert!(
        server
            .ok(&["get", "203.0.113.7"])
            .starts_with("203.0.113.7: rule \"rest\" (any), ")
    );
    let ran = server.run(&["unset", "203.0.113.7"]);
    assert_eq!(ran.code, 4);
    assert!(ran.stderr.contains("add `--service imap`"), "{}", ran.stderr);
    server.ok(&["unset", "203.0.113.7", "--service", "imap"]);
    assert_eq!(server.rules(), REST);
    let refused = server.run(&["set", "203.0.113.7", "20mbit", "--group", "nobody"]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("there is no group `nobody`"),
        "{}",
        refused.stderr
    );
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
        let args = [&["apply", "-f", "-"], prune].concat();
        let mut child = server.command(&args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(saved.as_bytes()).unwrap();
        let ran = Ran::from(child.wait_with_output().unwrap());
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
fn a_change_on_trial_is_taken_back_unless_it_is_confirmed() {
    let server = Server::up(CONFIG);
    // Nobody confirms.
    let ran = server.run(&["set", "203.0.113.7", "20mbit", "--try", "1s"]);
    assert_eq!(ran.code, 7, "{}", ran.stderr);
    assert_eq!(server.rules(), REST);
    assert!(!server.dir.join("state/rules.toml").exists(), "nothing was kept");

    // Whoever waits is interrupted.
    let mut waiting = server.start(&["set", "203.0.113.7", "20mbit", "--try", "1h"]);
    let on_trial = format!("-\t203.0.113.7/32\t-\trule\t20000000\t25000\t-\t-\tcli\n{REST}");
    server.await_rules(&on_trial);
    let other = server.run(&["set", "203.0.113.9", "20mbit"]);
    assert!(
        other.code == 1 && other.stderr.contains("on trial"),
        "{}",
        other.stderr
    );
    // SAFETY: a system call; the child has not been waited for, so the number is still its own.
    unsafe { libc::kill(i32::try_from(waiting.id()).unwrap(), libc::SIGHUP) };
    assert_eq!(waiting.wait().unwrap().code(), Some(7));
    assert_eq!(server.rules(), REST);

    // It is killed outright: the next command takes it back.
    let mut waiting = server.start(&["set", "203.0.113.7", "20mbit", "--try", "10s"]);
    server.await_rules(&on_trial);
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    server.await_rules(REST);

    // Somebody confirms.
    let mut waiting = server.start(&["set", "203.0.113.7", "20mbit", "--try", "1h"]);
    server.await_rules(&on_trial);
    server.ok(&["confirm"]);
    assert_eq!(waiting.wait().unwrap().code(), Some(0));
    assert_eq!(server.rules(), on_trial);
    assert!(server.dir.join("state/rules.toml").exists(), "it is kept");
    assert_eq!(server.run(&["confirm"]).code, 4);
}

#[test]
fn a_rule_ends_at_its_deadline_with_the_next_change() {
    let server = Server::up(CONFIG);
    server.ok(&["set", "203.0.113.7", "20mbit", "--for", "8s"]);
    assert!(server.rules().starts_with("-\t203.0.113.7/32\t"));
    let began = Instant::now();
    while server.rules() != REST {
        assert!(began.elapsed() < Duration::from_mins(1));
        server.ok(&["reload"]);
    }
}

#[test]
fn exempt_prefixes_are_added_listed_and_taken_back() {
    let server = Server::up(CONFIG);
    server.configure(&format!("{CONFIG}[exempt]\nprefixes = [\"192.168.0.0/16\"]\n"));
    server.ok(&["reload"]);
    server.ok(&["exempt", "add", "10.0.0.0/8", "192.168.1.0/24"]);
    assert_eq!(
        server.ok(&["-o", "plain", "exempt", "list"]),
        "10.0.0.0/8\tcli\n192.168.0.0/16\tconfig\n"
    );
    assert!(server.ok(&["get", "10.1.2.3"]).contains("10.0.0.0/8 is exempt"));
    assert_eq!(server.run(&["exempt", "del", "192.168.0.0/16"]).code, 4);
    server.ok(&["exempt", "del", "10.0.0.0/8"]);
    assert!(server.ok(&["get", "10.1.2.3"]).contains("rule \"rest\""));
}

#[test]
fn what_is_asked_for_and_not_there_is_said() {
    let server = Server::up(CONFIG);
    for (selector, hint) in [
        ("nobody", "`shaper list` shows all, with their names"),
        (
            "203.0.113.7",
            "`shaper get 203.0.113.7/32` says which rule covers it",
        ),
        ("10.0.0.7/8", "write `10.0.0.0/8`"),
    ] {
        let ran = server.run(&["list", selector]);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (4, ""),
            "{selector}: {}",
            ran.stderr
        );
        assert!(ran.stderr.ends_with(&format!("\n  {hint}\n")), "{}", ran.stderr);
    }
    let ran = server.run(&["-o", "plain", "list", "rest", "nobody"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (4, REST), "{}", ran.stderr);
    server.configure("[interface.eth0]\nenforcement = \"police\"\n");
    server.ok(&["reload"]);
    assert_eq!(server.rules(), "", "no rule is no failure");
}

#[test]
fn starting_and_stopping_answer_in_json_too() {
    let server = Server::up(CONFIG);
    let json = |args: &[&str]| -> serde_json::Value {
        let said = server.ok(&[&["-o", "json"], args].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{args:?}: {error}: {said}"))
    };
    let again = json(&["up"]);
    assert_eq!(again["attached"][0]["name"], "eth0");
    assert_eq!(again["attached"][0]["done"], "nothing");
    assert_eq!(again["attached"][0]["fq_devices"], serde_json::json!([]));
    assert_eq!(json(&["down"])["was_up"], true);
    assert_eq!(json(&["down"])["was_up"], false);
    assert_eq!(json(&["up"])["attached"][0]["done"], "attached");
    server.ok(&["down"]);
    server.configure("");
    assert_eq!(json(&["up", "--if-any"])["attached"], serde_json::json!([]));
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
