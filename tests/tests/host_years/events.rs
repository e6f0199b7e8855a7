//! What the monitor hears of, and what it does of its own accord.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use shaper_tests::alone::{INTERFACE, Server, ip};
use shaper_tests::monitor::Monitor;

use super::CONFIG;

/// What the kernel may take to tell, and the monitor to act.
const A_SECOND: Duration = Duration::from_secs(1);
/// A machine that does other things too may hold everything up now and then.
const N_TRIES: usize = 5;

/// The quickest of several tries takes less than a second.
fn assert_quick(what: &str, mut attempt: impl FnMut() -> Duration) {
    let mut times = Vec::new();
    while times.iter().all(|time| *time >= A_SECOND) {
        assert!(times.len() < N_TRIES, "{what}: {times:?}");
        times.push(attempt());
    }
    println!("{what}: after {times:?}");
}

#[test]
fn what_goes_is_reported_and_what_comes_is_limited_within_a_second() {
    let server = Server::up(CONFIG);
    let monitor = Monitor::start(&mut server.command(&["monitor"]));
    assert_quick("deleted: reported", || {
        ip("link del eth0");
        let time = monitor.hear("eth0: there is no interface");
        server.add_interface();
        monitor.hear("eth0: attached by");
        time
    });
    assert_quick("made anew: limited", || {
        ip("link del eth0");
        monitor.hear("eth0: there is no interface");
        server.add_interface();
        monitor.hear("eth0: attached by")
    });
    assert_quick("attached where a pattern wants it", || {
        ip("link add veth9 type veth peer name p9");
        let time = monitor.hear("veth9: attached by");
        ip("link del veth9");
        time
    });
    assert_eq!(server.run(&["status", "--brief"]).code, 0);
}

#[test]
fn a_rule_ends_when_its_time_is_over_although_no_command_is_given() {
    let server = Server::up(CONFIG);
    let monitor = Monitor::start(&mut server.command(&["monitor"]));
    server.ok(&["set", "10.1.0.7", "1mbit", "--name", "short", "--for", "2s"]);
    monitor.hear("the rule for 10.1.0.7 has ended");
    assert!(!server.ok(&["-o", "plain", "list"]).contains("short"));
}

#[test]
fn more_changes_than_the_kernel_can_tell_hide_none() {
    let server = Server::up(CONFIG);
    let monitor = Monitor::start(&mut server.command(&["monitor"]));
    monitor.signal(libc::SIGSTOP);
    // Each is a message of a kilobyte or more; a few hundred fit.
    let mut lines = String::new();
    for n in 0..2_000 {
        let _ = writeln!(lines, "link set peer0 alias {n}");
    }
    let _ = writeln!(lines, "link del {INTERFACE}");
    let mut batch = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    batch.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(batch.wait().unwrap().success());
    monitor.signal(libc::SIGCONT);
    let heard = monitor.hear_all(&[
        "more changed at once than the kernel could tell",
        "eth0: there is no interface",
    ]);
    println!("{heard:?}");
    server.add_interface();
    monitor.hear("eth0: attached by");
    assert_eq!(server.run(&["status", "--brief"]).code, 0);
}
