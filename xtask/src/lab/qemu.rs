//! Runs QEMU for as long as the guest's command takes, and says why when a guest dies.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::process::{self, TempDir, with_suffix};
use crate::setup::KernelFiles;

use super::frames::Frames;
use super::{Guest, debian, initramfs};

/// The exit code of a guest that took too long, as of `timeout`.
const TIMED_OUT: u8 = 124;

/// A guest that is not up by then never will be: emulated processors that boot at once can lose each other.
const BOOT: Duration = Duration::from_mins(4);

/// A clock that the kernel distrusts half way would spoil a measurement; devices that modules make
/// unasked would be in every network namespace.
const KERNEL_OPTIONS: &str = "console=ttyS0 quiet panic=-1 oops=panic tsc=reliable no_timer_check log_buf_len=4M \
    cryptomgr.notests=1 fb_tunnels=none bonding.max_bonds=0 dummy.numdummies=0 ifb.numifbs=0";

/// What became of a guest.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The script's exit code, or 124.
    pub(crate) code: u8,
    /// The guest's console; kept only if the code is not zero.
    pub(crate) console: PathBuf,
    /// How often it was booted before the script began.
    pub(crate) n_boots: u32,
}

/// Boots a guest and waits for its end.
pub(super) fn run(guest: &Guest, kernel: &KernelFiles, sink: &mut dyn FnMut(&[u8])) -> Result<Outcome> {
    let (base, paths) = initramfs::base(kernel, guest.has_systemd)?;
    let dir = TempDir::new("shaper-lab")?;
    let token = dir
        .path()
        .file_name()
        .context("a temporary folder has a name")?
        .to_string_lossy()
        .into_owned();
    let run = dir.path().join("run.cpio");
    initramfs::write_run(&run, paths, &guest.files, &script(guest), &token)?;
    let initrd = dir.path().join("initrd");
    let mut joined = File::create(&initrd)?;
    for part in [&base, &run] {
        io::copy(&mut File::open(part)?, &mut joined)?;
    }
    drop(joined);
    let logs = process::workspace().join("target/lab");
    fs::create_dir_all(&logs)?;
    let console = logs.join(format!("{token}-{}.console", guest.kernel.name()));
    let errors = with_suffix(&console, ".qemu");

    let started = Instant::now();
    let mut child = command(guest, kernel, &initrd, &console)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&errors)?)
        .spawn()
        .context("cannot start QEMU; run `cargo xtask setup packages`")?;
    let mut output = child.stdout.take().context("QEMU has no output")?;
    let child = Arc::new(Mutex::new(child));
    let is_up = Arc::new(AtomicBool::new(false));
    let (done, watchdog) = watch(Arc::clone(&child), Arc::clone(&is_up), guest.timeout);

    let mut frames = Frames::new(&token);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n_bytes = output.read(&mut buffer).context("cannot read QEMU's output")?;
        if n_bytes == 0 {
            break;
        }
        let was_up = frames.boot.is_some();
        sink(&frames.take(&buffer[..n_bytes]));
        if let (false, Some(up)) = (was_up, &frames.boot) {
            is_up.store(true, Ordering::Relaxed);
            let waited = started.elapsed().as_secs_f32();
            let mode = if guest.icount {
                ", counting instructions"
            } else {
                ""
            };
            eprintln!(
                "lab: kernel {} is up after {waited:.1} s ({up} s in the guest{mode})",
                guest.kernel.name()
            );
        }
    }
    drop(done);
    let timed_out = watchdog.join().is_ok_and(|timed_out| timed_out);
    let status = child.lock().map_or(None, |mut child| child.wait().ok());

    let code = match frames.exit {
        Some(code) => code,
        None if timed_out && frames.boot.is_none() => bail!(
            "the guest was not up after {} s; its console is in {}",
            started.elapsed().as_secs(),
            console.display()
        ),
        None if timed_out => {
            eprintln!(
                "lab: the guest took longer than {} s and was stopped",
                guest.timeout.as_secs()
            );
            TIMED_OUT
        }
        None => bail!(
            "{}",
            death(&console, &errors, status.map(|status| status.to_string()))
        ),
    };
    warn_of_noise(&console);
    let _ = fs::remove_file(&errors);
    if code == 0 {
        let _ = fs::remove_file(&console);
    }
    Ok(Outcome {
        code,
        console,
        n_boots: 1,
    })
}

