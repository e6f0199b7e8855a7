//! What happens in years, in seconds: interfaces come and go while the monitor runs, the monitor dies, clocks are set,
//! rules and clients change by the thousand. Needs root.

mod churn;
mod events;
mod watchdog;

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Instant, SystemTime};

use shaper_tests::alone::{INTERFACE, Server, ip};
use shaper_tests::lab::Host;
use shaper_tests::monitor::{Monitor, PATIENCE};
use shaper_tests::object;

const CONFIG: &str = "[interface.eth0]\nenforcement = \"police\"\n[interface.\"veth*\"]\nenforcement = \"police\"\n\
    [[rule]]\ndestination = \"any\"\nper = \"ip\"\nrate = \"100mbit\"\n";

/// `bpf_ktime_get_ns`: the clock that nobody can set.
const MONOTONIC: u32 = 5;
/// The other helpers of the kernel that tell a time: jiffies, with the time asleep, coarse, atomic.
const OTHER_CLOCKS: [u32; 4] = [118, 125, 160, 208];

/// The clients' addresses are behind the interface.
fn route() {
    ip("link set lo up");
    ip(&format!("address add 10.0.0.1/24 dev {INTERFACE}"));
    ip("route add 10.1.0.0/16 via 10.0.0.2");
    ip(&format!(
        "neighbour add 10.0.0.2 lladdr 02:00:00:00:00:02 dev {INTERFACE}"
    ));
}

/// Sends `n` packets of 1000 bytes and headers to `client`.
fn send(client: Ipv4Addr, n: usize) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    for _ in 0..n {
        // One that is dropped is no error here.
        let _ = socket.send_to(&[0; 1000], (client, 9));
    }
}

/// Packets of the rule for `destination`: sent, dropped.
fn counted(server: &Server, destination: &str) -> (u64, u64) {
    let text = server.ok(&["-o", "json", "list", "--stats"]);
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rules = document["rules"].as_array().unwrap();
    let rule = rules
        .iter()
        .find(|rule| rule["destination"] == destination)
        .unwrap();
    let count = |name: &str| rule["stats"][name].as_u64().unwrap();
    (count("sent_packets"), count("dropped_packets"))
}

#[test]
fn an_interface_that_goes_in_any_way_is_reported_and_limited_again_when_it_comes() {
    let server = Server::up(CONFIG);
    let monitor = Monitor::start(&mut server.command(&["monitor"]));
    let degraded = || assert_eq!(server.run(&["status", "--brief"]).code, 7);
    let healthy = || assert_eq!(server.run(&["status", "--brief"]).code, 0);

    ip("link del eth0");
    println!(
        "deleted: reported after {:?}",
        monitor.hear("eth0: there is no interface")
    );
    degraded();
    server.add_interface();
    println!("made anew: limited after {:?}", monitor.hear("eth0: attached by"));
    healthy();

    // Deleted and made anew before anybody could look.
    ip("link del eth0");
    server.add_interface();
    println!(
        "made anew at once: limited after {:?}",
        monitor.hear("eth0: attached by")
    );
    healthy();

    ip("link set eth0 down");
    ip("link set eth0 name other0");
    println!(
        "renamed: reported after {:?}",
        monitor.hear("it is called `other0` now")
    );
    degraded();
    ip("link set other0 name eth0");
    ip("link set eth0 up");
    println!(
        "named again: in place after {:?}",
        monitor.hear("eth0: everything is in place again")
    );
    healthy();

    let elsewhere = Host::new("elsewhere");
    ip(&format!("link set eth0 netns {}", elsewhere.name()));
    println!(
        "moved away: reported after {:?}",
        monitor.hear("eth0: there is no interface")
    );
    degraded();
    elsewhere.ip(["link del eth0".to_owned()]);
    server.add_interface();
    println!(
        "another one: limited after {:?}",
        monitor.hear("eth0: attached by")
    );
    healthy();
}

