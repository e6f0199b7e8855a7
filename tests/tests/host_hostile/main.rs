//! Directories, files, pins and environments that somebody else has prepared: each is refused, with a reason that names
//! it; nothing is followed, and nothing is changed. Needs root.

mod environment;
mod tally;
mod trap;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use shaper_tests::alone::{Server, to_its_end};
use tally::{Commands, Tally, everything};
use trap::{OF_DIRECTORIES, OF_FILES, OF_PINNED_DIRECTORIES, Trap, remove, set_trap, take_trap_away};

/// Somebody who is nobody.
const STRANGER: u32 = 65534;

const CONFIG: &str = "[interface.eth0]\nenforcement = \"police\"\n[[rule]]\ndestination = \"any\"\nper = \"client\"\n\
    rate = \"100mbit\"\n";

const SET: &[&str] = &["set", "203.0.113.8", "1mbit"];
const ALL: Commands = &[
    &["status"],
    SET,
    &["list"],
    &["up"],
    &["reload"],
    &["monitor", "--once"],
    &["unset", "203.0.113.7"],
    &["exempt", "add", "10.0.0.0/8"],
];
const CHANGES: Commands = &[SET, &["up"], &["reload"], &["exempt", "add", "10.0.0.0/8"]];

/// Where the rules of the configuration are; a number follows.
const RULES: &str = "run/rules-";

/// What can be trapped while shaper is up, and who has to refuse it.
const PLACES: [(&str, &[Trap], Commands); 9] = [
    ("run", &OF_DIRECTORIES, ALL),
    (
        "state",
        &OF_DIRECTORIES,
        &[SET, &["status"], &["up"], &["reload"]],
    ),
    ("run/policy.toml", &OF_FILES, ALL),
    (RULES, &OF_FILES, &[&["status"], &["list"]]),
    ("run/policy.next", &OF_FILES, ALL),
    ("run/policy.try", &OF_FILES, ALL),
    (
        "run/dataplane.toml",
        &OF_FILES,
        &[&["status"], &["up"], &["monitor", "--once"]],
    ),
    ("run/lock", &OF_FILES, CHANGES),
    (
        "state/rules.toml",
        &OF_FILES,
        &[SET, &["status"], &["up"], &["reload"]],
    ),
];

/// A server that is up, with files of every kind, all as they should be.
fn prepared() -> Server {
    let server = Server::up(CONFIG);
    server.ok(&["set", "203.0.113.7", "20mbit"]);
    let run = server.dir().join("run");
    let policy = fs::read_to_string(run.join("policy.toml")).unwrap();
    let aside = server.dir().join("aside");
    fs::create_dir(&aside).unwrap();
    fs::write(aside.join("policy.next"), policy).unwrap();
    fs::write(
        aside.join("policy.try"),
        "deadline_unix_secs = 99999999999\n[before]\n",
    )
    .unwrap();
    server
}

