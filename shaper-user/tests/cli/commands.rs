//! What commands say where nothing is up, and what they make of odd command lines.

use crate::env::{TestEnv, exists};

const NEED_UP: [&[&str]; 8] = [
    &["set", "203.0.113.7", "20mbit"],
    &["set", "any", "20mbit", "--dry-run"],
    &["unset", "203.0.113.7"],
    &["unset", "--all"],
    &["list"],
    &["list", "--stats"],
    &["get", "203.0.113.7"],
    &["apply", "-f", "empty.toml"],
];

#[test]
fn where_nothing_is_up_the_remedy_is_named_and_nothing_is_made() {
    let env = TestEnv::new();
    env.write("empty.toml", "");
    for args in NEED_UP {
        let ran = env.run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (6, ""), "{args:?}: {ran:?}");
        assert_eq!(
            ran.stderr, "shaper: shaper is not up\n  start it with `shaper up -i IFACE`\n",
            "{args:?}"
        );
        let json = env.run(&[&["-o", "json"], args].concat());
        let (code, _, hint) = json.json_error();
        assert_eq!((json.code, code.as_str()), (6, "not_up"));
        assert!(hint.unwrap().contains("shaper up"));
    }
    for name in ["run", "state", "bpffs"] {
        assert!(!exists(&env.path(name)), "{name} was made");
    }
}

#[test]
fn what_is_typed_wrong_is_refused_with_the_right_spelling() {
    let env = TestEnv::new();
    for (args, message, hint) in [
        (
            &["set", "203.0.113.7", "20Mbps"][..],
            "`Mbps` in `20Mbps` is bits to some tools and bytes to others",
            "write `20mbit` for bits or `20MB/s` for bytes",
        ),
        (
            &["set", "10.0.0.7/8", "20mbit"],
            "`10.0.0.7/8` has host bits set",
            "write `10.0.0.0/8`",
        ),
        (
            &["set", "224.0.0.1", "20mbit"],
            "`224.0.0.1/32` is multicast, broadcast or reserved: it is never limited",
            "a limit would cut the host off from DHCP, neighbours or routing; take it out",
        ),
        (
            &["set", "any", "7kbit"],
            "`7kbit` is below 8kbit, the slowest rate there is",
            "write `8kbit` or more, or `block` to let nothing through",
        ),
        (
            &["set", "any", "-5mbit"],
            "`-5mbit` is not a rate: it does not start with a plain number",
            "write for example `20mbit` or `1.5gbit`",
        ),
        (
            &["get", "localhost"],
            "`localhost` is not an address, a prefix or `any`",
            "write for example `203.0.113.7`, `203.0.113.0/24`, `2001:db8::/56` or `any`",
        ),
        (
            &["list", "--stats", "--interval", "0s"],
            "`0s` is not an interval from 1ms to 3600s",
            "write for example `2s`",
        ),
    ] {
        let ran = env.run(args);
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert_eq!(ran.stderr, format!("shaper: {message}\n  {hint}\n"));
        let json = env.run(&[&["-o", "json"], args].concat()).json_error();
        assert_eq!(
            json,
            ("usage".to_owned(), message.to_owned(), Some(hint.to_owned()))
        );
    }
}

#[test]
fn an_interface_is_refused_where_it_would_mean_nothing() {
    let env = TestEnv::new();
    for args in [
        &["list", "-i", "eth0"][..],
        &["-i", "eth0", "get", "203.0.113.7"],
        &["set", "203.0.113.7", "20mbit", "-i", "eth0"],
        &["-i", "eth0,eth1", "reload"],
    ] {
        let ran = env.run(args);
        assert_eq!(
            (ran.code, ran.stderr.as_str()),
            (
                2,
                "shaper: `-i` is for `up`, `status` and `doctor`\n  \
                 leave it out: the rules hold for all interfaces together\n"
            ),
            "{args:?}"
        );
    }
    assert_eq!(env.run(&["status", "-i", "eth0"]).code, 6);
}

#[test]
fn a_command_line_that_cannot_be_parsed_is_usage_in_json_too() {
    let env = TestEnv::new();
    for args in [
        &["frobnicate"][..],
        &["set"],
        &["unset"],
        &["set", "any", "1mbit", "--frob"],
        &["list", "--interval", "1s"],
    ] {
        assert_eq!(env.run(args).code, 2, "{args:?}");
        let (code, _, hint) = env.run(&[&["-o", "json"], args].concat()).json_error();
        assert_eq!(
            (code.as_str(), hint.as_deref()),
            ("usage", Some("see `shaper --help`"))
        );
    }
}

#[test]
fn an_invalid_file_is_refused_before_anything_is_asked() {
    let env = TestEnv::new();
    env.write("bad.toml", "[[rule]]\n");
    assert_eq!(env.run(&["apply", "-f", "bad.toml"]).code, 3);
    assert_eq!(env.run(&["reload"]).code, 3);
}

#[test]
fn help_and_version_are_results() {
    let env = TestEnv::new();
    for args in [&["--help"][..], &["--version"], &["set", "--help"]] {
        let ran = env.run(args);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
        assert!(ran.stdout.contains("shaper"));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let env = TestEnv::new();
    env.write("shaper.toml", "");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = env.command().args(["check"]).stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    let env = TestEnv::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = env.run(&["completions", shell]);
        assert!(ran.code == 0 && ran.stdout.contains("unset"), "{shell}");
    }
    std::fs::create_dir(env.path("man")).unwrap();
    assert_eq!(env.run(&["man", "man"]).code, 0);
    assert!(exists(&env.path("man/shaper.8")) && exists(&env.path("man/shaper-set.8")));
    let ran = env.run(&["man", "nowhere"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr
            .starts_with("shaper: cannot write manual pages to `nowhere`"),
        "{ran:?}"
    );
}

#[test]
fn what_is_printed_keeps_to_the_published_schema() {
    let env = TestEnv::new();
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/shaper.schema.json");
    let schema: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(schema).unwrap()).unwrap();
    env.write("good.toml", "[[rule]]\ndestination = \"any\"\nrate = \"1gbit\"\n");
    let ran = env.run(&["-o", "json", "check", "good.toml"]);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    for key in document.as_object().unwrap().keys() {
        assert!(
            schema["properties"].get(key).is_some(),
            "{key} is not in the schema"
        );
    }
}