/// The script with its environment.
fn script(guest: &Guest) -> String {
    let icount = if guest.icount {
        "export SHAPER_ICOUNT=1\n"
    } else {
        ""
    };
    format!(
        "export SHAPER_LAB=1 SHAPER_KERNEL={} RUST_BACKTRACE=1\n{icount}cd /root\n{}",
        guest.kernel.name(),
        guest.script
    )
}

fn command(guest: &Guest, kernel: &KernelFiles, initrd: &Path, console: &Path) -> Command {
    // setpriv: the guest must not outlive us, however we end.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if guest.icount {
        // Its clock does not mind if others run first.
        command.args(["nice", "-n", "10"]);
    }
    command.arg("qemu-system-x86_64");
    if guest.icount {
        command.args([
            "-accel",
            "tcg",
            "-icount",
            "shift=0,sleep=off",
            "-smp",
            "1",
            "-rtc",
            "base=utc,clock=vm",
        ]);
    } else {
        command.args([
            "-accel",
            "tcg,thread=multi",
            "-smp",
            &guest.smp.to_string(),
            "-rtc",
            "base=utc",
        ]);
    }
    // Without cx16: QEMU 7.2's emulation of cmpxchg16b crashes 6.12 guests under load.
    command.args(["-cpu", "max,-cx16", "-m", &guest.mem_mib.to_string()]);
    command.args([
        "-display",
        "none",
        "-monitor",
        "none",
        "-nic",
        "none",
        "-no-reboot",
        "-no-user-config",
    ]);
    command.arg("-serial").arg(format!("file:{}", console.display()));
    command.args([
        "-chardev",
        "stdio,id=command,signal=off",
        "-serial",
        "chardev:command",
    ]);
    command
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(initrd);
    let systemd = if guest.has_systemd {
        debian::KERNEL_OPTIONS
    } else {
        ""
    };
    command.args(["-append", &format!("{KERNEL_OPTIONS}{systemd}")]);
    command
}

/// Ends QEMU when the time is up, or the time to boot. The thread returns whether it had to.
fn watch(
    child: Arc<Mutex<Child>>,
    is_up: Arc<AtomicBool>,
    timeout: Duration,
) -> (mpsc::Sender<()>, thread::JoinHandle<bool>) {
    let (done, is_done) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let is_over = |time| is_done.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
        let boot = BOOT.min(timeout);
        let timed_out =
            is_over(boot) && (!is_up.load(Ordering::Relaxed) || is_over(timeout.saturating_sub(boot)));
        if timed_out && let Ok(mut child) = child.lock() {
            let _ = child.kill();
        }
        timed_out
    });
    (done, thread)
}

/// Why a guest ended without its command's exit code.
fn death(console: &Path, errors: &Path, status: Option<String>) -> String {
    let text = String::from_utf8_lossy(&fs::read(console).unwrap_or_default()).into_owned();
    let lines: Vec<_> = text.lines().collect();
    let panic = lines
        .iter()
        .position(|line| line.contains("Kernel panic") || line.contains("Oops:"));
    let what = match panic {
        Some(_) => "the guest's kernel panicked".to_owned(),
        None => format!(
            "QEMU ended before the command did ({})",
            status.unwrap_or_default()
        ),
    };
    let errors = fs::read_to_string(errors).unwrap_or_default();
    let from = panic.unwrap_or(lines.len()).min(lines.len().saturating_sub(30));
    format!(
        "{what}; its console is in {}\n{errors}{}",
        console.display(),
        lines[from..].join("\n")
    )
}

/// Says so when the kernel complained while the command ran.
fn warn_of_noise(console: &Path) {
    let text = String::from_utf8_lossy(&fs::read(console).unwrap_or_default()).into_owned();
    let complaints = [
        "WARNING: CPU",
        "BUG: ",
        "rcu: INFO: rcu_",
        "soft lockup",
        "blocked for more than",
    ];
    for line in text
        .lines()
        .filter(|line| complaints.iter().any(|complaint| line.contains(complaint)))
        .take(5)
    {
        eprintln!("lab: the guest's kernel complained: {}", line.trim());
    }
}
