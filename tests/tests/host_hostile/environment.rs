//! Variables of the environment.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use shaper_tests::alone::to_its_end;

use super::tally::{Tally, chosen, everything};
use super::{SET, prepared};

#[test]
fn an_environment_that_leads_elsewhere_is_refused_and_one_that_means_nothing_is_ignored() {
    let server = prepared();
    let not_text = OsStr::from_bytes(b"/\xff\xfe");
    let file = server.dir().join("shaper.toml");
    let refused: [(&str, &OsStr, &[&str]); 16] = [
        ("SHAPER_BPFFS_DIR", OsStr::new(""), &["up"]),
        ("SHAPER_BPFFS_DIR", OsStr::new("shaper"), &["up"]),
        ("SHAPER_BPFFS_DIR", OsStr::new("/"), &["up"]),
        ("SHAPER_BPFFS_DIR", OsStr::new("/proc/self"), &["up"]),
        ("SHAPER_BPFFS_DIR", OsStr::new("/tmp/shaper-no-bpffs"), &["up"]),
        ("SHAPER_BPFFS_DIR", file.as_os_str(), &["up"]),
        ("SHAPER_BPFFS_DIR", not_text, &["up"]),
        ("SHAPER_RUN_DIR", OsStr::new(""), &["up"]),
        ("SHAPER_RUN_DIR", OsStr::new("run"), &["up"]),
        ("SHAPER_RUN_DIR", file.as_os_str(), &["up"]),
        ("SHAPER_RUN_DIR", OsStr::new("/proc/1/shaper"), &["up"]),
        ("SHAPER_STATE_DIR", OsStr::new("state"), SET),
        ("SHAPER_STATE_DIR", file.as_os_str(), SET),
        ("SHAPER_STATE_DIR", OsStr::new("/dev/null"), SET),
        ("SHAPER_CONFIG", OsStr::new("/"), &["up"]),
        ("SHAPER_CONFIG", OsStr::new("/nowhere/shaper.toml"), &["up"]),
    ];
    let mut tally = Tally::default();
    for (name, value, args) in refused {
        (tally.n_cases, tally.n_commands) = (tally.n_cases + 1, tally.n_commands + 1);
        let before = everything(&server);
        let mut command = server.command(args);
        let ran = to_its_end(command.env(name, value).current_dir(server.dir()));
        let is_changed = everything(&server) != before;
        if ran.code <= 0 || ran.err.lines().next().is_none_or(str::is_empty) || is_changed {
            tally.wrong.push(format!(
                "{name}={value:?} {args:?}: {ran:?}, changed {is_changed}"
            ));
        }
    }
    let programs = server.dir().join("programs");
    fs::create_dir(&programs).unwrap();
    let called = server.dir().join("called");
    for program in ["tc", "ip", "modprobe", "mount", "sh", "bpftool"] {
        let script = format!("#!/bin/sh\ntouch {}\n", called.display());
        fs::write(programs.join(program), script).unwrap();
        fs::set_permissions(programs.join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let ignored: [(&str, &OsStr); 13] = [
        ("PATH", programs.as_os_str()),
        ("PATH", OsStr::new("")),
        ("SSH_CONNECTION", OsStr::new("none of your business")),
        ("SSH_CONNECTION", not_text),
        ("NO_COLOR", not_text),
        ("TERM", OsStr::new("\u{1b}[2J")),
        ("LC_ALL", not_text),
        ("TZ", OsStr::new("../../etc/passwd")),
        ("WATCHDOG_USEC", OsStr::new("-1")),
        ("WATCHDOG_PID", not_text),
        ("JOURNAL_STREAM", OsStr::new("0:0")),
        ("NOTIFY_SOCKET", OsStr::new("/nowhere/socket\u{1}")),
        ("TMPDIR", OsStr::new("/nowhere")),
    ];
    for (name, value) in ignored {
        tally.n_cases += 1;
        for args in chosen(&[&["status"], &["monitor", "--once"], SET, &["up"]]) {
            tally.n_commands += 1;
            let ran = to_its_end(server.command(args).env(name, value));
            if ran.code != 0 || called.exists() {
                tally.wrong.push(format!("{name}={value:?} {args:?}: {ran:?}"));
            }
        }
    }
    tally.report("environment");
}
