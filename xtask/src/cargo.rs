//! Calls of cargo and rustc, and what their messages say.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::process;

/// The cargo that started us, in the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(process::workspace());
    command
}

/// What the compiler says about itself.
#[derive(Debug)]
pub(crate) struct Rustc {
    /// For example `1.95.0`.
    pub(crate) release: String,
    /// For example `22`.
    pub(crate) llvm_major: String,
    /// For example `x86_64-unknown-linux-gnu`.
    pub(crate) host: String,
    /// Where its libraries are.
    pub(crate) sysroot: PathBuf,
}

impl Rustc {
    /// Asks the compiler that builds the workspace.
    pub(crate) fn ask() -> Result<Self> {
        let rustc = |arg: &[&str]| {
            process::output(Command::new("rustc").args(arg).current_dir(process::workspace()))
                .context("no rustc; install Rust with rustup")
        };
        let about = rustc(&["-vV"])?;
        let field = |name: &str| {
            about
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .map(str::to_owned)
                .with_context(|| format!("`rustc -vV` has no line `{name}`"))
        };
        let llvm = field("LLVM version")?;
        Ok(Self {
            release: field("release")?,
            llvm_major: llvm.split('.').next().unwrap_or(&llvm).to_owned(),
            host: field("host")?,
            sysroot: PathBuf::from(rustc(&["--print", "sysroot"])?.trim()),
        })
    }

    /// The folder that holds rustc's own libLLVM.
    pub(crate) fn lib(&self) -> PathBuf {
        self.sysroot.join("lib")
    }
}

/// Something cargo built that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Executable {
    /// The target's name, for example `lab_shaping`.
    pub(crate) name: String,
    /// `test`, `bin` or `lib` (the unit tests of a library).
    pub(crate) kind: String,
    /// The file.
    pub(crate) path: PathBuf,
}

/// Runs a cargo command that builds, and lists what can be run. Compiler messages are shown.
///
/// Without link-time optimisation: it would take longer than the tests, for each of their programs.
pub(crate) fn executables(args: &[&str]) -> Result<Vec<Executable>> {
    let mut command = cargo();
    command
        .args(args)
        .arg("--message-format=json-render-diagnostics")
        .env("CARGO_PROFILE_RELEASE_LTO", "off");
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", process::shown(&command)))?;
    if !output.status.success() {
        bail!("`{}` failed", process::shown(&command));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut found: Vec<_> = messages.lines().filter_map(executable).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The executable a line of cargo's JSON tells of, if it does.
fn executable(line: &str) -> Option<Executable> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    Some(Executable {
        name: message["target"]["name"].as_str()?.to_owned(),
        kind: message["target"]["kind"][0].as_str()?.to_owned(),
        path: PathBuf::from(message["executable"].as_str()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_that_can_be_run_is_listed() {
        let line = r#"{"reason":"compiler-artifact","target":{"kind":["test"],"name":"lab_a"},"executable":"/t/lab_a-1"}"#;
        assert_eq!(
            executable(line),
            Some(Executable {
                name: "lab_a".to_owned(),
                kind: "test".to_owned(),
                path: "/t/lab_a-1".into()
            })
        );
    }

    #[test]
    fn a_library_and_a_build_script_are_not() {
        for line in [
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"a"},"executable":null}"#,
            r#"{"reason":"build-script-executed"}"#,
            "not json",
        ] {
            assert_eq!(executable(line), None);
        }
    }
}
