//! `cargo xtask test`: the whole of what a change must pass.
//!
//! Layers, the fast ones first. All are run, even when one fails; a layer that ran no
//! test, skipped one or lost a test program has failed.

mod guests;
mod layer;
mod libtest;
mod programs;
mod systemd;

use std::process::{Command, ExitCode};
use std::sync::LazyLock;

use anyhow::Result;

use crate::cargo::cargo;
use crate::setup::{self, Kernel, Part};
use crate::{ebpf, process, tidy};

use layer::{Outcome, check, layer, stream};
use programs::Programs;

/// Run the tests: by default all of them, which is what CI does.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these layers.
    #[arg(value_enum, value_name = "LAYER")]
    layers: Vec<Layer>,
    /// Only guests with these kernels.
    #[arg(short, long, value_enum, num_args = 1..)]
    kernel: Vec<Kernel>,
    /// Only tests whose name contains this; without LAYER, only layers that have tests.
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// Only test programs whose name contains one of these.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    program: Vec<String>,
    /// A guest may take this many seconds.
    #[arg(long, value_name = "S", default_value_t = 3600)]
    timeout: u64,
}

impl Options {
    /// Whether most layers may be left without tests.
    fn is_selective(&self) -> bool {
        self.filter.is_some() || !self.program.is_empty()
    }
}

/// A kind of test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Layer {
    /// Rules about the source that no compiler knows.
    Tidy,
    /// Formatting.
    Fmt,
    /// Lints, for this machine and for the kernel program's own target.
    Clippy,
    /// Whether the checked-in object is what the source gives.
    Ebpf,
    /// Tests without a kernel.
    Unit,
    /// Tests in this machine's kernel, as root.
    Native,
    /// Tests in guests with each kernel.
    Lab,
    /// Tests in guests whose clock counts instructions.
    Icount,
    /// The package for Debian, and tests in a guest whose first process is systemd; with kernel 6.12 unless told otherwise.
    Systemd,
}

impl Layer {
    const ALL: [Self; 9] = [
        Self::Tidy,
        Self::Fmt,
        Self::Clippy,
        Self::Ebpf,
        Self::Unit,
        Self::Native,
        Self::Lab,
        Self::Icount,
        Self::Systemd,
    ];

    fn has_tests(self) -> bool {
        matches!(
            self,
            Self::Unit | Self::Native | Self::Lab | Self::Icount | Self::Systemd
        )
    }
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let layers: Vec<_> = Layer::ALL
        .into_iter()
        .filter(|layer| {
            if options.layers.is_empty() {
                layer.has_tests() || !options.is_selective()
            } else {
                options.layers.contains(layer)
            }
        })
        .collect();
    prepare(&layers, &options.kernel)?;
    let programs: Built = LazyLock::new(Box::new(|| programs::build(&options.program)));
    let mut outcomes = Vec::new();
    for layer in &layers {
        match layer {
            Layer::Tidy => outcomes.push(check("tidy", || Ok(tidy::check()?.1 == 0))),
            Layer::Fmt => outcomes.push(check("fmt", || {
                process::run_status(cargo().args(["fmt", "--all", "--", "--check"]))
            })),
            Layer::Clippy => {
                outcomes.push(check("clippy", host_clippy));
                outcomes.push(check("clippy of the kernel program", ebpf::clippy));
            }
            Layer::Ebpf => outcomes.push(check("ebpf", ebpf::check)),
            Layer::Unit => outcomes.push(unit(options)?),
            Layer::Native | Layer::Lab | Layer::Icount | Layer::Systemd => {}
        }
    }
    outcomes.extend(guests::all(options, &programs, &layers)?);
    Ok(summary(&outcomes, options.is_selective()))
}

