//! `shaper check` on configurations that are right, wrong and hostile.

use crate::env::TestEnv;

#[test]
fn a_valid_configuration_is_said_to_be() {
    let env = TestEnv::new();
    let ran = env.check(
        "good.toml",
        "[interface.eth0]\n[defaults]\nburst = \"20ms\"\necn = \"off\"\n[exempt]\nprefixes = [\"10.0.0.0/8\"]\n\
         [[rule]]\nname = \"heavy\"\ndestination = \"203.0.113.7\"\nrate = \"20mbit\"\ncomment = \"TICKET-4711\"\n",
    );
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, "good.toml: valid, 1 rule\n"),
        "{ran:?}"
    );
    assert_eq!(ran.stderr, "");
}

#[test]
fn an_empty_configuration_limits_nothing() {
    let env = TestEnv::new();
    assert_eq!(
        env.check("empty.toml", "").stdout,
        "empty.toml: valid, limits nothing\n"
    );
}

#[test]
fn without_a_file_the_configuration_is_checked() {
    let env = TestEnv::new();
    env.write(
        "shaper.toml",
        "[[rule]]\ndestination = \"any\"\nrate = \"1gbit\"\n",
    );
    let ran = env.run(&["check"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.ends_with("/shaper.toml: valid, 1 rule\n"), "{ran:?}");
}

#[test]
fn rules_beside_the_configuration_belong_to_it() {
    let env = TestEnv::new();
    env.write(
        "rules.d/10-a.toml",
        "[[rule]]\ndestination = \"any\"\nrate = \"1gbit\"\n",
    );
    env.write("rules.d/ignored.txt", "not TOML");
    let ran = env.check("shaper.toml", "");
    assert_eq!(ran.stdout, "shaper.toml: valid, 1 rule\n", "{ran:?}");
    env.write(
        "rules.d/20-b.toml",
        "\n[[rule]]\ndestination = \"any\"\nrate = \"2gbit\"\n",
    );
    let ran = env.check("shaper.toml", "");
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (
            3,
            "shaper: rules.d/20-b.toml:3:15: destination `any` is already that of rule any\n\
             3 | destination = \"any\"\n  \
               |               ^^^^^ keep one of them\n"
        )
    );
}

#[test]
fn an_error_names_the_line_what_is_wrong_and_how_to_write_it() {
    let env = TestEnv::new();
    let ran = env.check(
        "bad.toml",
        "# rules\n[[rule]]\ndestination = \"10.0.0.7/8\"\nrate = \"20mbit\"\n",
    );
    assert_eq!(
        (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
        (
            3,
            "",
            "shaper: bad.toml:3:15: `10.0.0.7/8` has host bits set\n\
             3 | destination = \"10.0.0.7/8\"\n  \
               |               ^^^^^^^^^^^^ write `10.0.0.0/8`\n"
        )
    );
}

#[test]
fn a_rule_that_has_no_effect_is_a_warning() {
    let env = TestEnv::new();
    let ran = env.check(
        "shadow.toml",
        "[exempt]\nprefixes = [\"10.0.0.0/8\"]\n[[rule]]\ndestination = \"10.0.0.7\"\nrate = \"20mbit\"\n",
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stderr.starts_with(
            "shaper: warning: shadow.toml:4:15: the rule for `10.0.0.7/32` has no effect: `10.0.0.0/8` is exempt\n"
        ),
        "{ran:?}"
    );
    let quiet = env.run(&["-q", "check", "shadow.toml"]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""));
}

