//! One rule changed beside many: the others are neither read nor written, and what the kernel holds is what a whole change
//! would have made of it. Needs root.

use std::fs;
use std::os::unix::fs::FileExt;
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
    let sets = [
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
        &["set", "198.51.100.7", "20mbit", "--name", "alone"],
        &["set", "192.168.0.7", "20mbit"],
        &["set", "203.0.113.0/24", "1mbit"],
    ];
    for args in sets {
        server.ok(args);
        assert_in_force(&server, args);
        server.ok(&["reload"]);
        assert_in_force(&server, &[args, &["reload"]].concat());
    }
    for args in sets {
        let mut unset = match args {
            [.., "--name", name] => vec!["unset", "--name", name],
            [_, destination, ..] => vec!["unset", destination],
            _ => panic!("{args:?}"),
        };
        if let Some(at) = args.iter().position(|arg| *arg == "--service") {
            unset.extend(&args[at..at + 2]);
        }
        // A kept rule and a temporary one for the same go together.
        unset.push("--ignore-missing");
        server.ok(&unset);
        assert_in_force(&server, &unset);
    }
    assert!(!server.rules().contains("\tcli\n"), "{}", server.rules());
    server.configure("[interface.eth0]\nenforcement = \"police\"\n");
    server.ok(&["reload"]);
    for destination in ["203.0.113.8", "2001:db8::8", "203.0.113.0/25", "2001:db8::/56"] {
        server.ok(&["set", destination, "1mbit"]);
        server.ok(&["unset", destination]);
        assert_in_force(&server, &["the last one of its table,", destination]);
        let status = server.run(&["status"]);
        assert_eq!(status.code, 0, "{destination}: {}", status.stdout);
    }
}

/// As many rules beside as are worth an index.
fn with_many() -> String {
    let mut config = CONFIG.to_owned();
    for n in 0..1200 {
        let (high, low) = (n / 256, n % 256);
        config += &format!("[[rule]]\ndestination = \"198.18.{high}.{low}\"\nrate = \"1mbit\"\n");
        config +=
            &format!("[[rule]]\nname = \"n{n}\"\ndestination = \"2001:db8:{n:x}::/56\"\nrate = \"1mbit\"\n");
    }
    config
}

/// What people do with few of the rules: what is said, and how it ends.
fn asked(server: &Server) -> Vec<(i32, String, String)> {
    let commands: [&[&str]; 16] = [
        &["get", "203.0.113.7"],
        &["get", "203.0.113.7", "--service", "imap"],
        &["get", "198.18.1.7"],
        &["get", "192.168.0.7"],
        &["get", "2001:db8:7:ff::/64"],
        &["get", "2001:db8:7::/48"],
        &["-o", "plain", "list", "198.18.1.0/30", "203.0.113.7"],
        &["-o", "plain", "list", "2001:db8::/56"],
        &["list", "198.18.200.0/24"],
        &["-o", "plain", "list", "198.18.1.7", "any", "192.0.2.0/24"],
        &["unset", "203.0.113.7"],
        &["unset", "198.18.1.7"],
        &["unset", "2001:db8:8::/56"],
        &["unset", "--name", "ours"],
        &["unset", "198.18.200.7", "--ignore-missing"],
        &["unset", "203.0.113.7", "--ignore-missing"],
    ];
    for args in [
        &["set", "203.0.113.7", "5mbit"][..],
        &["set", "198.18.1.7", "5mbit"],
        &["set", "2001:db8:8::/56", "5mbit", "--group", "g"],
        &["set", "198.18.250.7", "5mbit", "--name", "ours"],
    ] {
        server.ok(args);
    }
    let ran = commands.iter().map(|args| server.run(args));
    ran.map(|ran| (ran.code, ran.stdout, ran.stderr)).collect()
}

#[test]
fn few_of_many_rules_are_shown_and_taken_away_without_the_others() {
    let server = Server::up(&with_many());
    let run = server.dir.join("run");
    let rules = rules_file(&server);
    let modified = fs::metadata(&rules).unwrap().modified().unwrap();
    let whole = fs::read(&rules).unwrap();
    let index = run.join(
        rules
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .replace("rules", "index"),
    );
    fs::rename(&index, run.join("index")).unwrap();
    let by_all = asked(&server);
    assert_in_force(&server, &["by all"]);
    assert!(
        by_all[0]
            .1
            .starts_with("203.0.113.7: rule 203.0.113.7/32, 5.00 Mbit/s; it beats: "),
        "{by_all:?}"
    );
    let codes: Vec<i32> = by_all.iter().map(|(code, ..)| *code).collect();
    assert_eq!(codes, [0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 0, 0, 0, 0, 0, 0]);

    // None of these asks for the last one.
    fs::rename(run.join("index"), &index).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&rules).unwrap();
    let end_with = |bytes: &[u8]| {
        let at = (whole.len() - bytes.len()) as u64;
        file.write_all_at(bytes, at).unwrap();
        file.set_modified(modified).unwrap();
    };
    end_with(b"?????????");
    assert_eq!(server.run(&["list"]).code, 1, "all of them are read for this");
    assert_eq!(asked(&server), by_all);
    end_with(&whole[whole.len() - 9..]);
    assert_in_force(&server, &["by index"]);
}
