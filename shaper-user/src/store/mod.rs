//! Files of shaper's own, and the lock that every change holds.
//!
//! A change is written ahead: `policy.next`, then the kernel, then `rules.toml`, then `policy.next` becomes
//! `policy.toml`. Whatever kills a command, the next one finds either the old state, or `policy.next` and the
//! means to finish.

mod directory;
mod file;
mod lock;
mod policies;

use std::path::PathBuf;

pub use directory::ensure_directory;
pub use file::{read_toml, remove, write_toml};
pub use lock::Lock;
pub use policies::{Brief, Facts, Kept, Policies, Running, Trial, as_configuration};
/// For what the data plane remembers: it names serde nowhere else.
pub use serde::{Deserialize, Serialize};

/// Why a file of ours cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refuses.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A symbolic link or a file stands where a directory should.
    #[error("`{}` is not a directory", path.display())]
    NotADirectory {
        /// What stands there.
        path: PathBuf,
    },
    /// A link, a directory, a pipe or a device stands where a file should.
    #[error("`{}` is not a regular file", path.display())]
    NotAFile {
        /// What stands there.
        path: PathBuf,
    },
    /// Somebody else could change the limits.
    #[error("`{}` belongs to user {owner}, not to root or to user {user}", path.display())]
    Owner {
        /// The directory or the file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who runs this command.
        user: u32,
    },
    /// As [`Owner`](Self::Owner).
    #[error("`{}` can be written by others (mode {mode:04o})", path.display())]
    Writable {
        /// The directory or the file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Not what we wrote.
    #[error("`{}` is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl StoreError {
    fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Its name in JSON.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => "privilege",
            Self::Io { .. } => "file",
            Self::NotAFile { .. } => "unsafe_file",
            Self::NotADirectory { .. } | Self::Owner { .. } | Self::Writable { .. } => "unsafe_directory",
            Self::Damaged { .. } => "damaged_file",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => Some("run it as root".to_owned()),
                std::io::ErrorKind::StorageFull => Some("free some space".to_owned()),
                _ => None,
            },
            Self::NotADirectory { path } | Self::NotAFile { path } => {
                Some(format!("look at it, then remove it: `rm -r {}`", path.display()))
            }
            Self::Owner { path, .. } => Some(format!(
                "look into it, then remove it or take it over: `chown root: {}`",
                path.display()
            )),
            Self::Writable { path, .. } => Some(format!("`chmod go-w {}`", path.display())),
            Self::Damaged { path, .. } => Some(format!(
                "move it away (`mv {0} {0}.damaged`) and run `shaper reload`",
                path.display()
            )),
        }
    }
}
