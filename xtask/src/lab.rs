//! `cargo xtask lab`: runs a command in a guest with a stock Debian kernel.
//!
//! QEMU emulates the processor, so this needs no rights and no virtualisation. The
//! guest's root is an initramfs and gone when the command ends.

mod cpio;
mod debian;
mod frames;
mod initramfs;
mod modules;
mod qemu;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::setup::{self, Kernel};

pub(crate) use initramfs::GuestFile;
pub(crate) use qemu::Outcome;

/// Run a command in a guest with a stock Debian kernel.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The guest's kernel.
    #[arg(short, long, value_enum)]
    kernel: Kernel,
    /// One guest nanosecond per executed instruction: exact, and the same every time. One processor.
    #[arg(long)]
    icount: bool,
    /// The guest's processors.
    #[arg(long, value_name = "N", default_value_t = 2)]
    smp: u32,
    /// The guest's memory, in MiB.
    #[arg(long, value_name = "MB", default_value_t = 2048)]
    mem: u32,
    /// A whole Debian, whose first process is systemd.
    #[arg(long)]
    systemd: bool,
    /// Give up after this many seconds, with exit code 124.
    #[arg(long, value_name = "S", default_value_t = 600)]
    timeout: u64,
    /// A file or folder to copy into the guest, programs with the libraries they need.
    #[arg(long = "file", value_name = "SRC[:DEST]")]
    files: Vec<String>,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let mut guest = Guest::new(options.kernel, format!("exec {}\n", quoted(&options.command)));
    guest.icount = options.icount;
    guest.smp = options.smp;
    guest.mem_mib = options.mem;
    guest.has_systemd = options.systemd;
    guest.timeout = Duration::from_secs(options.timeout);
    for file in &options.files {
        guest.files.push(guest_file(file)?);
    }
    let outcome = guest.run(&mut |bytes| {
        let mut stdout = io::stdout().lock();
        // Whoever read our output may have gone; the guest's exit code still counts.
        let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
    })?;
    if outcome.code != 0 {
        eprintln!(
            "lab: exit code {}; the guest's console is in {}",
            outcome.code,
            outcome.console.display()
        );
    }
    Ok(ExitCode::from(outcome.code))
}

/// A guest that is about to run.
#[derive(Debug)]
pub(crate) struct Guest {
    /// Its kernel.
    pub(crate) kernel: Kernel,
    /// Whether its clock counts instructions.
    pub(crate) icount: bool,
    /// Its processors; one if `icount`.
    pub(crate) smp: u32,
    /// Its memory.
    pub(crate) mem_mib: u32,
    /// Whether it is a whole Debian whose first process is systemd.
    pub(crate) has_systemd: bool,
    /// How long it may take.
    pub(crate) timeout: Duration,
    /// What is copied into it.
    pub(crate) files: Vec<GuestFile>,
    /// What dash runs.
    pub(crate) script: String,
}

impl Guest {
    /// A guest with this kernel that runs this script.
    pub(crate) fn new(kernel: Kernel, script: impl Into<String>) -> Self {
        Self {
            kernel,
            icount: false,
            smp: 2,
            mem_mib: 2048,
            has_systemd: false,
            timeout: Duration::from_mins(10),
            files: Vec::new(),
            script: script.into(),
        }
    }

    /// Boots it, hands the script's output to `sink` as it comes, and waits for the end.
    ///
    /// Several emulated processors that boot at once can fall over code that the kernel is rewriting: a guest that ends
    /// before the script said anything is booted once more.
    pub(crate) fn run(&self, sink: &mut dyn FnMut(&[u8])) -> Result<Outcome> {
        let kernel = setup::need_kernel(self.kernel)?;
        let mut has_begun = false;
        let first = qemu::run(self, &kernel, &mut |bytes| {
            has_begun |= !bytes.is_empty();
            sink(bytes);
        });
        match first {
            Err(error) if !has_begun => {
                eprintln!(
                    "lab: kernel {} is booted once more: {error:#}",
                    self.kernel.name()
                );
                let second = qemu::run(self, &kernel, sink)?;
                Ok(Outcome { n_boots: 2, ..second })
            }
            result => result,
        }
    }
}

/// A `--file` argument; a name without a slash is looked up in `PATH`.
fn guest_file(argument: &str) -> Result<GuestFile> {
    let (from, to) = match argument.split_once(':') {
        Some((from, to)) => (from, Some(to)),
        None => (argument, None),
    };
    let path = if from.contains('/') || PathBuf::from(from).exists() {
        PathBuf::from(from)
    } else {
        crate::process::which(from).with_context(|| format!("no program `{from}` in PATH"))?
    };
    let from = std::path::absolute(path)?;
    anyhow::ensure!(from.exists(), "no file `{}`", from.display());
    let to = to.map_or_else(|| from.clone(), PathBuf::from);
    anyhow::ensure!(
        to.is_absolute(),
        "`{}`: the path in the guest starts with a slash",
        to.display()
    );
    Ok(GuestFile { from, to })
}

/// The words as a shell reads them back.
pub(crate) fn quoted(words: &[String]) -> String {
    let words: Vec<_> = words
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_survive_the_shell() {
        let words = ["a b", "it's", "$x \"y\" \\"].map(str::to_owned);
        assert_eq!(quoted(&words), r#"'a b' 'it'\''s' '$x "y" \'"#);
    }

    #[test]
    fn a_file_has_a_place_in_the_guest() {
        let file = guest_file("/etc/passwd:/lab/users").unwrap();
        assert_eq!(
            file,
            GuestFile {
                from: "/etc/passwd".into(),
                to: "/lab/users".into()
            }
        );
        assert_eq!(
            guest_file("/etc/passwd").unwrap().to,
            PathBuf::from("/etc/passwd")
        );
        assert!(guest_file("/etc/passwd:users").is_err());
        assert!(guest_file("/no/such/file").is_err());
    }
}
