//! A place for pins that is the test's own.

#![allow(
    clippy::missing_panics_doc,
    clippy::new_without_default,
    reason = "a world that cannot be made is a failed test"
)]

use std::ffi::CString;
use std::path::{Path, PathBuf};

use shaper_user::dataplane::Dataplane;
use shaper_user::paths::Paths;

/// A BPF file system that only this thread sees, gone when dropped.
#[derive(Debug)]
pub struct World {
    dir: PathBuf,
}

impl World {
    /// Mounts it.
    #[must_use]
    pub fn new() -> Self {
        let dir = std::env::temp_dir().join(format!(
            "shaper-plane-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::create_dir_all(&dir).unwrap();
        let path = CString::new(dir.to_str().unwrap()).unwrap();
        // SAFETY: system calls with strings that end in zero.
        unsafe {
            assert_eq!(
                libc::unshare(libc::CLONE_NEWNS),
                0,
                "{}",
                std::io::Error::last_os_error()
            );
            let private = libc::MS_REC | libc::MS_PRIVATE;
            assert_eq!(
                libc::mount(
                    c"none".as_ptr(),
                    c"/".as_ptr(),
                    std::ptr::null(),
                    private,
                    std::ptr::null()
                ),
                0
            );
            let mounted = libc::mount(
                c"bpf".as_ptr(),
                path.as_ptr(),
                c"bpf".as_ptr(),
                0,
                std::ptr::null(),
            );
            assert_eq!(mounted, 0, "{}", std::io::Error::last_os_error());
        }
        Self { dir }
    }

    /// Where it is mounted.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Directories in it.
    #[must_use]
    pub fn paths(&self) -> Paths {
        Paths {
            bpffs: self.dir.join("shaper"),
            run: self.dir.join("run"),
            ..Paths::default()
        }
    }

    /// The maps, with nothing in them.
    #[must_use]
    pub fn up(&self) -> Dataplane {
        Dataplane::create_or_open(&self.paths()).unwrap().0
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let path = CString::new(self.dir.to_str().unwrap()).unwrap();
        // SAFETY: a string that ends in zero.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        let _ = std::fs::remove_dir(&self.dir);
    }
}
