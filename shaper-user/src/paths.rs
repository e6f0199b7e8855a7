//! Where shaper keeps its things. Flags and environment move all of them, so that tests and network namespaces
//! do not collide.

use std::path::PathBuf;

/// The four places shaper touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Pinned program, links and maps.
    pub bpffs: PathBuf,
    /// Lock and running policy; gone after a reboot.
    pub run: PathBuf,
    /// Rules of `shaper set`; kept across reboots.
    pub state: PathBuf,
    /// The operator's configuration; never written.
    pub config: PathBuf,
}

/// Default of [`Paths::bpffs`].
pub const BPFFS: &str = "/sys/fs/bpf/shaper";
/// Default of [`Paths::run`].
pub const RUN: &str = "/run/shaper";
/// Default of [`Paths::state`].
pub const STATE: &str = "/var/lib/shaper";
/// Default of [`Paths::config`].
pub const CONFIG: &str = "/etc/shaper/shaper.toml";

impl Default for Paths {
    fn default() -> Self {
        Self {
            bpffs: BPFFS.into(),
            run: RUN.into(),
            state: STATE.into(),
            config: CONFIG.into(),
        }
    }
}
