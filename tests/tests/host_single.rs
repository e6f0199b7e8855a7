//! One rule changed beside many: the others are neither read nor written, and what the kernel holds is what a whole change
//! would have made of it. Needs root.

use std::fs;
use std::path::PathBuf;

use shaper_tests::server::Server;

const CONFIG: &str = "[interface.eth0]\nenforcement = \"police\"\n[defaults]\nburst = \"20ms\"\n[group.a]\nrate = \"1gbit\"\n\
    [group.g]\nrate = \"1gbit\"\n[exempt]\nprefixes = [\"192.168.0.0/16\"]\n\
    [[rule]]\ndestination = \"any\"\nper = \"client\"\nrate = \"100mbit\"\ngroup = \"g\"\n\
    [[rule]]\ndestination = \"203.0.113.7\"\nrate = \"50mbit\"\n\
    [[rule]]\ndestination = \"203.0.113.0/24\"\nrate = \"500mbit\"\n\
    [[rule]]\ndestination = \"2001:db8::7\"\nservice = \"imap\"\nrate = \"50mbit\"\n";

/// The file that holds the rules of the configuration.
fn rules_file(server: &Server) -> PathBuf {
    let entries = fs::read_dir(server.dir.join("run")).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    let is_one = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("rules-");
    paths.find(is_one).unwrap()
}

/// What the kernel should hold, it holds.
fn assert_in_force(server: &Server, what: &[&str]) {
    let status = server.run(&["status"]);
    assert!(
        !status.stdout.contains("other rules"),
        "{what:?}: {}",
        status.stdout
    );
}

#[test]
fn the_other_rules_are_not_read_for_it() {
    let server = Server::up(CONFIG);
    let path = rules_file(&server);
    let rules = fs::read(&path).unwrap();
    fs::write(&path, "not rules").unwrap();
    assert_eq!(
        server.run(&["get", "203.0.113.8"]).code,
        1,
        "all others are read for this"
    );
    for args in [
        &["set", "203.0.113.8", "20mbit", "--name", "heavy"][..],
        &["set", "203.0.113.8", "10mbit", "--group", "g"],
        &["set", "203.0.113.7", "5mbit", "--temporary"],
        &["set", "203.0.113.9", "5mbit", "--service", "imap"],
        &["set", "203.0.113.0/25", "5mbit", "--per", "ip"],
        &["set", "192.168.0.7", "5mbit"],
        &["set", "203.0.113.10", "block"],
    ] {
        assert_eq!(server.ok(args).lines().count(), 1);
        assert!(server.ok(args).contains("it was so already"), "{args:?}");
        assert!(
            server
                .run(&[args, &["--dry-run"]].concat())
                .stdout
                .contains("nothing was changed")
        );
    }
    fs::write(&path, rules).unwrap();
    assert_in_force(&server, &["all"]);
    let rules = server.rules();
    assert!(
        rules.contains("heavy\t203.0.113.8/32\t-\trule\t10000000\t25000\tg\t-\tcli\n"),
        "{rules}"
    );
    assert!(rules.contains("-\t203.0.113.7/32\t-\trule\t5000000\t"), "{rules}");
    assert_eq!(rules.lines().count(), 9, "{rules}");
    server.ok(&["down"]);
    server.ok(&["up"]);
    assert!(
        server.rules().contains("-\t203.0.113.7/32\t-\trule\t50000000\t"),
        "it was temporary"
    );
}

#[test]
fn whatever_is_set_the_kernel_holds_what_the_policy_says() {
    let server = Server::up(CONFIG);
    for args in [
        // No rule for this service yet: the ports get other numbers.
        &["set", "203.0.113.7", "20mbit", "--service", "tcp:993"][..],
        &["set", "2001:db8::7", "20mbit", "--service", "tcp:993"],
        &["set", "203.0.113.7", "10mbit", "--service", "imap", "--temporary"],
        // A part of what the temporary one is for, which counts before it.
        &["set", "203.0.113.7", "30mbit", "--service", "tcp:143"],
        &["set", "203.0.113.8", "20mbit", "--group", "a"],
        &["set", "203.0.113.8", "unlimited"],
        &["set", "2001:db8:1::/48", "20mbit", "--per", "client"],
        &["set", "2001:db8:1::/48", "20mbit", "--per", "/64", "--temporary"],
        &["set", "any", "200mbit", "--per", "client"],
        &["set", "any", "200mbit", "--service", "ssh", "--force"],
    ] {
        server.ok(args);
        assert_in_force(&server, args);
        server.ok(&["reload"]);
        assert_in_force(&server, &[args, &["reload"]].concat());
    }
}