/// Installs what these layers need before the first of them starts.
fn prepare(layers: &[Layer], chosen: &[Kernel]) -> Result<()> {
    if layers
        .iter()
        .any(|layer| [Layer::Clippy, Layer::Ebpf].contains(layer))
    {
        setup::need(&[Part::RustSrc, Part::Linker])?;
    }
    if layers.contains(&Layer::Native) {
        setup::need(&[Part::Packages])?;
    }
    if layers.contains(&Layer::Lab) || layers.contains(&Layer::Icount) {
        for kernel in kernels(chosen) {
            setup::need_kernel(kernel)?;
        }
    }
    if layers.contains(&Layer::Systemd) {
        systemd::prepare(chosen)?;
    }
    Ok(())
}

fn kernels(chosen: &[Kernel]) -> Vec<Kernel> {
    Kernel::ALL
        .into_iter()
        .filter(|kernel| chosen.is_empty() || chosen.contains(kernel))
        .collect()
}

fn host_clippy() -> Result<bool> {
    process::run_status(cargo().args([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-Dwarnings",
    ]))
}

/// The test programs, built when the first layer asks for them.
type Built<'a> = LazyLock<Result<Programs>, Box<dyn FnOnce() -> Result<Programs> + Send + 'a>>;

/// The test programs, or why there are none: then the layer has failed.
fn built<'a>(programs: &'a Built<'_>) -> Result<&'a Programs, String> {
    programs.as_ref().map_err(|error| format!("{error:#}"))
}

fn unit(options: &Options) -> Result<Outcome> {
    layer("unit", |tests| {
        let mut command = cargo();
        command.args([
            "test",
            "--no-fail-fast",
            "-p",
            "shaper-common",
            "-p",
            "shaper-user",
            "-p",
            "xtask",
            "--",
        ]);
        command.args(&options.filter);
        let status = stream(&mut command, tests)?;
        tests.end(status.success(), &status.to_string());
        Ok(())
    })
}

fn native(options: &Options, programs: &Built<'_>) -> Result<Outcome> {
    layer("native", |tests| {
        if !process::is_root() {
            tests.fail("only root can run these; try `sudo -E cargo xtask test native`");
            return Ok(());
        }
        let programs = built(programs).map_err(anyhow::Error::msg)?;
        for program in programs.named(&["native_", "host_"]) {
            tests.start(&program.name);
            let mut command = Command::new(&program.path);
            command
                .args(programs::arguments(options.filter.as_deref()))
                .envs(programs.environment());
            command.current_dir(process::workspace());
            let mut status = stream(&mut command, tests)?;
            if !status.success() && programs::has_second_try(&program.name) {
                tests.start_again(&program.name);
                status = stream(&mut command, tests)?;
            }
            tests.end(status.success(), &status.to_string());
        }
        Ok(())
    })
}

/// Says what failed, and at the very end the numbers.
fn summary(outcomes: &[Outcome], is_filtered: bool) -> ExitCode {
    let passed: usize = outcomes.iter().map(|outcome| outcome.passed).sum();
    let mut failures = Vec::new();
    for outcome in outcomes {
        let log = outcome
            .log
            .as_ref()
            .map_or_else(String::new, |log| format!(" (log: {})", log.display()));
        failures.extend(
            outcome
                .failures
                .iter()
                .map(|failure| format!("{}: {failure}{log}", outcome.name)),
        );
        // A filter leaves most layers empty; without one, an empty layer is one that was lost.
        if outcome.passed == 0 && outcome.failures.is_empty() && !is_filtered {
            failures.push(format!("{}: ran no test", outcome.name));
        }
    }
    for outcome in outcomes.iter().filter(|outcome| !outcome.second_tries.is_empty()) {
        println!(
            "{}: had a second try: {}",
            outcome.name,
            outcome.second_tries.join(", ")
        );
    }
    if passed == 0 && failures.is_empty() {
        failures.push("no layer ran a test".to_owned());
    }
    if !failures.is_empty() {
        println!("\nfailed:");
        for failure in &failures {
            println!("  {failure}");
        }
    }
    println!("\n{passed} passed, {} failed", failures.len());
    if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
