//! Files of our own, and directories.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::kind::{Kind, NOT_UP, REFUSED, RELOAD, UP, edit, kind, overwrite, unlink};

/// All of them.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn all() -> Vec<Kind> {
    vec![
        kind(
            "the record of what was there before is damaged",
            |server| overwrite(server, "run/dataplane.toml", "= ["),
            "dataplane.toml",
            UP,
        )
        .exits(REFUSED)
        .undone(|server| drop(unlink(server, "run/dataplane.toml"))),
        kind(
            "the record of what was there before is gone",
            |server| unlink(server, "run/dataplane.toml"),
            "`dataplane.toml` does not name it",
            UP,
        ),
        kind(
            "the program is of another build",
            |server| {
                let path = server.dir().join("run/dataplane.toml");
                let text = fs::read_to_string(path).unwrap();
                let id = text
                    .split("build_id = \"")
                    .nth(1)
                    .unwrap()
                    .split('"')
                    .next()
                    .unwrap()
                    .to_owned();
                edit(server, "run/dataplane.toml", &id, "0123456789abcdef")
            },
            "another build",
            UP,
        ),
        kind(
            "the running policy is damaged",
            |server| overwrite(server, "run/policy.toml", "rule = 7\n"),
            "policy.toml",
            RELOAD,
        )
        .exits(REFUSED)
        .undone(|server| drop(unlink(server, "run/policy.toml"))),
        kind(
            "the running policy was edited",
            |server| {
                edit(
                    server,
                    "run/policy.toml",
                    "rate = \"20mbit\"",
                    "rate = \"19mbit\"",
                )
            },
            "other rules",
            RELOAD,
        ),
        kind(
            "a change that was begun is damaged",
            |server| overwrite(server, "run/policy.next", "\u{0}"),
            "policy.next",
            &[&["status"]],
        )
        .exits(REFUSED)
        .undone(|server| drop(unlink(server, "run/policy.next"))),
        kind(
            "a change on trial is damaged",
            |server| overwrite(server, "run/policy.try", "before = 1\n"),
            "policy.try",
            &[&["status"]],
        )
        .exits(REFUSED)
        .undone(|server| drop(unlink(server, "run/policy.try"))),
        kind(
            "the kept rules are damaged",
            |server| overwrite(server, "state/rules.toml", "[[rule]\n"),
            "rules.toml` cannot be used",
            &[&["set", "203.0.113.7", "21mbit"]],
        )
        .undone(|server| drop(unlink(server, "state/rules.toml"))),
        kind(
            "the kept rules are gone",
            |server| unlink(server, "state/rules.toml"),
            "rules.toml` differs",
            &[&["set", "203.0.113.7", "22mbit"]],
        ),
        kind(
            "the kept rules were edited",
            |server| edit(server, "state/rules.toml", "22mbit", "23mbit"),
            "rules.toml` differs",
            &[&["set", "203.0.113.7", "20mbit"]],
        ),
        kind(
            "others may enter the directory of the pins",
            |server| {
                let path = server.bpffs().join("shaper");
                fs::set_permissions(path, fs::Permissions::from_mode(0o711)).unwrap();
                None
            },
            "others may enter it",
            &[&["status"]],
        )
        .exits(REFUSED)
        .undone(|server| {
            let path = server.bpffs().join("shaper");
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        }),
        kind(
            "the pins are of another layout",
            |server| {
                let layout = server.pin("META").parent().unwrap().to_owned();
                fs::rename(&layout, layout.with_file_name("v0")).unwrap();
                None
            },
            "of another version of shaper",
            UP,
        )
        .exits(NOT_UP),
        kind(
            "all pins are removed",
            |server| {
                let layout = server.pin("META").parent().unwrap().to_owned();
                fs::remove_dir_all(layout).unwrap();
                None
            },
            "not up",
            UP,
        )
        .exits(NOT_UP),
    ]
}
