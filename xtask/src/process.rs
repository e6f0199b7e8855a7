//! Running other programs, and saying what failed when they do.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::{env, fs};

use anyhow::{Context as _, Result, bail};

/// The root of the workspace.
pub(crate) fn workspace() -> &'static Path {
    // cargo tells it to what it runs. What the compiler was told may be another working tree, if both build into one
    // target directory.
    static XTASK: LazyLock<PathBuf> = LazyLock::new(|| {
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
    });
    // The crate is one folder below the root.
    XTASK.parent().expect("xtask/ is inside the workspace")
}

/// Where downloads and built tools are kept: `$SHAPER_CACHE`, else `~/.cache/shaper`.
pub(crate) fn cache() -> Result<PathBuf> {
    let dir = match env::var_os("SHAPER_CACHE") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(env::var_os("HOME").context("neither SHAPER_CACHE nor HOME is set")?)
            .join(".cache/shaper"),
    };
    fs::create_dir_all(&dir).with_context(|| {
        format!(
            "cannot create `{}`; set SHAPER_CACHE to a folder that can be written",
            dir.display()
        )
    })?;
    Ok(dir)
}

/// The first program of this name in `PATH` or in the system's folders.
pub(crate) fn which(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// A command as the reader would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    words.join(" ")
}

/// Runs a command whose output the user sees as it comes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    if run_status(command)? {
        return Ok(());
    }
    bail!("`{}` failed", shown(command))
}

/// Whether a command, whose output the user sees as it comes, succeeded.
pub(crate) fn run_status(command: &mut Command) -> Result<bool> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{}`", command.get_program().to_string_lossy()))?;
    Ok(status.success())
}

/// The standard output of a command; its standard error is shown only when it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", command.get_program().to_string_lossy()))?;
    if !output.status.success() {
        bail!(
            "`{}` failed ({}):\n{}{}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A folder of this process alone, gone when dropped.
#[derive(Debug)]
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    /// Makes one inside `parent`.
    pub(crate) fn new_in(parent: &Path, name: &str) -> Result<Self> {
        let nanos = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos());
        let dir = parent.join(format!("{name}-{}-{nanos}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
        Ok(Self(dir))
    }

    /// Makes one among the system's temporary folders.
    pub(crate) fn new(name: &str) -> Result<Self> {
        Self::new_in(&env::temp_dir(), name)
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether this process may do what only root may.
pub(crate) fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|uid| uid.trim() == "0")
}

/// `name`, with the extension-like `suffix` appended.
pub(crate) fn with_suffix(file: &Path, suffix: impl AsRef<OsStr>) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
