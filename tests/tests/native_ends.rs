//! What ends by itself: changes on trial and rules with a deadline, against this machine's kernel. Needs root.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use shaper_tests::server::Server;
use shaper_user::policy::Deadline;
use shaper_user::store::Lock;

const CONFIG: &str = "[interface.eth0]\nenforcement = \"police\"\n[group.g]\nrate = \"1gbit\"\n\
    [[rule]]\nname = \"rest\"\ndestination = \"any\"\nper = \"client\"\nrate = \"100mbit\"\ngroup = \"g\"\n";

const REST: &str = "rest\tany\t-\tclient\t100000000\t125000\tg\t-\tconfig\n";

fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
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
    let confirmed = server.ok(&["-o", "json", "confirm"]);
    assert!(confirmed.contains("\"is_confirmed\":true"), "{confirmed}");
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
fn a_span_begins_when_nobody_else_is_changing_anything() {
    let server = Server::up(CONFIG);
    let lock = Lock::take(&server.dir.join("run"), |holder| panic!("{holder}")).unwrap();
    let mut waiting = server.start(&["set", "203.0.113.7", "20mbit", "--for", "1s"]);
    let mut said = String::new();
    let mut stderr = BufReader::new(waiting.stderr.take().unwrap());
    stderr.read_line(&mut said).unwrap();
    assert!(said.contains("holds the lock"), "{said}");
    // Which it says after a second: whatever began with the command is over by then, in whole seconds soon.
    let too_early = Deadline::after(wall_clock(), Duration::ZERO);
    while wall_clock().as_secs() <= too_early.0 {
        std::thread::yield_now();
    }
    drop(lock);
    let output = waiting.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    let end = told.split("until ").nth(1).unwrap().trim_end_matches(")\n");
    assert!(*end > *too_early.to_string(), "{told}");
}

#[test]
fn a_deadline_that_passes_while_nothing_runs_counts_when_it_is_started_again() {
    let server = Server::up(CONFIG);
    server.ok(&["set", "203.0.113.7", "20mbit", "--for", "2h"]);
    server.ok(&["set", "203.0.113.8", "20mbit", "--for", "3h"]);
    let rules = server.rules();
    server.ok(&["down"]);
    server.ok(&["up"]);
    assert_eq!(server.rules(), rules, "both are kept, with their deadlines");
    server.ok(&["down"]);

    // The time of the first one passes.
    let kept = server.dir.join("state/rules.toml");
    let text = fs::read_to_string(&kept).unwrap();
    let deadline = text.lines().find(|line| line.starts_with("expires")).unwrap();
    fs::write(
        &kept,
        text.replacen(deadline, "expires = 2020-01-01T00:00:00Z", 1),
    )
    .unwrap();
    server.ok(&["up"]);
    let left: Vec<&str> = rules
        .lines()
        .filter(|line| !line.contains("203.0.113.7"))
        .collect();
    assert_eq!(server.rules().lines().collect::<Vec<_>>(), left);
    assert!(server.ok(&["get", "203.0.113.7"]).contains("rule \"rest\""));
    assert_eq!(server.run(&["status"]).code, 0);
}
