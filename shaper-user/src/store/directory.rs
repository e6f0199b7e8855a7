//! Directorys that only we can write: whoever can write them can change the limits.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use super::StoreError;

/// Makes sure that `path` is a directory of root's or the user's own that nobody else can write.
///
/// # Errors
///
/// If it cannot be made, or is something else.
pub fn ensure_directory(path: &Path) -> Result<(), StoreError> {
    match DirBuilder::new().recursive(false).mode(0o700).create(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Parents are shared with others, as /var/lib is.
            let parent = path.parent().unwrap_or(path);
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(parent)
                .and_then(|()| DirBuilder::new().mode(0o700).create(path))
                .map_err(StoreError::io("make the directory", path))?;
            return Ok(());
        }
        Err(error) => return Err(StoreError::io("make the directory", path)(error)),
    }
    let metadata = fs::symlink_metadata(path).map_err(StoreError::io("look at", path))?;
    if !metadata.is_dir() {
        return Err(StoreError::NotADirectory {
            path: path.to_owned(),
        });
    }
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
