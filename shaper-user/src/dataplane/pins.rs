//! Where pins stand: `<bpffs>/v<layout>/`, a directory of ours alone, made whole or not at all.
//!
//! What the pins hold is left to others.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use shaper_common::names::{LAYOUT_VERSION, PINNED_MAPS};

use super::bpf;
use super::directory::{check_directory, entries, is_bpffs, make_directory, remove_directory, unlink};
use super::error::DataplaneError;

/// Pin of the log ring of aya-log, which all interfaces share.
const LOGS: &str = "AYA_LOGS";

/// The maps that all interfaces share, by name, each with a pin of that name.
pub(super) fn shared_maps() -> impl Iterator<Item = &'static str> {
    PINNED_MAPS.into_iter().chain([LOGS])
}

/// How the names of pins and directories begin that are about to get their own, or have lost it.
const DRAFT: &str = "new_";

/// The directory that holds the directories of all layout versions.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
}

/// The directory of one layout version.
#[derive(Clone, Debug)]
pub(super) struct Pins {
    dir: PathBuf,
}

impl Root {
    /// The directory at `path`, known to be on a BPF file system and nobody else's. `None` if there is none.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, DataplaneError> {
        match fs::symlink_metadata(path) {
            Ok(_) => {
                check_directory(path)?;
                Ok(Some(Self {
                    path: path.to_owned(),
                }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DataplaneError::kernel(
                format!("look into `{}`", path.display()),
                error,
            )),
        }
    }

    /// As [`open`](Self::open), but makes the directory if there is none.
    pub(super) fn create(path: &Path) -> Result<Self, DataplaneError> {
        if let Some(root) = Self::open(path)? {
            return Ok(root);
        }
        let parent = path.parent().unwrap_or(Path::new("/"));
        if !is_bpffs(parent)? {
            return Err(DataplaneError::NoBpffs {
                path: path.to_owned(),
            });
        }
        make_directory(path)?;
        check_directory(path)?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// The pins of the present layout, if they are there.
    pub(super) fn pins(&self) -> Result<Option<Pins>, DataplaneError> {
        let dir = self.path.join(version_name(LAYOUT_VERSION));
        match fs::symlink_metadata(&dir) {
            Ok(_) => {
                check_directory(&dir)?;
                Ok(Some(Pins { dir }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DataplaneError::kernel(
                format!("look into `{}`", dir.display()),
                error,
            )),
        }
    }

    /// An empty directory to build pins in, until [`publish`](Self::publish) gives it its name.
    pub(super) fn draft(&self) -> Result<Pins, DataplaneError> {
        let draft = Pins {
            dir: self.path.join(format!("new_{}", version_name(LAYOUT_VERSION))),
        };
        draft.remove()?;
        make_directory(&draft.dir)?;
        Ok(draft)
    }

    /// Gives a finished draft its name, in one step.
    pub(super) fn publish(&self, draft: &Pins) -> Result<Pins, DataplaneError> {
        let dir = self.path.join(version_name(LAYOUT_VERSION));
        fs::rename(&draft.dir, &dir)
            .map_err(|error| DataplaneError::kernel(format!("rename `{}`", draft.dir.display()), error))?;
        Ok(Pins { dir })
    }

    /// The pins of every layout but the present one, drafts included.
    pub(super) fn others(&self) -> Result<Vec<Pins>, DataplaneError> {
        let present = version_name(LAYOUT_VERSION);
        let mut others: Vec<Pins> = entries(&self.path)?
            .into_iter()
            .filter(|name| *name != present && is_version_name(name))
            .map(|name| Pins {
                dir: self.path.join(name),
            })
            .collect();
        others.sort_by(|a, b| a.dir.cmp(&b.dir));
        others.iter().try_for_each(|other| check_directory(&other.dir))?;
        Ok(others)
    }

    /// Removes the directory if nothing is left in it.
    pub(super) fn remove(&self) -> Result<bool, DataplaneError> {
        remove_directory(&self.path)
    }
}

impl Pins {
    /// Where they stand.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a pin stands or will stand.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Opens a pin, if it is there.
    pub(super) fn open(&self, name: &str) -> Result<Option<OwnedFd>, DataplaneError> {
        let path = self.path(name);
        // The kernel would follow a link, wherever it leads.
        match fs::symlink_metadata(&path) {
            Ok(metadata) if !metadata.is_file() => {
                return Err(DataplaneError::ForeignPin {
                    path,
                    problem: "it is no pin, but a link or a directory".into(),
                });
            }
            _ => {}
        }
        match bpf::open_pin(&path) {
            Ok(fd) => Ok(Some(fd)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Err(DataplaneError::ForeignPin {
                path,
                problem: "it is no program, map or link".into(),
            }),
            Err(error) => Err(DataplaneError::kernel(
                format!("open the pin `{}`", path.display()),
                error,
            )),
        }
    }

    /// Pins `fd` under `name`, in place of what may be there.
    pub(super) fn put(&self, name: &str, fd: BorrowedFd<'_>) -> Result<(), DataplaneError> {
        // Built beside and renamed over, so that a reader finds the one or the other.
        let path = self.path(name);
        let beside = self.path(&format!("{DRAFT}{name}"));
        unlink(&beside)?;
        bpf::pin(fd, &beside)
            .map_err(|error| DataplaneError::kernel(format!("pin `{}`", path.display()), error))?;
        fs::rename(&beside, &path).map_err(|error| {
            // A link that stays pinned stays attached. The first error is the one to report.
            let _ = unlink(&beside);
            DataplaneError::kernel(format!("rename `{}`", beside.display()), error)
        })
    }

    /// Takes a pin away, if it is there.
    pub(super) fn take_away(&self, name: &str) -> Result<(), DataplaneError> {
        unlink(&self.path(name))
    }

    /// Takes away what a [`put`](Self::put) that was cut short has left.
    pub(super) fn take_drafts_away(&self) -> Result<(), DataplaneError> {
        let names = self.names()?;
        let mut drafts = names.iter().filter(|name| name.starts_with(DRAFT));
        drafts.try_for_each(|name| self.take_away(name))
    }

    /// Moves a pin here from `other`, in one step.
    pub(super) fn adopt(&self, other: &Self, name: &str) -> Result<(), DataplaneError> {
        fs::rename(other.path(name), self.path(name)).map_err(|error| {
            DataplaneError::kernel(format!("rename `{}`", other.path(name).display()), error)
        })
    }

    /// Gives a pin another name, in one step.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), DataplaneError> {
        fs::rename(self.path(from), self.path(to))
            .map_err(|error| DataplaneError::kernel(format!("rename `{}`", self.path(from).display()), error))
    }

    /// The names of all pins.
    pub(super) fn names(&self) -> Result<Vec<String>, DataplaneError> {
        entries(&self.dir)
    }

    /// Interfaces that have a pinned link or program, by name.
    pub(super) fn interfaces(&self) -> Result<Vec<String>, DataplaneError> {
        let mut names: Vec<String> = self
            .names()?
            .iter()
            .filter_map(|name| name.strip_prefix("prog_").or_else(|| name.strip_prefix("link_")))
            .map(decode)
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Removes the directory with all its pins. Whoever still holds an object keeps it.
    pub(super) fn remove(&self) -> Result<(), DataplaneError> {
        if fs::symlink_metadata(&self.dir).is_err() {
            return Ok(());
        }
        check_directory(&self.dir)?;
        // Programs and links first: no packet meets a policy that is half gone.
        let is_of_interface = |name: &&String| name.starts_with("link_") || name.starts_with("prog_");
        let names = self.names()?;
        names
            .iter()
            .filter(is_of_interface)
            .try_for_each(|name| self.take_away(name))?;
        // Nobody takes the rest for whole if this is cut short: a draft is made anew.
        let rest = self.become_draft()?;
        rest.names()?.iter().try_for_each(|name| rest.take_away(name))?;
        remove_directory(&rest.dir).map(drop)
    }

    fn become_draft(&self) -> Result<Self, DataplaneError> {
        let name = self.dir.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(DRAFT) {
            return Ok(self.clone());
        }
        let draft = Self {
            dir: self.dir.with_file_name(format!("{DRAFT}{name}")),
        };
        draft.remove()?;
        fs::rename(&self.dir, &draft.dir)
            .map_err(|error| DataplaneError::kernel(format!("rename `{}`", self.dir.display()), error))?;
        Ok(draft)
    }
}

/// Pin of an interface's program.
pub(super) fn program_pin(interface: &str) -> String {
    format!("prog_{}", encode(interface))
}

/// Pin of an interface's link.
pub(super) fn link_pin(interface: &str) -> String {
    format!("link_{}", encode(interface))
}

/// An interface's name without dots, which bpffs keeps for itself.
fn encode(interface: &str) -> String {
    interface.replace('%', "%25").replace('.', "%2e")
}

fn decode(name: &str) -> String {
    name.replace("%2e", ".").replace("%25", "%")
}

fn version_name(version: u64) -> String {
    format!("v{version}")
}

fn is_version_name(name: &str) -> bool {
    name.strip_prefix("new_")
        .unwrap_or(name)
        .strip_prefix('v')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests;
