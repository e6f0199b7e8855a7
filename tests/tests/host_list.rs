//! Which rules `shaper list` shows and how, against this machine's kernel. Needs root.

use std::process::{Command, Stdio};

use shaper_tests::server::{Ran, Server};

const CONFIG: &str = "[interface.eth0]\nenforcement = \"police\"\n[group.a]\nrate = \"1gbit\"\n[group.b]\nrate = \"1gbit\"\n\
    [[rule]]\nname = \"three\"\ndestination = \"203.0.113.1\"\nrate = \"10mbit\"\ngroup = \"b\"\n\
    [[rule]]\nname = \"one\"\ndestination = \"203.0.113.2\"\nservice = \"imap\"\nrate = \"30mbit\"\nexpires = 2998-01-01T00:00:00Z\n\
    [[rule]]\nname = \"two\"\ndestination = \"any\"\nrate = \"unlimited\"\n";

/// `shaper set` makes one more, in group `a`, that ends last.
fn server() -> Server {
    let server = Server::up(CONFIG);
    let more = [
        "--group",
        "a",
        "--service",
        "https",
        "--for",
        "1h",
        "--name",
        "four",
    ];
    server.ok(&[&["set", "203.0.113.3", "20mbit"], &more[..]].concat());
    server
}

/// Names of the rules that a command lists, in order.
fn names(server: &Server, args: &[&str]) -> String {
    let listed = server.ok(&[&["-o", "plain"], args].concat());
    let names = listed.lines().map(|line| line.split('\t').next().unwrap());
    names.collect::<Vec<_>>().join(" ")
}

#[test]
fn rules_are_sorted_by_any_column() {
    let server = server();
    for (column, wanted) in [
        ("destination", "three one four two"),
        ("name", "four one three two"),
        ("service", "four one three two"),
        ("rate", "two one four three"),
        ("group", "four three one two"),
        ("expires", "four one three two"),
    ] {
        assert_eq!(names(&server, &["list", "--sort", column]), wanted, "{column}");
    }
    for column in ["now", "dropped"] {
        let args = ["list", "--stats", "--interval", "1ms", "--sort", column];
        assert_eq!(names(&server, &args).split(' ').count(), 4, "{column}");
    }
    assert_eq!(server.run(&["list", "--sort", "colour"]).code, 2);
}

#[test]
fn rules_are_chosen_by_who_wrote_them_by_service_and_by_group() {
    let server = server();
    for (args, wanted) in [
        (&["--source", "cli"][..], "four"),
        (&["--source", "config"], "three one two"),
        (&["--service", "imap"], "one"),
        (&["--group", "b"], "three"),
        (&["--group", "a", "--service", "https"], "four"),
        (&["--group", "a", "--source", "config"], ""),
        (&["203.0.113.0/24", "--source", "config"], "three one"),
    ] {
        assert_eq!(names(&server, &[&["list"], args].concat()), wanted, "{args:?}");
    }
}

#[test]
fn other_names_of_a_command_do_the_same() {
    let server = server();
    for alias in ["show", "ls"] {
        assert_eq!(server.ok(&[alias]), server.ok(&["list"]));
    }
    for alias in ["del", "rm"] {
        server.ok(&["set", "203.0.113.9", "1mbit"]);
        server.ok(&[alias, "203.0.113.9"]);
        assert_eq!(names(&server, &["list"]), "three one four two");
        server.ok(&["exempt", "add", "203.0.113.9"]);
        if alias == "rm" {
            server.ok(&["exempt", "rm", "203.0.113.9"]);
        } else {
            server.ok(&["exempt", "del", "203.0.113.9"]);
        }
        assert_eq!(server.ok(&["-o", "plain", "exempt", "ls"]), "");
    }
}

#[test]
fn only_a_terminal_is_given_colours_unless_they_are_asked_for() {
    let server = server();
    let is_coloured = |args: &[&str], no_color: Option<&str>| {
        let mut command = server.command(&[&["list"], args].concat());
        command.env_remove("NO_COLOR");
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        let ran = Ran::from(command.output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout.contains('\u{1b}')
    };
    assert!(!is_coloured(&[], None));
    assert!(is_coloured(&["--color", "always"], None));
    assert!(
        is_coloured(&["--color", "always"], Some("1")),
        "what is typed counts more"
    );
    assert!(!is_coloured(&["--color", "never"], None));
    // On a terminal, which `script` makes.
    let on_terminal = |no_color: &str| {
        let list = server.command(&["list"]);
        let command = format!("{} list", list.get_program().display());
        let mut script = Command::new("script");
        script.args(["-qec", &command, "/dev/null"]).stdin(Stdio::null());
        script.envs(list.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ran = script.env("NO_COLOR", no_color).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        ran.stdout.contains(&0x1b)
    };
    assert!(on_terminal(""));
    assert!(!on_terminal("1"));
}

#[test]
fn how_much_is_said_is_chosen() {
    let server = Server::up(CONFIG);
    let said = |args: &[&str]| {
        let ran = server.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.stderr);
        ran.stderr
    };
    let nothing = ["unset", "203.0.113.9", "--ignore-missing"];
    assert_eq!(said(&nothing), "shaper: there was nothing to take away\n");
    assert_eq!(said(&[&["-q"], &nothing[..]].concat()), "");
    assert_eq!(said(&["status"]), "");
    let totals = said(&["-v", "status"]);
    assert!(
        totals.starts_with("shaper: packets seen since `up`: "),
        "{totals}"
    );
    assert_eq!(server.run(&["-q", "-v", "status"]).code, 2);
}
