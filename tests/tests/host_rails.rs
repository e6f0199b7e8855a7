//! What `set` refuses without `--force`, and other commands warn of: to make the server hard to reach for whoever types.
//! Needs root.

use shaper_tests::server::{Ran, Server};

const CONFIG: &str = "[interface.eth0]\nenforcement = \"police\"\n[group.slow]\nrate = \"255kbit\"\n\
    [group.fast]\nrate = \"256kbit\"\n";

const PEER: &str = "203.0.113.7";
const WARNING: &str =
    "shaper: warning: your own SSH session comes from 203.0.113.7, which would get less than 256kbit\n";
const REMEDY: &str = "\n  repeat it with --force if that is what you want\n";

/// Runs a command in a session over SSH from [`PEER`].
fn over_ssh(server: &Server, args: &[&str]) -> Ran {
    let mut command = server.command(args);
    command.env("SSH_CONNECTION", format!("{PEER} 52044 198.51.100.1 22"));
    Ran::from(command.output().expect("the program is there"))
}

/// Asserts that `args` are refused because of `risk` and change nothing, and are done with `--force`.
fn assert_needs_force(server: &Server, args: &[&str], risk: &str) {
    let rules = server.rules();
    let refused = over_ssh(server, args);
    assert_eq!(
        (refused.code, refused.stdout.as_str()),
        (2, ""),
        "{args:?}: {}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains(risk) && refused.stderr.ends_with(REMEDY),
        "{args:?}: {}",
        refused.stderr
    );
    assert_eq!(server.rules(), rules, "{args:?}");
    assert_is_done(server, &[args, &["--force"]].concat());
}

/// Asserts that `args` make a rule, and takes it away again.
fn assert_is_done(server: &Server, args: &[&str]) {
    let rules = server.rules();
    let done = over_ssh(server, args);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{args:?}");
    assert_ne!(server.rules(), rules, "{args:?}");
    server.ok(&["unset", "--all"]);
}

#[test]
fn the_operators_own_session_is_slowed_by_force_only() {
    let server = Server::up(CONFIG);
    let risk = "your own SSH session comes from 203.0.113.7, which would get less than 256kbit";
    for refused in [
        &["set", PEER, "255kbit"][..],
        &["set", PEER, "block"],
        &["set", "203.0.113.0/24", "255kbit", "--temporary"],
        &["set", PEER, "255kbit", "--service", "ssh"],
        &["set", PEER, "100mbit", "--group", "slow"],
        &["set", "any", "255kbit", "--service", "ssh", "--per", "client"],
    ] {
        assert_needs_force(&server, refused, if refused[1] == "any" { "ssh" } else { risk });
    }
    for done in [
        &["set", PEER, "256kbit"][..],
        &["set", PEER, "100mbit", "--group", "fast"],
        &["set", PEER, "8kbit", "--service", "imap"],
        &["set", "203.0.113.8", "8kbit"],
        &["set", "203.0.114.0/24", "block"],
    ] {
        assert_is_done(&server, done);
    }
    // A rule of its own stands beside one that would be too slow.
    server.ok(&["set", PEER, "1mbit"]);
    assert_eq!(over_ssh(&server, &["set", "203.0.113.0/24", "8kbit"]).code, 0);
}

#[test]
fn everybody_is_slowed_by_force_only() {
    let server = Server::up(CONFIG);
    for destination in ["any", "0.0.0.0/0", "::/0"] {
        let together = "share less than 1mbit";
        assert_needs_force(&server, &["set", destination, "999kbit"], together);
        assert_needs_force(
            &server,
            &["set", destination, "999kbit", "--service", "https"],
            together,
        );
        assert_needs_force(
            &server,
            &["set", destination, "1mbit", "--group", "fast"],
            together,
        );
        let each = "get less than 256kbit";
        assert_needs_force(&server, &["set", destination, "255kbit", "--per", "client"], each);
        assert_is_done(&server, &["set", destination, "1mbit"]);
        assert_is_done(&server, &["set", destination, "1mbit", "--service", "https"]);
        assert_is_done(&server, &["set", destination, "256kbit", "--per", "client"]);
    }
}

#[test]
fn nobody_needs_a_session_to_be_kept_from_slowing_everybody() {
    let server = Server::up(CONFIG);
    for args in [
        &["set", "0.0.0.0/0", "8kbit"][..],
        &["set", "::/0", "8kbit"],
        &["set", "any", "8kbit", "--service", "https"],
    ] {
        let refused = server.run(args);
        assert!(
            refused.code == 2 && refused.stderr.ends_with(REMEDY),
            "{args:?}: {}",
            refused.stderr
        );
    }
    assert_eq!(server.rules(), "");
    assert!(!server.dir.join("state/rules.toml").exists(), "nothing was kept");
}

#[test]
fn a_file_that_slows_the_session_is_applied_with_a_warning() {
    let server = Server::up(CONFIG);
    let rule =
        |rate: &str| format!("{CONFIG}[[rule]]\ndestination = \"203.0.113.0/24\"\nrate = \"{rate}\"\n");
    server.configure(&rule("255kbit"));
    let dry = over_ssh(&server, &["apply", "--dry-run"]);
    assert_eq!((dry.code, dry.stderr.as_str()), (0, WARNING));
    assert_eq!(server.rules(), "");
    let applied = over_ssh(&server, &["apply"]);
    assert_eq!((applied.code, applied.stderr.as_str()), (0, WARNING));
    assert_eq!(server.rules().lines().count(), 1);
    // It is no slower than before.
    let again = over_ssh(&server, &["reload"]);
    assert_eq!((again.code, again.stderr.as_str()), (0, ""));
    server.configure(&rule("8kbit"));
    let slower = over_ssh(&server, &["reload"]);
    assert_eq!((slower.code, slower.stderr.as_str()), (0, WARNING));
}

#[test]
fn what_keeps_the_session_fast_is_taken_away_with_a_warning() {
    let server = Server::up(CONFIG);
    server.ok(&["set", "203.0.113.0/24", "16kbit"]);
    for (keep, take_away) in [
        (&["set", PEER, "10mbit"][..], &["unset", PEER][..]),
        (
            &["set", PEER, "10mbit", "--name", "own"],
            &["unset", "--name", "own"],
        ),
        (&["exempt", "add", PEER], &["exempt", "del", PEER]),
    ] {
        server.ok(keep);
        let done = over_ssh(&server, take_away);
        assert_eq!((done.code, done.stderr.as_str()), (0, WARNING), "{take_away:?}");
        server.ok(keep);
        let done = server.run(take_away);
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{take_away:?}");
    }
    server.ok(&["set", PEER, "8kbit"]);
    let done = over_ssh(&server, &["unset", PEER]);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "it gets faster");
}
