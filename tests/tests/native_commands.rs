//! The commands that change a policy, against this machine's kernel: in a network and with directories of their own, on an
//! interface that is policed, so that no fq is needed. Needs root.

use shaper_tests::server::Server;

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
    let json = |args: &[&str]| -> serde_json::Value {
        serde_json::from_str(&server.ok(&[&["-o", "json"], args].concat())).unwrap()
    };
    let nothing = json(&["exempt", "del", "10.0.0.0/8", "--ignore-missing"]);
    assert_eq!(nothing["exempt"], json(&["exempt", "list"])["exempt"]);
    assert_eq!(nothing["exempt"].as_array().unwrap().len(), 1);
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
