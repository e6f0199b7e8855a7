//! One small file, replaced as a whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;
use super::directory::{check_file, open_file};

/// How the name of a file ends that is about to replace another.
pub(super) const TEMPORARY: &str = "tmp";

/// Reads a file that [`write_toml`] wrote; `None` if there is none.
///
/// # Errors
///
/// If it cannot be read, or is not what was written.
pub fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    read_text(path)?.map(|text| from_text(path, &text)).transpose()
}

/// Reads a file of ours; `None` if there is none.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, StoreError> {
    let Some(mut file) = open_file(path, OpenOptions::new().read(true))? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .map_err(StoreError::io("read", path))?;
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|error| damaged(path, error.to_string()))
}

/// What the text of the file at `path` says.
pub(super) fn from_text<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, StoreError> {
    toml::from_str(text).map_err(|error| damaged(path, error.message().to_owned()))
}

/// What [`write_toml`] writes to the file at `path`.
pub(super) fn as_text<T: Serialize>(path: &Path, value: &T) -> Result<String, StoreError> {
    toml::to_string(value).map_err(|error| damaged(path, error.to_string()))
}

fn damaged(path: &Path, reason: String) -> StoreError {
    StoreError::Damaged {
        path: path.to_owned(),
        reason,
    }
}

/// Replaces the file at `path`: whoever reads it, and whatever fails, finds the old one or the new one whole.
///
/// # Errors
///
/// If it cannot be written; the old one stays.
pub fn write_toml<T: Serialize>(path: &Path, value: &T) -> Result<(), StoreError> {
    write_text(path, &as_text(path, value)?)
}

/// As [`write_toml`], with a text as it is.
pub(super) fn write_text(path: &Path, text: &str) -> Result<(), StoreError> {
    write_bytes(path, text.as_bytes())
}

/// As [`write_toml`], with bytes as they are.
pub(super) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    // Whatever somebody else has put there is left to be looked at.
    check_file(path)?;
    let temporary = path.with_added_extension(TEMPORARY);
    // A leftover of a command that was killed, or a link somebody planted: not to be written through.
    remove(&temporary)?;
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(StoreError::io("create", &temporary))
        .and_then(|mut file| {
            file.write_all(bytes)
                .and_then(|()| file.sync_all())
                .map_err(StoreError::io("write", &temporary))
        })
        .and_then(|()| rename(&temporary, path));
    if written.is_err() {
        // The error that stopped us is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Gives a file another name, for good.
fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(StoreError::io("replace", to))?;
    sync_directory(to)
}

/// Removes the file at `path`, if there is one. Not for what must not come back after a power cut.
///
/// # Errors
///
/// If there is one and it cannot be removed.
pub fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(StoreError::io("write", directory))
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A directory of this test alone, gone when dropped.
    pub(in crate::store) struct Directory(PathBuf);

    impl Directory {
        pub(in crate::store) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    pub(in crate::store) fn directory() -> Directory {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("shaper-store-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Directory(path)
    }

    #[test]
    fn a_file_reads_back_and_a_leftover_does_not_matter() {
        let directory = directory();
        let path = directory.path().join("x.toml");
        assert_eq!(read_toml::<BTreeMap<String, u32>>(&path).unwrap(), None);
        fs::write(directory.path().join("x.toml.tmp"), "half a fi").unwrap();
        let value = BTreeMap::from([("a".to_owned(), 1_u32)]);
        write_toml(&path, &value).unwrap();
        assert_eq!(read_toml(&path).unwrap(), Some(value));
        assert!(!directory.path().join("x.toml.tmp").exists());
        remove(&path).unwrap();
        remove(&path).unwrap();
    }

    #[test]
    fn a_damaged_file_is_named() {
        let directory = directory();
        let path = directory.path().join("x.toml");
        for bytes in [&b"a = "[..], b"\xff\xfe", b"a = \"text\""] {
            fs::write(&path, bytes).unwrap();
            let error = read_toml::<BTreeMap<String, u32>>(&path).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
            assert!(error.hint().unwrap().contains("x.toml.damaged"));
        }
    }

    #[test]
    fn a_link_in_place_of_the_temporary_file_is_not_followed() {
        let directory = directory();
        let victim = directory.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, directory.path().join("x.toml.tmp")).unwrap();
        write_toml(&directory.path().join("x.toml"), &BTreeMap::<String, u32>::new()).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }
}
