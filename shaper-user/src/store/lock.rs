//! The lock: one change at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::directory::open_file;
use super::{StoreError, ensure_directory};

/// Held as long as it lives; the kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// How long nobody is told that there is something to wait for.
const PATIENCE: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(20);

impl Lock {
    /// Waits for the lock in directory `run`. After a second `tell` is told who has it.
    ///
    /// # Errors
    ///
    /// If the directory or the lock file cannot be made, or is not ours.
    pub fn take(run: &Path, tell: impl FnOnce(&str)) -> Result<Self, StoreError> {
        ensure_directory(run)?;
        let path = run.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let Some(mut file) = open_file(&path, &mut options)? else {
            return Err(StoreError::io("make", &path)(ErrorKind::NotFound.into()));
        };
        if !try_for(&file, PATIENCE).map_err(StoreError::io("lock", &path))? {
            let mut holder = String::new();
            // Who it is only makes the message better.
            let _ = file.read_to_string(&mut holder);
            let holder = if holder.is_empty() {
                "another shaper"
            } else {
                holder.trim()
            };
            tell(&format!(
                "waiting for {holder}, which holds the lock `{}`",
                path.display()
            ));
            file.lock().map_err(StoreError::io("lock", &path))?;
        }
        let name = std::env::args().nth(1).unwrap_or_default();
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "process {} (shaper {name})", std::process::id()));
        Ok(Self { _file: file })
    }
}

fn try_for(file: &File, patience: Duration) -> Result<bool, std::io::Error> {
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if waited >= patience => return Ok(false),
            Err(TryLockError::WouldBlock) => sleep(STEP),
        }
        waited += STEP;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::file::tests::directory;

    #[test]
    fn a_second_taker_waits_and_is_told_for_whom() {
        let directory = directory();
        let run = directory.path().join("run");
        let first = Lock::take(&run, |_| panic!("nothing to wait for")).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let waiter = std::thread::spawn({
            let run = run.clone();
            move || Lock::take(&run, |text| sender.send(text.to_owned()).unwrap()).map(drop)
        });
        let told = receiver.recv().unwrap();
        assert!(
            told.contains(&format!("process {}", std::process::id())),
            "{told}"
        );
        drop(first);
        waiter.join().unwrap().unwrap();
    }

    #[test]
    fn a_link_in_place_of_the_lock_is_not_followed() {
        let directory = directory();
        std::os::unix::fs::symlink("/etc/passwd", directory.path().join("lock")).unwrap();
        assert!(matches!(
            Lock::take(directory.path(), |_| {}),
            Err(StoreError::NotAFile { .. })
        ));
    }
}