/// Puts the file at `path` there if it is one that is there only for a while.
fn is_passing(server: &Server, path: &Path) -> bool {
    let spare = server.dir().join("aside").join(path.file_name().unwrap());
    let is_passing = spare.exists();
    if is_passing {
        fs::copy(spare, path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    is_passing
}

/// The file or directory `place`, or the one whose name begins so.
fn found(server: &Server, place: &str) -> PathBuf {
    let path = server.dir().join(place);
    if place != RULES {
        return path;
    }
    let entries = fs::read_dir(path.parent().unwrap()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut rules = paths.filter(|entry| {
        entry
            .display()
            .to_string()
            .starts_with(&path.display().to_string())
    });
    rules.next().unwrap()
}

#[test]
fn no_directory_or_file_that_somebody_else_may_have_made_is_used_or_changed() {
    let server = prepared();
    let mut tally = Tally::default();
    for (place, traps, commands) in PLACES {
        let path = found(&server, place);
        let aside = server.dir().join("aside/original");
        for trap in traps {
            let is_passing = is_passing(&server, &path);
            set_trap(*trap, &path, &aside);
            tally.try_all(&server, &format!("{place} {trap:?}"), &path, commands);
            take_trap_away(&path, &aside);
            if is_passing {
                remove(&path);
            }
            fs::set_permissions(server.dir(), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    assert_eq!(server.run(&["status"]).code, 0, "all traps are taken away");
    tally.report("files");
}

#[test]
fn nothing_is_made_where_somebody_was_before_us() {
    let server = Server::new(CONFIG);
    let mut tally = Tally::default();
    for place in ["run", "state"] {
        let path = server.dir().join(place);
        let aside = server.dir().join("original");
        for trap in OF_DIRECTORIES {
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
            fs::write(path.join("rules.toml"), "").unwrap();
            set_trap(trap, &path, &aside);
            tally.try_all(&server, &format!("{place} {trap:?}"), &path, &[&["up"]]);
            take_trap_away(&path, &aside);
            remove(&path);
            remove(&server.dir().join("run"));
        }
    }
    tally.report("before the first start");
}

#[test]
fn no_directory_of_pins_that_somebody_else_may_have_made_is_used_or_changed() {
    let server = prepared();
    let mut tally = Tally::default();
    let root = server.bpffs().join("shaper");
    let layout = server.pin("META").parent().unwrap().to_owned();
    for path in [&root, &layout] {
        let aside = server.bpffs().join("aside");
        for trap in OF_PINNED_DIRECTORIES {
            set_trap(trap, path, &aside);
            let commands = if matches!(trap, Trap::LinkToNothing) {
                &ALL[..4]
            } else {
                ALL
            };
            tally.try_all(&server, &format!("{path:?} {trap:?}"), path, commands);
            take_trap_away(path, &aside);
        }
    }
    for pin in ["ACTIVE", "META", "BUCKETS", "TOTALS", "chunk_0", "prog_eth0"] {
        let (path, aside) = (server.pin(pin), server.bpffs().join("aside"));
        for trap in [Trap::Link, Trap::LinkToNothing, Trap::OtherKind] {
            set_trap(trap, &path, &aside);
            tally.try_all(&server, &format!("{pin} {trap:?}"), &path, &[&["status"]]);
            take_trap_away(&path, &aside);
        }
    }
    assert_eq!(server.run(&["status"]).code, 0, "all traps are taken away");
    tally.report("pins");
}

#[test]
fn a_link_in_place_of_another_layout_or_of_a_draft_is_not_followed() {
    let server = Server::new(CONFIG);
    // The lock is made by whoever comes first.
    server.ok(&["down"]);
    let (root, elsewhere) = (server.bpffs().join("shaper"), server.bpffs().join("elsewhere"));
    for directory in [&root, &elsewhere, &elsewhere.join("sub")] {
        fs::create_dir(directory).unwrap();
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let mut tally = Tally::default();
    let layout = server.pin("META").parent().unwrap().to_owned();
    let draft = root.join(format!("new_{}", layout.file_name().unwrap().to_str().unwrap()));
    for path in [root.join("v1"), layout, draft] {
        symlink(&elsewhere, &path).unwrap();
        tally.try_all(&server, &format!("{path:?}"), &path, &[&["up"], &["down"]]);
        fs::remove_file(&path).unwrap();
    }
    tally.report("links among pins");
}

#[test]
fn who_is_not_root_is_refused_and_told_so() {
    let server = prepared();
    let own = server.dir().join("own");
    fs::create_dir(&own).unwrap();
    chown(&own, Some(STRANGER), None).unwrap();
    let mut tally = Tally::default();
    let commands: [&[&str]; 12] = [
        &["up"],
        &["down"],
        &["status"],
        &["list"],
        SET,
        &["unset", "203.0.113.7"],
        &["exempt", "add", "10.0.0.0/8"],
        &["reload"],
        &["apply"],
        &["save"],
        &["get", "203.0.113.7"],
        &["monitor", "--once"],
    ];
    for has_own in [false, true] {
        for args in commands {
            (tally.n_cases, tally.n_commands) = (tally.n_cases + 1, tally.n_commands + 1);
            let mut command = server.command(args);
            command.uid(STRANGER).gid(STRANGER);
            if has_own {
                command
                    .env("SHAPER_RUN_DIR", own.join("run"))
                    .env("SHAPER_STATE_DIR", own.join("state"));
            }
            let before = everything(&server);
            let ran = to_its_end(&mut command);
            let after = everything(&server);
            // His own directories are his.
            let is_changed = after
                .iter()
                .filter(|line| !line.contains("/own"))
                .ne(before.iter().filter(|line| !line.contains("/own")));
            if ran.code != 5 || !ran.err.contains("root") || is_changed {
                tally
                    .wrong
                    .push(format!("{args:?} own {has_own}: {ran:?}, changed {is_changed}"));
            }
        }
    }
    assert_eq!(server.run(&["status"]).code, 0);
    tally.report("unprivileged");
}
