//! The program against this machine's kernel: in a network and with directories of its own, on an interface that is
//! policed, so that no fq is needed.

#![allow(
    clippy::new_without_default,
    reason = "a server that cannot be made is a failed test"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use shaper_common::names::LAYOUT_VERSION;

use crate::object;
use crate::world::World;

/// The interface that is limited.
pub const INTERFACE: &str = "eth0";

/// Whoever does not end by then waits for something that never comes.
const PATIENCE: Duration = Duration::from_secs(30);

/// `shaper` in a network of this thread's own.
#[derive(Debug)]
pub struct Server {
    world: World,
    dir: PathBuf,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its exit code; -1 if it was killed.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Server {
    /// A network with [`INTERFACE`], directories, a configuration, and nothing limited.
    pub fn new(config: &str) -> Self {
        static N_SERVERS: AtomicU32 = AtomicU32::new(0);
        let world = World::new();
        // SAFETY: a system call without pointers.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
        let n = N_SERVERS.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("shaper-alone-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let server = Self { world, dir };
        server.add_interface();
        server.configure(config);
        server
    }

    /// As [`new`](Self::new), and `shaper up`.
    pub fn up(config: &str) -> Self {
        let server = Self::new(config);
        server.ok(&["up"]);
        server
    }

    /// Makes [`INTERFACE`], a cable whose other end is `peer0`.
    pub fn add_interface(&self) {
        ip(&format!("link add {INTERFACE} type veth peer name peer0"));
        ip("link set peer0 up");
        ip(&format!("link set {INTERFACE} up"));
    }

    /// Writes the configuration.
    pub fn configure(&self, text: &str) {
        std::fs::write(self.dir.join("shaper.toml"), text).unwrap();
    }

    /// Where configuration, `run` and `state` are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The BPF file system, in which `shaper` is its directory.
    #[must_use]
    pub fn bpffs(&self) -> &Path {
        self.world.dir()
    }

    /// Where it pins something.
    #[must_use]
    pub fn pin(&self, name: &str) -> PathBuf {
        self.bpffs().join(format!("shaper/v{LAYOUT_VERSION}")).join(name)
    }

    /// The command, with its directories set.
    pub fn command(&self, args: &[&str]) -> Command {
        let program = std::env::var_os("SHAPER_BIN").unwrap_or_else(|| "shaper".into());
        let mut command = Command::new(program);
        command
            .args(args)
            .env("SHAPER_BPFFS_DIR", self.bpffs().join("shaper"))
            .env("SHAPER_RUN_DIR", self.dir.join("run"))
            .env("SHAPER_STATE_DIR", self.dir.join("state"))
            .env("SHAPER_CONFIG", self.dir.join("shaper.toml"))
            .env_remove("SSH_CONNECTION")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command that may fail.
    pub fn run(&self, args: &[&str]) -> Ran {
        to_its_end(&mut self.command(args))
    }

    /// Runs a command that must succeed; what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {}{}", ran.out, ran.err);
        ran.out
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.command(&["down"]).output();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Runs a program to its end; one that waits for ever is killed, and has the exit code -1.
pub fn to_its_end(command: &mut Command) -> Ran {
    let child = command.spawn().unwrap();
    let (id, (sender, receiver)) = (child.id(), mpsc::channel());
    let waiter = std::thread::spawn(move || sender.send(child.wait_with_output()));
    let patience = if object::in_lab() { 10 * PATIENCE } else { PATIENCE };
    let output: Output = receiver.recv_timeout(patience).map_or_else(
        |_| {
            // SAFETY: a system call; nobody has waited for the child yet, so the number is still its own.
            unsafe { libc::kill(id.cast_signed(), libc::SIGKILL) };
            receiver.recv().unwrap().unwrap()
        },
        Result::unwrap,
    );
    waiter.join().unwrap().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs `ip` with these words.
pub fn ip(words: &str) {
    call("ip", words);
}

/// Runs `tc` with these words.
pub fn tc(words: &str) {
    call("tc", words);
}

fn call(program: &str, words: &str) {
    let output = Command::new(program).args(words.split(' ')).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {words}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
