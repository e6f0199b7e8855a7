//! How far a long change is: shown on a terminal, and nowhere else. Needs root.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Command, Stdio};

use shaper_tests::server::Server;

const HEAD: &str = "[interface.eth0]\nenforcement = \"police\"\n";
/// Twice as many as have to be there for a bar.
const N_RULES: u32 = 40_000;

fn configuration(rate: &str) -> String {
    let mut text = HEAD.to_owned();
    for n in 0..N_RULES {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + n);
        let _ = write!(text, "[[rule]]\ndestination = \"{address}\"\nrate = \"{rate}\"\n");
    }
    text
}

/// What the command says on a terminal. It must succeed.
fn on_terminal(mut command: Command) -> String {
    let (mut ours, mut its) = (-1, -1);
    let none = std::ptr::null_mut();
    // SAFETY: the kernel writes two descriptors, which live here; nothing else is asked for.
    let made = unsafe { libc::openpty(&raw mut ours, &raw mut its, none, none.cast(), none.cast()) };
    assert_eq!(made, 0);
    // SAFETY: nobody else has the two.
    let (mut ours, its) = unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(its)) };
    let mut child = command.stderr(Stdio::from(its)).spawn().unwrap();
    // It holds the other end, too, and the terminal ends with the last of them.
    drop(command);
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(n_bytes @ 1..) = ours.read(&mut buffer) {
        said.extend_from_slice(&buffer[..n_bytes]);
    }
    assert!(child.wait().unwrap().success());
    String::from_utf8(said).unwrap()
}

#[test]
fn a_long_change_shows_how_far_it_is_on_a_terminal_and_nowhere_else() {
    let server = Server::up(HEAD);
    server.configure(&configuration("10mbit"));
    let ran = server.run(&["apply"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));

    server.configure(&configuration("20mbit"));
    let said = on_terminal(server.command(&["apply"]));
    let bars = said.strip_suffix("\r\u{1b}[K").expect("the bar is taken away");
    let mut last_percent = None;
    for bar in bars.split('\r').skip(1) {
        let (full, rest) = bar.split_once(']').expect("a bar");
        let percent: usize = rest
            .strip_suffix(" % of 40000 rules ")
            .expect("a bar")
            .trim()
            .parse()
            .unwrap();
        assert_eq!(full.matches('#').count(), percent * 40 / 100, "{bar}");
        assert!(last_percent < Some(percent), "{said:?}");
        last_percent = Some(percent);
    }
    assert_eq!(last_percent, Some(100), "{said:?}");
    assert!(bars.matches('\r').count() >= 5, "{said:?}");

    server.configure(&configuration("30mbit"));
    for args in [&["--quiet", "apply"][..], &["-o", "json", "reload"]] {
        assert_eq!(on_terminal(server.command(args)), "", "{args:?}");
    }
}
