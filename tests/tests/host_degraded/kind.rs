//! One kind of degradation: how it is done, what is said of it, what mends it.

use std::any::Any;
use std::fs;
use std::path::PathBuf;

use shaper_common::rule::Active;
use shaper_tests::alone::Server;
use shaper_tests::lab::bpf;
use shaper_tests::lab::foreign::Foreign;

pub(super) const CONFIG: &str = "[interface.eth0]\nenforcement = \"police\"\n[group.g]\nrate = \"1gbit\"\n\
    [[rule]]\ndestination = \"any\"\nper = \"client\"\nrate = \"100mbit\"\ngroup = \"g\"\n\
    [[rule]]\ndestination = \"203.0.113.9\"\nservice = \"imap\"\nrate = \"10mbit\"\n\
    [[rule]]\ndestination = \"198.51.100.0/24\"\nrate = \"10mbit\"\n\
    [[rule]]\ndestination = \"2001:db8::7\"\nrate = \"10mbit\"\n";

/// What is kept alive until the remedy: a program that is attached as long as it is held.
pub(super) type Held = Option<Box<dyn Any>>;

/// One kind of degradation.
#[derive(Clone)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Does the damage.
    damage: fn(&Server) -> Held,
    /// What `status` has to say.
    says: &'static str,
    /// Its exit code.
    pub(super) exits: i32,
    /// What has to be undone before the remedy can help.
    undo: fn(&Server),
    /// Commands that mend it.
    remedy: &'static [&'static [&'static str]],
}

/// Exit codes of `status`: something differs from what it should be.
pub(super) const DEGRADED: i32 = 7;
/// What should be read cannot be used.
pub(super) const REFUSED: i32 = 1;
/// Nothing is limited by this version of shaper.
pub(super) const NOT_UP: i32 = 6;

pub(super) const UP: &[&[&str]] = &[&["up"]];
pub(super) const CLSACT: &[&[&str]] = &[&["up", "--attach", "clsact"]];
pub(super) const ANEW: &[&[&str]] = &[&["down"], &["up"]];
pub(super) const RELOAD: &[&[&str]] = &[&["reload"]];

pub(super) fn nothing(_: &Server) {}

pub(super) fn kind(
    name: &'static str,
    damage: fn(&Server) -> Held,
    says: &'static str,
    remedy: &'static [&'static [&'static str]],
) -> Kind {
    Kind {
        name,
        damage,
        says,
        exits: DEGRADED,
        undo: nothing,
        remedy,
    }
}

pub(super) fn unpin(server: &Server, name: &str) -> Held {
    fs::remove_file(server.pin(name)).unwrap();
    None
}

pub(super) fn opened(server: &Server, name: &str) -> std::os::fd::OwnedFd {
    bpf::open(&server.pin(name)).unwrap()
}

/// Inverts one byte of the value at `key`.
pub(super) fn corrupt(server: &Server, name: &str, key: &[u8], value_size: usize, at: usize) -> Held {
    let map = opened(server, name);
    let mut value = vec![0; value_size];
    bpf::read(&map, key, &mut value).unwrap();
    value[at] ^= 0xff;
    bpf::write(&map, key, &value).unwrap();
    None
}

pub(super) fn overwrite(server: &Server, file: &str, text: &str) -> Held {
    fs::write(server.dir().join(file), text).unwrap();
    None
}

pub(super) fn edit(server: &Server, file: &str, from: &str, to: &str) -> Held {
    let text = fs::read_to_string(server.dir().join(file)).unwrap();
    assert!(text.contains(from), "{text}");
    overwrite(server, file, &text.replace(from, to))
}

pub(super) fn unlink(server: &Server, file: &str) -> Held {
    fs::remove_file(server.dir().join(file)).unwrap();
    None
}

/// A program pinned under a name of its own.
pub(super) fn pinned(server: &Server, code: i32) -> PathBuf {
    let path = server.bpffs().join("foreign");
    let _ = fs::remove_file(&path);
    Foreign::load(code).pin(&path);
    path
}

/// Which of the two slots packets go by.
pub(super) fn slot_in_force(server: &Server) -> u32 {
    let mut word = [0; 4];
    bpf::read(&opened(server, "ACTIVE"), &SLOT, &mut word).unwrap();
    Active {
        word: u32::from_ne_bytes(word),
    }
    .slot()
}

/// Takes an interface away, if it is not gone already.
pub(super) fn gone(name: &str) {
    let _ = std::process::Command::new("ip")
        .args(["link", "del", name])
        .output();
}

/// The only or the first key of an array, and of a map of maps, whose slots hold the same tables once a change is over.
pub(super) const SLOT: [u8; 4] = [0; 4];

impl Kind {
    /// What has to be undone before the remedy can help.
    pub(super) fn undone(mut self, undo: fn(&Server)) -> Self {
        self.undo = undo;
        self
    }

    /// `status` exits with another code than that of what is degraded.
    pub(super) fn exits(mut self, code: i32) -> Self {
        self.exits = code;
        self
    }

    /// Does the damage, looks, mends; what was not as it should be.
    pub(super) fn try_on(&self, server: &Server) -> Result<(), String> {
        let held = (self.damage)(server);
        let status = server.run(&["status"]);
        let said = format!("{}{}", status.out, status.err);
        println!(
            "{}: exit {}: {}",
            self.name,
            status.code,
            said.trim_end().replace('\n', " | ")
        );
        drop(held);
        (self.undo)(server);
        let mended: Vec<_> = self.remedy.iter().map(|args| server.run(args)).collect();
        let after = server.run(&["status", "--brief"]);
        if status.code != self.exits || !said.contains(self.says) {
            return Err(format!("no exit {} with `{}`: {status:?}", self.exits, self.says));
        }
        // Each problem, and each error, stands above its remedy.
        if !said.contains("\n    ") && !said.contains("\n  ") {
            return Err(format!("names no remedy: {said:?}"));
        }
        if after.code != 0 {
            return Err(format!("the remedy does not help: {mended:?}, then {after:?}"));
        }
        Ok(())
    }
}
