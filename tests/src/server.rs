//! A server of its own for the program under test: a network, a BPF file system and directories that nobody else has, and an
//! interface that is policed or paced as its configuration says.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::world::World;

/// A server of its own, as one process sees it: gone when dropped.
#[derive(Debug)]
pub struct Server {
    world: World,
    /// Holds its configuration, its rules and its lock.
    pub dir: PathBuf,
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; -1 if it was killed.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
}

impl Server {
    /// `shaper up` with a configuration.
    #[must_use]
    pub fn up(config: &str) -> Self {
        let world = World::new();
        // SAFETY: a system call without pointers.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
        let made = Command::new("ip")
            .args(["link", "add", "eth0", "type", "veth", "peer", "name", "peer0"])
            .status();
        assert!(made.expect("`ip` runs").success());
        let dir = std::env::temp_dir().join(format!(
            "shaper-server-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::create_dir_all(&dir).expect("there is a place for temporary files");
        let server = Self { world, dir };
        server.configure(config);
        assert_eq!(server.run(&["up"]).code, 0);
        server
    }

    /// Where its pins are.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.world.dir().join("shaper")
    }

    /// Writes the configuration file.
    pub fn configure(&self, text: &str) {
        std::fs::write(self.dir.join("shaper.toml"), text).expect("our own directory");
    }

    /// A command of this server.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("SHAPER_BIN").unwrap_or_else(|| "shaper".into()));
        command
            .args(args)
            .env("SHAPER_BPFFS_DIR", self.pins())
            .env("SHAPER_RUN_DIR", self.dir.join("run"))
            .env("SHAPER_STATE_DIR", self.dir.join("state"))
            .env("SHAPER_CONFIG", self.dir.join("shaper.toml"))
            .env_remove("SSH_CONNECTION")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command.
    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().expect("the program is there"))
    }

    /// Runs a command that must succeed; what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.stderr);
        ran.stdout
    }

    /// The rules in force, for awk.
    pub fn rules(&self) -> String {
        self.ok(&["-o", "plain", "list"])
    }

    /// Starts a command.
    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args).spawn().expect("the program is there")
    }

    /// Waits until the rules are `wanted`.
    pub fn await_rules(&self, wanted: &str) {
        let began = Instant::now();
        while self.rules() != wanted {
            assert!(
                began.elapsed() < Duration::from_mins(1),
                "{} is not {wanted}",
                self.rules()
            );
            std::thread::yield_now();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.command(&["down"]).output();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("the program writes UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("the program writes UTF-8"),
        }
    }
}