#[test]
fn hostile_files_are_refused_and_nothing_panics() {
    let env = TestEnv::new();
    let rule = "[[rule]]\ndestination = \"203.0.113.7\"\nrate = \"20mbit\"\n";
    let deep = format!("x = {}{}", "[".repeat(5_000), "]".repeat(5_000));
    let long = format!(
        "[[rule]]\ndestination = \"{}\"\nrate = \"1mbit\"\n",
        "9".repeat(1 << 20)
    );
    let hostile: [(&str, &[u8]); 14] = [
        ("not UTF-8", b"[[rule]]\ndestination = \"\xff\xfe\"\n"),
        ("zero bytes", b"\0\0\0\0"),
        ("another kind of file", b"\x7fELF\x02\x01\x01"),
        ("a table for an array", b"rule = 1\n"),
        ("an array for a table", b"defaults = [1]\n"),
        ("a number for a text", b"[[rule]]\ndestination = 1\nrate = 2\n"),
        (
            "a date for a text",
            b"[[rule]]\ndestination = 1979-05-27\nrate = \"1mbit\"\n",
        ),
        (
            "a number beyond 64 bits",
            b"[interface.eth0]\noverhead = 99999999999999999999\n",
        ),
        ("a key twice", b"[defaults]\nburst = \"1ms\"\nburst = \"2ms\"\n"),
        ("a section twice", b"[defaults]\n[defaults]\n"),
        ("an unknown section", b"[servce.x]\n"),
        (
            "a control character",
            b"[[rule]]\ndestination = \"\x01\x1b[31m\"\nrate = \"1mbit\"\n",
        ),
        ("deep nesting", deep.as_bytes()),
        ("a very long line", long.as_bytes()),
    ];
    for (what, bytes) in hostile {
        let ran = env.check("hostile.toml", bytes);
        assert_eq!(ran.code, 3, "{what}: {ran:?}");
        assert!(
            !ran.stderr.contains("panicked") && !ran.stderr.contains('\u{1b}'),
            "{what}: {ran:?}"
        );
        assert!(ran.stderr.len() < 2_000, "{what}: {} bytes", ran.stderr.len());
    }
    for end in 0..rule.len() {
        let ran = env.check("truncated.toml", &rule[..end]);
        assert!(matches!(ran.code, 0 | 3), "{end}: {ran:?}");
    }
}

#[test]
fn a_file_that_is_not_there_and_one_that_is_no_file_are_refused() {
    let env = TestEnv::new();
    let ran = env.run(&["check", "nowhere.toml"]);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (
            3,
            "shaper: cannot read `nowhere.toml`: No such file or directory (os error 2)\n  \
             name another file with -c, or create it; an empty one limits nothing\n"
        )
    );
    assert_eq!(env.run(&["check", "."]).code, 3);
}

#[test]
fn standard_input_is_a_file_named_dash() {
    let env = TestEnv::new();
    let path = env.write("in.toml", "[[rule]]\ndestination = \"any\"\nrate = \"1k\"\n");
    let stdin = std::fs::File::open(path).unwrap();
    let output = env.command().args(["check", "-"]).stdin(stdin).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr.starts_with("shaper: <stdin>:3:8: `k` in `1k` is bits"),
        "{stderr}"
    );
}

#[test]
fn the_result_is_versioned_json_if_asked_for() {
    let env = TestEnv::new();
    env.write("good.toml", "[[rule]]\ndestination = \"any\"\nrate = \"1gbit\"\n");
    let ran = env.run(&["-o", "json", "check", "good.toml"]);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["schema"], 1);
    assert_eq!(document["files"][0]["rules"], 1);
    assert!(document["time"].as_str().unwrap().ends_with('Z'));

    let (code, message, _) = env.run(&["-o", "json", "check", "nowhere.toml"]).json_error();
    assert_eq!(code, "config_unreadable");
    assert!(message.contains("nowhere.toml"));
}

#[test]
fn every_file_is_checked_whatever_is_wrong_with_another() {
    let env = TestEnv::new();
    env.write("good.toml", "[[rule]]\ndestination = \"any\"\nrate = \"1gbit\"\n");
    env.write("bad.toml", "[[rule]]\ndestination = \"any\"\nrate = \"1k\"\n");
    env.write("worse.toml", "[rules]\n");
    let files = ["check", "bad.toml", "good.toml", "worse.toml", "nowhere.toml"];
    let ran = env.run(&files);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (3, "good.toml: valid, 1 rule\n"),
        "{ran:?}"
    );
    let places = ["bad.toml:3:8: ", "worse.toml:1:", "cannot read `nowhere.toml`"];
    let found = places.map(|place| ran.stderr.find(place));
    assert!(found.is_sorted() && found[0].is_some(), "{ran:?}");

    let json = env.run(&[&["-o", "json"], &files[..]].concat());
    let document: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(document["files"].as_array().unwrap().len(), 1);
    let code = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["error"]["code"].clone();
    let codes: Vec<_> = json.stderr.lines().map(code).collect();
    assert_eq!(codes, ["config_invalid", "config_invalid", "config_unreadable"]);
}

#[test]
fn the_example_is_valid_as_it_is_and_without_its_comment_marks() {
    let env = TestEnv::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/shaper.toml");
    let text = std::fs::read_to_string(example).unwrap();
    assert_eq!(
        env.check("example.toml", &text).stdout,
        "example.toml: valid, limits nothing\n"
    );
    let (head, sections) = text.split_once("\n\n").unwrap();
    let active = format!(
        "{head}\n\n{}",
        sections.replace("\n# ", "\n").trim_start_matches("# ")
    );
    assert_eq!(
        env.check("active.toml", active).stdout,
        "active.toml: valid, 1 rule\n"
    );
}
