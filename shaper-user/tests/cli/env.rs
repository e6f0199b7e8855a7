//! Runs the binary in directories of its own. No kernel is touched: nothing is up there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Directories of one test, gone when dropped.
pub struct TestEnv {
    root: PathBuf,
}

impl TestEnv {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("shaper-cli-{}-{number}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        Self { root }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shaper"));
        command
            .current_dir(&self.root)
            .env_clear()
            .env("SHAPER_BPFFS_DIR", self.path("bpffs"))
            .env("SHAPER_RUN_DIR", self.path("run"))
            .env("SHAPER_STATE_DIR", self.path("state"))
            .env("SHAPER_CONFIG", self.path("shaper.toml"))
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command().args(args).output().unwrap())
    }

    pub fn check(&self, name: &str, bytes: impl AsRef<[u8]>) -> Ran {
        self.write(name, bytes);
        self.run(&["check", name])
    }
}

impl Drop for TestEnv {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("ended by a signal"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// The error on standard error, which is one JSON object: code, message and hint.
    pub fn json_error(&self) -> (String, String, Option<String>) {
        let document: serde_json::Value = serde_json::from_str(&self.stderr).expect(&self.stderr);
        let error = &document["error"];
        let text = |key: &str| error[key].as_str().map(str::to_owned);
        (text("code").unwrap(), text("message").unwrap(), text("hint"))
    }
}

/// Whether there is something at `path`.
pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