#[test]
fn limits_hold_while_the_monitor_is_stopped_and_when_it_is_killed() {
    let server = Server::up(CONFIG);
    route();
    server.ok(&["set", "10.1.0.7", "8kbit"]);
    let monitor = Monitor::start(&mut server.command(&["monitor"]));
    let client = Ipv4Addr::new(10, 1, 0, 7);
    send(client, 100);
    let (sent, dropped) = counted(&server, "10.1.0.7/32");
    assert_eq!(sent + dropped, 100);
    assert!(dropped > 50, "{sent} sent, {dropped} dropped");
    for signal in [libc::SIGSTOP, libc::SIGCONT, libc::SIGKILL] {
        let before = counted(&server, "10.1.0.7/32");
        monitor.signal(signal);
        send(client, 100);
        let after = counted(&server, "10.1.0.7/32");
        assert_eq!(
            after.0 - before.0 + after.1 - before.1,
            100,
            "each packet met its rule"
        );
        assert!(
            after.1 - before.1 > 50,
            "signal {signal}: {before:?}, then {after:?}"
        );
        // Commands work as before, and find everything in place.
        assert_eq!(server.run(&["status", "--brief"]).code, 0);
        server.ok(&[
            "set",
            "10.1.0.9",
            if signal == libc::SIGSTOP { "1mbit" } else { "2mbit" },
        ]);
    }
    assert_eq!(counted(&server, "10.1.0.9/32"), (0, 0));
}

#[test]
fn a_clock_that_is_set_does_not_make_a_trial_last_for_ever() {
    const YEAR: u64 = 365 * 86_400;
    let server = Server::up(CONFIG);
    let trial = server.dir().join("run/policy.try");
    let listed = || server.ok(&["-o", "plain", "list"]);
    // How the deadline looks after the clock was set forth a year, back a year, and a little.
    for (seconds, is_taken_back) in [
        (-i64::try_from(YEAR).unwrap(), true),
        (YEAR.cast_signed(), true),
        (-60, false),
    ] {
        server.ok(&["set", "10.1.0.7", "1mbit"]);
        let mut waiting = server
            .command(&["set", "10.1.0.7", "2mbit", "--try", "1h"])
            .spawn()
            .unwrap();
        let began = Instant::now();
        while !listed().contains("\t2000000\t") {
            assert!(began.elapsed() < PATIENCE);
        }
        waiting.kill().unwrap();
        waiting.wait().unwrap();
        let text = fs::read_to_string(&trial).unwrap();
        let deadline = text
            .lines()
            .next()
            .unwrap()
            .strip_prefix("deadline_unix_secs = ")
            .unwrap();
        let moved = deadline
            .parse::<u64>()
            .unwrap()
            .checked_add_signed(seconds)
            .unwrap();
        fs::write(&trial, text.replacen(deadline, &moved.to_string(), 1)).unwrap();
        assert_eq!(
            listed().contains("\t1000000\t"),
            is_taken_back,
            "{seconds} s: {}",
            listed()
        );
        assert_eq!(trial.exists(), !is_taken_back, "{seconds} s");
        if !is_taken_back {
            server.ok(&["confirm"]);
        }
    }
}

#[test]
fn deadlines_are_wall_clock_times_and_what_the_kernel_counts_by_is_not() {
    let server = Server::up(CONFIG);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    server.ok(&["set", "10.1.0.7", "1mbit", "--for", "2h"]);
    let text = server.ok(&["-o", "json", "list"]);
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rules = document["rules"].as_array().unwrap();
    let rule = rules
        .iter()
        .find(|rule| rule["destination"] == "10.1.0.7/32")
        .unwrap();
    let until = rule["expires_at"].as_str().unwrap();
    let shown = std::process::Command::new("date")
        .args(["-u", "-d", until, "+%s"])
        .output()
        .unwrap();
    let until: u64 = String::from_utf8(shown.stdout).unwrap().trim().parse().unwrap();
    assert!(
        (now + 7200..now + 7200 + 120).contains(&until),
        "{until}, at {now}"
    );
    let calls = |helper: u32| {
        let instructions = object::instructions(&object::bytes());
        let is_call = |instruction: &&object::Instruction| {
            instruction[0] == 0x85 && instruction[1] >> 4 == 0 && instruction[4..] == helper.to_le_bytes()
        };
        instructions.iter().filter(is_call).count()
    };
    assert!(calls(MONOTONIC) > 0);
    for helper in OTHER_CLOCKS {
        assert_eq!(calls(helper), 0, "helper {helper}");
    }
}
