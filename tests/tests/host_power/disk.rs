//! A disk whose content at any moment is what a power cut would leave: a file system in a file. What the kernel has not
//! written yet is not in the file.

use shaper_tests::lab::host::run;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// ext4, and without its own precaution against programs that forget to write a file before they rename it. The journal is
/// written when somebody asks for it.
const OPTIONS: &str = "loop,noauto_da_alloc,commit=300";

/// What files contain.
pub(super) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A file system in a file in memory, seen by this thread's mount namespace only. Gone when dropped.
pub(super) struct Disk {
    dir: PathBuf,
    image: PathBuf,
}

/// Where a file system can be looked at, until this is dropped.
pub(super) struct Mounted(PathBuf);

impl Disk {
    /// An empty one, with room for files below `dir`.
    pub(super) fn new(dir: &Path) -> Self {
        let dir = dir.join("disk");
        fs::create_dir(&dir).unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "disk"]).arg(&dir));
        let image = dir.join("image");
        File::create(&image).unwrap().set_len(4 << 20).unwrap();
        run(Command::new("mke2fs")
            .args(["-q", "-t", "ext4", "-b", "1024", "-J", "size=1"])
            .arg(&image));
        Self { dir, image }
    }

    pub(super) fn mount(&self) -> Mounted {
        Mounted::of(&self.image, &self.dir.join("mounted"))
    }

    /// What a power cut would leave.
    pub(super) fn content(&self) -> Vec<u8> {
        fs::read(&self.image).unwrap()
    }

    /// A machine that boots with a disk of this content: another one.
    pub(super) fn boot(&self, content: &[u8]) -> Mounted {
        let image = self.dir.join("another");
        fs::write(&image, content).unwrap();
        Mounted::of(&image, &self.dir.join("booted"))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.dir).status();
        let _ = fs::remove_dir(&self.dir);
    }
}

impl Mounted {
    fn of(image: &Path, at: &Path) -> Self {
        fs::create_dir_all(at).unwrap();
        run(Command::new("mount").args(["-o", OPTIONS]).arg(image).arg(at));
        Self(at.to_owned())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Its files, with what is in them.
    pub(super) fn files(&self) -> Files {
        let (mut files, mut dirs) = (Files::new(), vec![self.0.clone()]);
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    files.insert(
                        path.strip_prefix(&self.0).unwrap().to_owned(),
                        fs::read(&path).unwrap(),
                    );
                }
            }
        }
        files
    }

    /// A file that has nothing to do with what is tried.
    pub(super) fn bystander(&self) -> Bystander {
        let path = self.0.join("bystander");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        Bystander(file.unwrap(), 0o600)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A child that another thread has just begun holds this process's files until it is a program of its own.
        const MAX_TRIES: u32 = 100;
        let is_away = |_: &u32| {
            Command::new("umount")
                .arg(&self.0)
                .status()
                .is_ok_and(|status| status.success())
        };
        let _ = (0..MAX_TRIES).find(is_away);
    }
}

/// A file that somebody else works with.
pub(super) struct Bystander(File, u32);

impl Bystander {
    /// Has it on the disk for good: with it goes whatever the journal holds, of any file. What other files contain stays
    /// where it is.
    pub(super) fn sync(&mut self) {
        self.1 ^= 0o060;
        self.0
            .set_permissions(fs::Permissions::from_mode(self.1))
            .unwrap();
        self.0.sync_all().unwrap();
    }
}
