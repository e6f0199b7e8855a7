//! Directories and files that only we can write: whoever can write them can change the limits.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::StoreError;

/// Makes sure that `path` is a directory of root's or the user's own that nobody else can write.
///
/// # Errors
///
/// If it cannot be made, or is something else.
pub fn ensure_directory(path: &Path) -> Result<(), StoreError> {
    if !is_there(path) {
        let mut above = path.ancestors().skip(1);
        check_parents(above.find(|above| is_there(above)).unwrap_or(path))?;
        make_directory(path)?;
    }
    check_directory(path)
}

fn make_directory(path: &Path) -> Result<(), StoreError> {
    let parents = path.parent().map_or(Ok(()), |parent| {
        // Parents are shared with others, as /var/lib is.
        DirBuilder::new().recursive(true).mode(0o755).create(parent)
    });
    match parents.and_then(|()| DirBuilder::new().mode(0o700).create(path)) {
        // Another command was faster, or somebody else: it is looked at.
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(StoreError::io("make the directory", path)(error))
        }
        _ => Ok(()),
    }
}

/// Makes sure that `path`, if it is there, is a directory of root's or the user's own that nobody else can write, and
/// that nobody else can put another one in its place.
///
/// # Errors
///
/// If it is something else, or cannot be looked at.
pub(super) fn check_directory(path: &Path) -> Result<(), StoreError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::io("look at", path)(error)),
    };
    if !metadata.is_dir() {
        return Err(StoreError::NotADirectory {
            path: path.to_owned(),
        });
    }
    check_access(path, &metadata)?;
    check_parents(path.parent().unwrap_or(path))
}

/// Makes sure that nobody else can put another directory in the place of `path` or of one above it.
fn check_parents(path: &Path) -> Result<(), StoreError> {
    // Links are the system's own, as /var/run is; what counts is where they lead.
    let path = fs::canonicalize(path).map_err(StoreError::io("look at", path))?;
    for above in path.ancestors() {
        let metadata = fs::metadata(above).map_err(StoreError::io("look at", above))?;
        // In a sticky directory nobody can rename what is somebody else's.
        if metadata.mode() & 0o1000 == 0 {
            check_access(above, &metadata)?;
        }
    }
    Ok(())
}

/// Opens a file of ours without following a link or waiting for anybody; `None` if there is none and `options` make none.
///
/// # Errors
///
/// If it is no file, or one that somebody else can write.
pub(super) fn open_file(path: &Path, options: &mut OpenOptions) -> Result<Option<File>, StoreError> {
    let directory = path.parent().unwrap_or(path);
    check_directory(directory)?;
    let not_a_file = || StoreError::NotAFile {
        path: path.to_owned(),
    };
    // Looked at before it is opened: opening a device may do something.
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Err(not_a_file()),
        _ => {}
    }
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = match options.mode(0o600).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Err(not_a_file()),
        Err(error) => return Err(StoreError::io("open", path)(error)),
    };
    let metadata = file.metadata().map_err(StoreError::io("look at", path))?;
    if !metadata.is_file() {
        return Err(not_a_file());
    }
    check_access(path, &metadata)?;
    Ok(Some(file))
}

/// Makes sure that `path`, if it is there, is a file that nobody else can write.
pub(super) fn check_file(path: &Path) -> Result<(), StoreError> {
    open_file(path, OpenOptions::new().read(true)).map(drop)
}

/// Whether something stands at `path`, be it a link that leads nowhere.
pub(super) fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).map_or_else(|error| error.kind() != ErrorKind::NotFound, |_| true)
}

/// Only root and the user may own it or write it.
fn check_access(path: &Path, metadata: &Metadata) -> Result<(), StoreError> {
    let user = current_user()?;
    if metadata.uid() != user && metadata.uid() != 0 {
        return Err(StoreError::Owner {
            path: path.to_owned(),
            owner: metadata.uid(),
            user,
        });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(StoreError::Writable {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

/// Who runs this process, which is also whose `/proc/self` is.
fn current_user() -> Result<u32, StoreError> {
    let path = Path::new("/proc/self");
    Ok(fs::metadata(path).map_err(StoreError::io("look at", path))?.uid())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::store::file::tests::directory;

    #[test]
    fn a_missing_directory_is_made_for_us_alone() {
        let parent = directory();
        let path = parent.path().join("a/b");
        ensure_directory(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        ensure_directory(&path).unwrap();
    }

    #[test]
    fn what_others_can_write_and_what_is_no_directory_is_refused() {
        let parent = directory();
        let open = parent.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(
            ensure_directory(&open),
            Err(StoreError::Writable { mode: 0o770, .. })
        ));

        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let inside = open.join("a/b");
        assert!(matches!(
            ensure_directory(&inside),
            Err(StoreError::Writable { mode: 0o777, .. })
        ));
        assert!(!open.join("a").exists());
        fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
        ensure_directory(&inside).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(
            check_directory(&inside),
            Err(StoreError::Writable { mode: 0o777, .. })
        ));

        let link = parent.path().join("link");
        symlink(parent.path(), &link).unwrap();
        assert!(matches!(
            ensure_directory(&link),
            Err(StoreError::NotADirectory { .. })
        ));
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(
            ensure_directory(&file),
            Err(StoreError::NotADirectory { .. })
        ));
    }
}
