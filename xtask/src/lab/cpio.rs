//! Writes cpio archives of the form that the kernel unpacks at boot ("newc").
//!
//! The kernel unpacks archives that follow one another, the later over the earlier.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// Folders that are links into `/usr`, as in Debian.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// An archive being written. Paths are absolute, as the guest sees them.
#[derive(Debug)]
pub(super) struct Archive<W> {
    out: W,
    written: u64,
    n_entries: u32,
    known: BTreeSet<PathBuf>,
}

impl<W: Write> Archive<W> {
    /// Starts an archive over what is `known` to be there already.
    pub(super) fn new(out: W, known: BTreeSet<PathBuf>) -> Self {
        Self {
            out,
            written: 0,
            n_entries: 0,
            known,
        }
    }

    /// Whether the guest has this path already.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.known.contains(&canonical(path))
    }

    /// Adds a folder, and those above it.
    pub(super) fn directory(&mut self, path: &Path) -> Result<()> {
        let path = canonical(path);
        if path.parent().is_none() || self.known.contains(&path) {
            return Ok(());
        }
        self.parents(&path)?;
        self.entry(&path, DIRECTORY | 0o755, &[])
    }

    /// Adds a link.
    pub(super) fn link(&mut self, path: &Path, to: &str) -> Result<()> {
        let path = canonical(path);
        self.parents(&path)?;
        self.entry(&path, LINK | 0o777, to.as_bytes())
    }

    /// Adds a file with this content.
    pub(super) fn file(&mut self, path: &Path, mode: u32, content: &[u8]) -> Result<()> {
        let path = canonical(path);
        self.parents(&path)?;
        self.entry(&path, FILE | mode, content)
    }

    /// Adds a file, link or folder of this machine, with all that is below it.
    pub(super) fn copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        let about = || format!("cannot copy `{}` into the guest", from.display());
        let metadata = fs::metadata(from).with_context(about)?;
        if metadata.is_dir() {
            self.directory(to)?;
            let mut names: Vec<_> = fs::read_dir(from)?
                .flatten()
                .map(|entry| entry.file_name())
                .collect();
            names.sort();
            for name in names {
                let inner = from.join(&name);
                if inner.is_symlink() {
                    let target = fs::read_link(&inner)?;
                    self.link(&to.join(name), &target.to_string_lossy())?;
                } else {
                    self.copy(&inner, &to.join(name))?;
                }
            }
            return Ok(());
        }
        let content = fs::read(from).with_context(about)?;
        self.file(to, metadata.permissions().mode() & 0o777, &content)
    }

    /// Ends the archive; returns the paths that are there now.
    pub(super) fn finish(mut self) -> Result<BTreeSet<PathBuf>> {
        self.header("TRAILER!!!", 0, 0)?;
        self.pad(512)?;
        self.out.flush()?;
        Ok(self.known)
    }

    fn parents(&mut self, path: &Path) -> Result<()> {
        path.parent().map_or(Ok(()), |parent| self.directory(parent))
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) -> Result<()> {
        let name = path
            .strip_prefix("/")
            .unwrap_or(path)
            .to_string_lossy()
            .into_owned();
        self.header(&name, mode, content.len())?;
        self.write(content)?;
        self.pad(4)?;
        self.known.insert(path.to_owned());
        Ok(())
    }

    fn header(&mut self, name: &str, mode: u32, size: usize) -> Result<()> {
        self.n_entries += 1;
        let size = u32::try_from(size).context("a file of 4 GiB or more does not fit a cpio archive")?;
        let n_links = if mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
        let name_size = u32::try_from(name.len() + 1)?;
        let mut header = b"070701".to_vec();
        // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
        for field in [
            self.n_entries,
            mode,
            0,
            0,
            n_links,
            0,
            size,
            0,
            0,
            0,
            0,
            name_size,
            0,
        ] {
            write!(header, "{field:08X}")?;
        }
        header.extend(name.as_bytes());
        header.push(0);
        self.write(&header)?;
        self.pad(4)
    }

    fn pad(&mut self, to: u64) -> Result<()> {
        let missing = self.written.next_multiple_of(to) - self.written;
        io::copy(&mut io::Read::take(io::repeat(0), missing), &mut self.out)?;
        self.written += missing;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

/// The path without the links `/bin`, `/sbin`, `/lib` and `/lib64`: the kernel does not follow them when it unpacks.
fn canonical(path: &Path) -> PathBuf {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let mut components = relative.components();
    let is_merged = components
        .next()
        .is_some_and(|first| MERGED.iter().any(|name| first.as_os_str() == *name));
    if is_merged && components.next().is_some() {
        Path::new("/usr").join(relative)
    } else {
        Path::new("/").join(relative)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_holds_a_file_and_the_folders_above_it() {
        let mut out = Vec::new();
        let mut archive = Archive::new(&mut out, BTreeSet::new());
        archive.file(Path::new("/lib/a"), 0o644, b"hello").unwrap();
        let known = archive.finish().unwrap();
        assert_eq!(
            known.into_iter().collect::<Vec<_>>(),
            ["/usr", "/usr/lib", "/usr/lib/a"].map(PathBuf::from)
        );
        assert_eq!(out.len() % 512, 0);
        let text = String::from_utf8_lossy(&out);
        assert!(text.starts_with("070701"));
        assert!(text.contains("usr/lib/a\0") && text.contains("hello") && text.contains("TRAILER!!!"));
    }

    #[test]
    fn a_merged_folder_itself_stays_a_link() {
        assert_eq!(canonical(Path::new("/bin")), Path::new("/bin"));
        assert_eq!(canonical(Path::new("/bin/sh")), Path::new("/usr/bin/sh"));
        assert_eq!(canonical(Path::new("/usr/bin/sh")), Path::new("/usr/bin/sh"));
    }
}
