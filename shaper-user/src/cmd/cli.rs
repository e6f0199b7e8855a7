//! What can be typed: the global options and the list of commands.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use super::{Context, Failure, Format, Verbosity};
use super::{
    apply, check, completions, confirm, diff, doctor, down, exempt, get, import, kernel_log, list, man,
    monitor, reload, save, set, status, unset, up, watch,
};
use crate::paths::{self, Paths};
use crate::view::Unit;

/// Limits how fast this server sends to each client: by delaying packets, not by dropping them.
#[derive(Debug, clap::Parser)]
#[command(
    name = "shaper",
    version,
    about,
    max_term_width = 100,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of every command")]
struct Global {
    /// Interfaces, separated by commas: for `up`, `status` and `doctor`.
    #[arg(
        short,
        long = "interface",
        value_name = "IFACE",
        value_delimiter = ',',
        global = true
    )]
    interfaces: Vec<String>,
    /// How results are written.
    #[arg(
        short,
        long,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        global = true
    )]
    output: Format,
    /// Rates in bits per second.
    #[arg(long, global = true, conflicts_with = "bytes")]
    bits: bool,
    /// Rates in bytes per second.
    #[arg(long, global = true)]
    bytes: bool,
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", env = "SHAPER_CONFIG", default_value = paths::CONFIG, global = true)]
    config: PathBuf,
    /// Say nothing but results and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say every step.
    #[arg(short, long, global = true)]
    verbose: bool,
    /// When to colour; NO_COLOR is honoured.
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", global = true)]
    color: Color,
    /// Where program, links and maps are pinned.
    #[arg(long, value_name = "DIR", env = "SHAPER_BPFFS_DIR", default_value = paths::BPFFS, global = true, hide_short_help = true)]
    bpffs_dir: PathBuf,
    /// Where the lock and the running policy are kept.
    #[arg(long, value_name = "DIR", env = "SHAPER_RUN_DIR", default_value = paths::RUN, global = true, hide_short_help = true)]
    run_dir: PathBuf,
    /// Where the rules of `shaper set` are kept.
    #[arg(long, value_name = "DIR", env = "SHAPER_STATE_DIR", default_value = paths::STATE, global = true, hide_short_help = true)]
    state_dir: PathBuf,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    fn is_on(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && std::io::stdout().is_terminal()
            }
        }
    }
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(visible_aliases = ["show", "ls"])]
    List(list::Args),
    Get(get::Args),
    Set(set::Args),
    #[command(visible_aliases = ["del", "rm"])]
    Unset(unset::Args),
    Exempt(exempt::Args),
    Check(check::Args),
    Diff(diff::Args),
    Apply(apply::Args),
    Confirm(confirm::Args),
    Save(save::Args),
    Import(import::Args),
    Reload(reload::Args),
    Up(up::Args),
    Down(down::Args),
    Status(status::Args),
    Doctor(doctor::Args),
    Monitor(monitor::Args),
    Watch(watch::Args),
    Completions(completions::Args),
    Man(man::Args),
    #[command(hide = true)]
    KernelLog(kernel_log::Args),
}

impl Cli {
    /// What the global options mean.
    #[must_use]
    pub fn context(&self) -> Context {
        let global = &self.global;
        Context {
            paths: Paths {
                bpffs: global.bpffs_dir.clone(),
                run: global.run_dir.clone(),
                state: global.state_dir.clone(),
                config: global.config.clone(),
            },
            interfaces: global.interfaces.clone(),
            format: global.output,
            unit: if global.bytes { Unit::Bytes } else { Unit::Bits },
            verbosity: match (global.quiet, global.verbose) {
                (true, _) => Verbosity::Quiet,
                (_, true) => Verbosity::Verbose,
                _ => Verbosity::Normal,
            },
            is_coloured: global.color.is_on(),
        }
    }

    /// Runs the command; results go to `out`.
    pub(super) fn run(&self, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
        refuse_relative(&context.paths)?;
        self.refuse_interfaces()?;
        match &self.command {
            Command::List(args) => list::run(args, context, out),
            Command::Get(args) => get::run(args, context, out),
            Command::Set(args) => set::run(args, context, out),
            Command::Unset(args) => unset::run(args, context, out),
            Command::Exempt(args) => exempt::run(args, context, out),
            Command::Check(args) => check::run(args, context, out),
            Command::Diff(args) => diff::run(args, context, out),
            Command::Apply(args) => apply::run(args, context, out),
            Command::Confirm(args) => confirm::run(args, context, out),
            Command::Save(args) => save::run(args, context, out),
            Command::Import(args) => import::run(args, context, out),
            Command::Reload(args) => reload::run(args, context, out),
            Command::Up(args) => up::run(args, context, out),
            Command::Down(args) => down::run(args, context, out),
            Command::Status(args) => status::run(args, context, out),
            Command::Doctor(args) => doctor::run(args, context, out),
            Command::Monitor(args) => monitor::run(args, context, out),
            Command::Watch(args) => watch::run(args, context, out),
            Command::Completions(args) => completions::run(args, context, out),
            Command::Man(args) => man::run(args, context, out),
            Command::KernelLog(args) => kernel_log::run(args, context, out),
        }
    }

    /// `-i` means something to commands about interfaces; elsewhere it would seem to narrow what it does not.
    fn refuse_interfaces(&self) -> Result<(), Failure> {
        let is_about_interfaces = matches!(
            self.command,
            Command::Up(_) | Command::Status(_) | Command::Doctor(_)
        );
        if is_about_interfaces || self.global.interfaces.is_empty() {
            return Ok(());
        }
        Err(Failure::Usage {
            message: "`-i` is for `up`, `status` and `doctor`".to_owned(),
            hint: Some("leave it out: the rules hold for all interfaces together".to_owned()),
        })
    }
}

/// A place that depends on where a command was started is another one for the monitor and after a reboot.
fn refuse_relative(paths: &Paths) -> Result<(), Failure> {
    for (option, path) in [
        ("--bpffs-dir", &paths.bpffs),
        ("--run-dir", &paths.run),
        ("--state-dir", &paths.state),
    ] {
        if !path.is_absolute() {
            return Err(Failure::Usage {
                message: format!("`{}` is no absolute path", path.display()),
                hint: Some(format!(
                    "begin {option} (or its environment variable) with a slash"
                )),
            });
        }
    }
    Ok(())
}
