//! Rules of `shaper set` that the configuration has come to contradict: kept, told, and in nobody's way. Needs root.

use shaper_tests::server::Server;

const CONFIG: &str = "[interface.eth0]\nenforcement = \"police\"\n[group.g]\nrate = \"1gbit\"\n\
    [service.imaps]\nports = [\"tcp:993\"]\n[[rule]]\nname = \"rest\"\ndestination = \"any\"\nrate = \"100mbit\"\n";
const BARE: &str = "[interface.eth0]\nenforcement = \"police\"\n\
    [[rule]]\nname = \"rest\"\ndestination = \"any\"\nrate = \"100mbit\"\n";
const REST: &str = "rest\tany\t-\trule\t100000000\t125000\t-\t-\tconfig\n";
const EIGHT: &str = "-\t203.0.113.8/32\t-\trule\t20000000\t25000\t-\t-\tcli\n";

/// A server that has booted with `BARE` and three kept rules, of which two do not fit it.
fn booted() -> Server {
    let server = Server::up(CONFIG);
    server.ok(&[
        "set",
        "203.0.113.7",
        "20mbit",
        "--group",
        "g",
        "--comment",
        "TICKET-4711",
    ]);
    server.ok(&["set", "203.0.113.7", "10mbit", "--service", "imaps"]);
    server.ok(&["set", "203.0.113.8", "20mbit"]);
    server.ok(&["down"]);
    server.configure(BARE);
    let up = server.run(&["up"]);
    assert_eq!(up.code, 0, "{}", up.stderr);
    for told in [
        "for 203.0.113.7 is not in force: there is no group `g`",
        "`shaper unset 203.0.113.7`",
        "for 203.0.113.7 imaps is not in force: ",
        "`shaper unset 203.0.113.7 --service imaps`",
    ] {
        assert!(up.stderr.contains(told), "`{told}` is not in {}", up.stderr);
    }
    server
}

#[test]
fn a_boot_loads_all_rules_but_those_that_do_not_fit() {
    let server = booted();
    assert_eq!(server.rules(), format!("{EIGHT}{REST}"));
    let status = server.run(&["status"]);
    assert_eq!(status.code, 7, "{}", status.stdout);
    assert!(
        status.stdout.contains("for 203.0.113.7 is not in force"),
        "{}",
        status.stdout
    );
    assert_eq!(server.run(&["diff"]).code, 0);
}

#[test]
fn a_rule_that_does_not_fit_is_kept_until_it_fits_again() {
    let server = booted();
    server.ok(&["set", "203.0.113.9", "20mbit", "--temporary"]);
    server.ok(&["reload"]);
    server.configure(CONFIG);
    server.ok(&["reload"]);
    let rules = server.rules();
    assert!(
        rules.contains("-\t203.0.113.7/32\t-\trule\t20000000\t25000\tg\t-\tcli\n"),
        "{rules}"
    );
    assert!(
        rules.contains("-\t203.0.113.7/32\timaps\trule\t10000000\t"),
        "{rules}"
    );
    assert!(server.ok(&["-o", "json", "list"]).contains("TICKET-4711"));
    assert_eq!(server.run(&["status"]).code, 0);
}

#[test]
fn a_rule_that_does_not_fit_can_be_taken_away_or_replaced() {
    let server = booted();
    let said = server.ok(&["unset", "203.0.113.7", "--service", "imaps"]);
    assert_eq!(said, "203.0.113.7 imaps: taken away; it was not in force\n");
    server.ok(&["set", "203.0.113.7", "5mbit"]);
    server.configure(CONFIG);
    server.ok(&["reload"]);
    let own = "-\t203.0.113.7/32\t-\trule\t5000000\t6250\t-\t-\tcli\n";
    assert_eq!(server.rules(), format!("{own}{EIGHT}{REST}"));
}

#[test]
fn a_configuration_that_a_kept_rule_contradicts_is_refused_while_it_runs() {
    let server = Server::up(CONFIG);
    server.ok(&["set", "203.0.113.7", "20mbit", "--group", "g"]);
    let before = server.rules();
    server.configure(BARE);
    // `up --if-any` is what `systemctl reload` runs.
    for args in [&["reload"][..], &["apply"], &["up"], &["up", "--if-any"]] {
        let ran = server.run(args);
        assert_eq!(ran.code, 3, "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("there is no group `g`"), "{}", ran.stderr);
        assert_eq!(server.rules(), before, "{args:?}");
    }
    // Whoever starts anew has all that fits.
    server.ok(&["down"]);
    server.ok(&["up", "--if-any"]);
    assert_eq!(server.rules(), REST);
    // What is out of force already stands in nobody's way.
    server.ok(&["up", "--if-any"]);
}
