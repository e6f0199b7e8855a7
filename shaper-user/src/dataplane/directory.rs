//! Directories on a BPF file system that nobody else can change.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use super::error::{DataplaneError, NOT_A_DIRECTORY};

/// `BPF_FS_MAGIC`.
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

/// Whether `path` is on a BPF file system; `false` if there is nothing.
pub(super) fn is_bpffs(path: &Path) -> Result<bool, DataplaneError> {
    use std::os::unix::ffi::OsStrExt;
    let doing = || format!("look into `{}`", path.display());
    let c_path = std::ffi::CString::new(path.as_os_str().as_bytes())
        .map_err(|_| DataplaneError::kernel(doing(), io::ErrorKind::InvalidInput.into()))?;
    // SAFETY: an all-zero `statfs` is valid, and `statfs` fills it from a string that ends in zero.
    let (result, stat) = unsafe {
        let mut stat: libc::statfs = std::mem::zeroed();
        (libc::statfs(c_path.as_ptr(), &raw mut stat), stat)
    };
    if result == 0 {
        // The field is signed or not, and narrower or wider, as the C library has it.
        return Ok(i128::from(stat.f_type) == i128::from(BPF_FS_MAGIC));
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::NotFound {
        return Ok(false);
    }
    Err(DataplaneError::kernel(doing(), error))
}

pub(super) fn check_directory(path: &Path) -> Result<(), DataplaneError> {
    let unsafe_because = |problem: String| {
        Err(DataplaneError::UnsafeDirectory {
            path: path.to_owned(),
            problem,
        })
    };
    let metadata = fs::symlink_metadata(path)
        .map_err(|error| DataplaneError::kernel(format!("look into `{}`", path.display()), error))?;
    // SAFETY: takes no argument and cannot fail.
    let user = unsafe { libc::geteuid() };
    if !metadata.is_dir() {
        return unsafe_because(NOT_A_DIRECTORY.into());
    }
    // To somebody else, what root has made is not dangerous but out of reach.
    if metadata.uid() == 0 && user != 0 {
        return Err(DataplaneError::Privilege {
            action: format!("use `{}`, which belongs to root", path.display()),
        });
    }
    if metadata.uid() != user {
        return unsafe_because(format!(
            "it belongs to user {}, not to user {user}",
            metadata.uid()
        ));
    }
    if metadata.mode() & 0o077 != 0 {
        return unsafe_because(format!(
            "others may enter it (mode {:o})",
            metadata.mode() & 0o7777
        ));
    }
    if !is_bpffs(path)? {
        return Err(DataplaneError::NoBpffs {
            path: path.to_owned(),
        });
    }
    Ok(())
}

pub(super) fn make_directory(path: &Path) -> Result<(), DataplaneError> {
    DirBuilder::new()
        .mode(0o700)
        .create(path)
        .map_err(|error| DataplaneError::kernel(format!("make the directory `{}`", path.display()), error))
}

/// `false` if something is left in it.
pub(super) fn remove_directory(path: &Path) -> Result<bool, DataplaneError> {
    match fs::remove_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        Err(error) => Err(DataplaneError::kernel(
            format!("remove `{}`", path.display()),
            error,
        )),
    }
}

pub(super) fn unlink(path: &Path) -> Result<(), DataplaneError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(DataplaneError::kernel(
            format!("remove the pin `{}`", path.display()),
            error,
        )),
    }
}

pub(super) fn entries(dir: &Path) -> Result<Vec<String>, DataplaneError> {
    let refused = |error| DataplaneError::kernel(format!("list `{}`", dir.display()), error);
    fs::read_dir(dir)
        .map_err(refused)?
        .map(|entry| Ok(entry.map_err(refused)?.file_name().to_string_lossy().into_owned()))
        .collect()
}
