//! What somebody else may have put where our directories, files and pins belong.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use shaper_tests::alone::Server;

use super::{CONFIG, STRANGER};

/// What is done to a place before a command is run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trap {
    /// A link to what was there, which is as it should be.
    Link,
    /// A link that leads nowhere.
    LinkToNothing,
    /// A directory where a file should be, or the other way round.
    OtherKind,
    /// Something that whoever opens it waits for.
    Pipe,
    Socket,
    /// `/dev/null`.
    Device,
    /// It belongs to somebody else.
    Owner,
    /// Somebody else may write it.
    Mode(u32),
    /// Somebody else may put another directory in its place.
    ParentMode,
    /// The directory above belongs to somebody else.
    ParentOwner,
}

pub(super) const OF_DIRECTORIES: [Trap; 10] = [
    Trap::Link,
    Trap::LinkToNothing,
    Trap::OtherKind,
    Trap::Pipe,
    Trap::Owner,
    Trap::Mode(0o777),
    Trap::Mode(0o720),
    Trap::Mode(0o1777),
    Trap::ParentMode,
    Trap::ParentOwner,
];
pub(super) const OF_FILES: [Trap; 9] = [
    Trap::Link,
    Trap::LinkToNothing,
    Trap::OtherKind,
    Trap::Pipe,
    Trap::Socket,
    Trap::Device,
    Trap::Owner,
    Trap::Mode(0o666),
    Trap::Mode(0o620),
];
/// What can be done on a BPF file system.
pub(super) const OF_PINNED_DIRECTORIES: [Trap; 5] = [
    Trap::Link,
    Trap::LinkToNothing,
    Trap::Owner,
    Trap::Mode(0o777),
    Trap::Mode(0o750),
];

pub(super) fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

pub(super) fn remove(path: &Path) {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// Sets the trap at `path`; what was there is then at `aside`.
pub(super) fn set_trap(trap: Trap, path: &Path, aside: &Path) {
    let was_directory = path.is_dir();
    let parent = path.parent().unwrap();
    match trap {
        Trap::Owner => return chown(path, Some(STRANGER), None).unwrap(),
        Trap::Mode(mode) => return fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap(),
        Trap::ParentMode => return fs::set_permissions(parent, fs::Permissions::from_mode(0o777)).unwrap(),
        Trap::ParentOwner => return chown(parent, Some(STRANGER), None).unwrap(),
        _ => fs::rename(path, aside).unwrap(),
    }
    let make_node = |mode, device| {
        // SAFETY: a system call with a string that ends in zero.
        let made = unsafe { libc::mknod(c_path(path).as_ptr(), mode, device) };
        assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
    };
    match trap {
        Trap::Link => symlink(aside, path).unwrap(),
        Trap::LinkToNothing => symlink(aside.with_extension("nothing"), path).unwrap(),
        Trap::OtherKind if was_directory => fs::write(path, "precious").unwrap(),
        Trap::OtherKind => fs::create_dir(path).unwrap(),
        Trap::Pipe => make_node(libc::S_IFIFO | 0o600, 0),
        Trap::Device => make_node(libc::S_IFCHR | 0o600, libc::makedev(1, 3)),
        _ => drop(UnixListener::bind(path).unwrap()),
    }
}

/// Takes the trap at `path` away again.
pub(super) fn take_trap_away(path: &Path, aside: &Path) {
    let parent = path.parent().unwrap();
    chown(parent, Some(0), None).unwrap();
    if aside.symlink_metadata().is_ok() {
        remove(path);
        fs::rename(aside, path).unwrap();
    }
    chown(path, Some(0), None).unwrap();
    let mode = if path.is_dir() { 0o700 } else { 0o600 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_is_planted_is_what_the_names_say() {
    let server = Server::new(CONFIG);
    let (path, aside) = (server.dir().join("x"), server.dir().join("y"));
    for trap in OF_FILES {
        fs::write(&path, "x").unwrap();
        set_trap(trap, &path, &aside);
        let kind = path.symlink_metadata().unwrap().file_type();
        let is_so = match trap {
            Trap::Link | Trap::LinkToNothing => kind.is_symlink(),
            Trap::OtherKind => kind.is_dir(),
            Trap::Pipe => kind.is_fifo(),
            Trap::Socket => kind.is_socket(),
            Trap::Device => kind.is_char_device(),
            _ => kind.is_file(),
        };
        assert!(is_so, "{trap:?}");
        take_trap_away(&path, &aside);
        assert_eq!(fs::read_to_string(&path).unwrap(), "x");
    }
}
