//! Which system call it is, what of its doing can be refused, and with which error.

use std::fmt;

use libc::{
    EACCES, EAGAIN, EBUSY, EDQUOT, EEXIST, EINTR, EINVAL, EIO, EMFILE, ENFILE, ENOBUFS, ENOLCK, ENOMEM,
    ENOSPC, EPERM, EROFS, c_long,
};

/// The kernel's ENOTSUPP, which is not meant to reach user space but does.
const ENOTSUPP: i32 = 524;

/// A system call that is about to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    number: c_long,
    arguments: [u64; 6],
}

/// The calls of a change by name; where it has one, the argument that is the address of a path.
const NAMES: [(c_long, &str, Option<usize>); 46] = [
    (libc::SYS_bind, "bind", None),
    (libc::SYS_bpf, "bpf", None),
    (libc::SYS_brk, "brk", None),
    (libc::SYS_clone, "clone", None),
    (libc::SYS_clone3, "clone3", None),
    (libc::SYS_close, "close", None),
    (libc::SYS_connect, "connect", None),
    (libc::SYS_epoll_create1, "epoll_create1", None),
    (libc::SYS_epoll_ctl, "epoll_ctl", None),
    (libc::SYS_epoll_wait, "epoll_wait", None),
    (libc::SYS_fcntl, "fcntl", None),
    (libc::SYS_fdatasync, "fdatasync", None),
    (libc::SYS_flock, "flock", None),
    (libc::SYS_fork, "fork", None),
    (libc::SYS_fstat, "fstat", None),
    (libc::SYS_fsync, "fsync", None),
    (libc::SYS_ftruncate, "ftruncate", None),
    (libc::SYS_getdents64, "getdents64", None),
    (libc::SYS_getsockname, "getsockname", None),
    (libc::SYS_ioctl, "ioctl", None),
    (libc::SYS_lseek, "lseek", None),
    (libc::SYS_mkdir, "mkdir", Some(0)),
    (libc::SYS_mmap, "mmap", None),
    (libc::SYS_munmap, "munmap", None),
    (libc::SYS_newfstatat, "newfstatat", Some(1)),
    (libc::SYS_openat, "openat", Some(1)),
    (libc::SYS_perf_event_open, "perf_event_open", None),
    (libc::SYS_pread64, "pread64", None),
    (libc::SYS_read, "read", None),
    (libc::SYS_readlink, "readlink", Some(0)),
    (libc::SYS_recvfrom, "recvfrom", None),
    (libc::SYS_recvmsg, "recvmsg", None),
    (libc::SYS_rename, "rename", Some(0)),
    (libc::SYS_rmdir, "rmdir", Some(0)),
    (libc::SYS_rt_sigaction, "rt_sigaction", None),
    (libc::SYS_sendmsg, "sendmsg", None),
    (libc::SYS_sendto, "sendto", None),
    (libc::SYS_setsockopt, "setsockopt", None),
    (libc::SYS_socket, "socket", None),
    (libc::SYS_socketpair, "socketpair", None),
    (libc::SYS_statfs, "statfs", Some(0)),
    (libc::SYS_statx, "statx", Some(1)),
    (libc::SYS_unlink, "unlink", Some(0)),
    (libc::SYS_unlinkat, "unlinkat", Some(1)),
    (libc::SYS_vfork, "vfork", None),
    (libc::SYS_write, "write", None),
];

/// Commands of `bpf` by number.
const BPF: [&str; 36] = [
    "MAP_CREATE",
    "MAP_LOOKUP_ELEM",
    "MAP_UPDATE_ELEM",
    "MAP_DELETE_ELEM",
    "MAP_GET_NEXT_KEY",
    "PROG_LOAD",
    "OBJ_PIN",
    "OBJ_GET",
    "PROG_ATTACH",
    "PROG_DETACH",
    "PROG_TEST_RUN",
    "PROG_GET_NEXT_ID",
    "MAP_GET_NEXT_ID",
    "PROG_GET_FD_BY_ID",
    "MAP_GET_FD_BY_ID",
    "OBJ_GET_INFO_BY_FD",
    "PROG_QUERY",
    "RAW_TRACEPOINT_OPEN",
    "BTF_LOAD",
    "BTF_GET_FD_BY_ID",
    "TASK_FD_QUERY",
    "MAP_LOOKUP_AND_DELETE_ELEM",
    "MAP_FREEZE",
    "BTF_GET_NEXT_ID",
    "MAP_LOOKUP_BATCH",
    "MAP_LOOKUP_AND_DELETE_BATCH",
    "MAP_UPDATE_BATCH",
    "MAP_DELETE_BATCH",
    "LINK_CREATE",
    "LINK_UPDATE",
    "LINK_GET_FD_BY_ID",
    "LINK_GET_NEXT_ID",
    "ENABLE_STATS",
    "ITER_CREATE",
    "LINK_DETACH",
    "PROG_BIND_MAP",
];

/// With what the network answers a request that it does not carry out.
pub const ANSWERS: [i32; 7] = [
    EPERM,
    ENOMEM,
    EBUSY,
    EINVAL,
    libc::ENODEV,
    libc::ENOLINK,
    libc::EOPNOTSUPP,
];

/// Every error that any of the calls may give. ENOENT and EWOULDBLOCK are left out: they are answers, not refusals.
pub const ALL_ERRNOS: [i32; 18] = [
    EPERM,
    EINTR,
    EIO,
    libc::E2BIG,
    EAGAIN,
    ENOMEM,
    EACCES,
    EBUSY,
    EEXIST,
    EINVAL,
    ENFILE,
    EMFILE,
    ENOSPC,
    EROFS,
    ENOLCK,
    ENOBUFS,
    EDQUOT,
    ENOTSUPP,
];

impl Call {
    pub(super) fn of(registers: &libc::user_regs_struct) -> Self {
        Self {
            number: c_long::try_from(registers.orig_rax).unwrap_or(-1),
            arguments: [
                registers.rdi,
                registers.rsi,
                registers.rdx,
                registers.r10,
                registers.r8,
                registers.r9,
            ],
        }
    }

    pub(super) fn makes_a_thread(&self) -> bool {
        let those = [libc::SYS_clone, libc::SYS_clone3, libc::SYS_fork, libc::SYS_vfork];
        those.contains(&self.number)
    }

    pub(super) fn is_for_memory(&self) -> bool {
        self.number == libc::SYS_brk
    }

    fn known(&self) -> Option<&'static (c_long, &'static str, Option<usize>)> {
        NAMES.iter().find(|(number, ..)| *number == self.number)
    }

    fn bpf_command(&self) -> Option<&'static str> {
        let index = usize::try_from(self.arguments[0]).ok()?;
        BPF.get(index).filter(|_| self.number == libc::SYS_bpf).copied()
    }

    /// The address of what begins with the address of the path that it is about.
    pub(super) fn attributes_with_a_path(&self) -> Option<u64> {
        let command = self.bpf_command()?;
        ["OBJ_PIN", "OBJ_GET"]
            .contains(&command)
            .then_some(self.arguments[1])
    }

    /// The address of the path that it is about.
    pub(super) fn path(&self) -> Option<u64> {
        Some(self.arguments[self.known()?.2?])
    }

    /// Whether it waits for time to pass.
    pub(super) fn waits(&self) -> bool {
        self.number == libc::SYS_epoll_wait
    }

    /// The address of what it sends, or of the room for what it receives.
    pub(super) fn buffer(&self) -> Option<u64> {
        let calls = [libc::SYS_sendto, libc::SYS_recvfrom];
        calls.contains(&self.number).then_some(self.arguments[1])
    }

    /// Whether it receives something, and does not only look how long it is.
    pub(super) fn takes_an_answer(&self) -> bool {
        self.number == libc::SYS_recvfrom && self.arguments[3] & libc::MSG_PEEK as u64 == 0
    }

    /// Whether it gives a descriptor back, which it does whatever it says.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.number == libc::SYS_close
    }

    /// Whether it gives the descriptor back that `earlier` gave back, too.
    #[must_use]
    pub fn closes_again(&self, earlier: &Self) -> bool {
        self.closes() && earlier.closes() && earlier.arguments[0] == self.arguments[0]
    }

    /// Whether it gives the directory back that `earlier` lists.
    #[must_use]
    pub fn closes_listed(&self, earlier: &Self) -> bool {
        self.closes() && earlier.number == libc::SYS_getdents64 && earlier.arguments[0] == self.arguments[0]
    }

    /// Whether it attaches or detaches a program, or replaces one that is attached.
    #[must_use]
    pub fn attaches(&self) -> bool {
        let command = self.bpf_command();
        command
            .is_some_and(|name| name.starts_with("LINK_") || ["PROG_ATTACH", "PROG_DETACH"].contains(&name))
    }

    /// Whether it sends something to the kernel's network.
    #[must_use]
    pub fn sends(&self) -> bool {
        [libc::SYS_sendto, libc::SYS_sendmsg].contains(&self.number)
    }

    /// What the kernel may answer instead of carrying it out, by its manual page and its sources: a few for each call,
    /// and none for calls that are about neither bpf, nor the network, nor files, or whose answer nobody awaits.
    #[must_use]
    pub fn errnos(&self) -> &'static [i32] {
        if let Some(command) = self.bpf_command() {
            return bpf_errnos(command);
        }
        self.other_errnos()
    }

    /// Whether it changes nothing that would still be there without the process.
    #[must_use]
    pub fn only_looks(&self) -> bool {
        let looks = [
            libc::SYS_read,
            libc::SYS_pread64,
            libc::SYS_readlink,
            libc::SYS_getdents64,
            libc::SYS_statx,
            libc::SYS_newfstatat,
            libc::SYS_fstat,
            libc::SYS_statfs,
            libc::SYS_lseek,
            libc::SYS_mmap,
            libc::SYS_recvfrom,
            libc::SYS_recvmsg,
        ];
        match self.bpf_command() {
            Some(command) => ["OBJ_GET", "MAP_LOOKUP", "MAP_GET_NEXT", "PROG_QUERY"]
                .iter()
                .any(|look| command.starts_with(look)),
            None => looks.contains(&self.number),
        }
    }

    /// Whether it reads on where `earlier` has stopped.
    #[must_use]
    pub fn reads_on(&self, earlier: &Self) -> bool {
        self.number == libc::SYS_read
            && earlier.number == libc::SYS_read
            && self.arguments[0] == earlier.arguments[0]
    }

    fn other_errnos(&self) -> &'static [i32] {
        match self.number {
            libc::SYS_openat if self.arguments[2] & libc::O_CREAT as u64 != 0 => {
                &[EACCES, EMFILE, ENOSPC, EROFS]
            }
            libc::SYS_openat => &[EACCES, EMFILE, EIO],
            libc::SYS_read | libc::SYS_pread64 => &[EIO, EINTR],
            libc::SYS_write => &[ENOSPC, EIO, EINTR],
            libc::SYS_fsync | libc::SYS_fdatasync => &[EIO, ENOSPC],
            libc::SYS_ftruncate | libc::SYS_lseek | libc::SYS_getdents64 => &[EIO],
            libc::SYS_rename => &[EIO, ENOSPC, EROFS, EPERM],
            libc::SYS_unlink | libc::SYS_unlinkat | libc::SYS_rmdir => &[EIO, EROFS, EPERM],
            libc::SYS_mkdir => &[EACCES, ENOSPC, EROFS],
            libc::SYS_statx
            | libc::SYS_newfstatat
            | libc::SYS_fstat
            | libc::SYS_statfs
            | libc::SYS_readlink => &[EACCES, ENOMEM],
            libc::SYS_flock => &[ENOLCK, EINTR],
            // A mapping of a file; others are memory.
            libc::SYS_mmap if self.arguments[3] & libc::MAP_ANONYMOUS as u64 == 0 => &[ENOMEM, EPERM],
            libc::SYS_socket => &[EACCES, EMFILE, ENOBUFS],
            libc::SYS_bind
            | libc::SYS_connect
            | libc::SYS_getsockname
            | libc::SYS_setsockopt
            | libc::SYS_sendto
            | libc::SYS_sendmsg => &[EPERM, ENOBUFS],
            libc::SYS_recvfrom | libc::SYS_recvmsg => &[ENOBUFS, ENOMEM, EINTR],
            libc::SYS_perf_event_open => &[EACCES, EMFILE],
            libc::SYS_fcntl => &[EMFILE, ENOMEM],
            libc::SYS_ioctl => &[EPERM, EIO],
            libc::SYS_close => &[EIO, EINTR, ENOSPC],
            _ => &[],
        }
    }
}

fn bpf_errnos(command: &str) -> &'static [i32] {
    match command {
        "MAP_CREATE" => &[EPERM, ENOMEM, EINVAL],
        "MAP_UPDATE_ELEM" => &[EPERM, ENOMEM, EBUSY, libc::E2BIG],
        "MAP_DELETE_ELEM" => &[EPERM, EBUSY],
        "MAP_LOOKUP_BATCH" => &[ENOMEM, ENOSPC, ENOTSUPP],
        "MAP_UPDATE_BATCH" => &[ENOMEM, EBUSY, libc::E2BIG, ENOTSUPP],
        "MAP_DELETE_BATCH" => &[ENOMEM, EBUSY, ENOTSUPP],
        "PROG_LOAD" => &[EPERM, ENOMEM, EINVAL, libc::E2BIG],
        "OBJ_PIN" => &[EPERM, ENOSPC, EEXIST],
        "OBJ_GET" => &[EACCES, EMFILE, ENOMEM],
        "LINK_CREATE" | "LINK_UPDATE" | "PROG_ATTACH" => &[EPERM, ENOMEM, EBUSY],
        _ => &[EPERM, ENOMEM],
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.bpf_command(), self.known()) {
            (Some(command), _) => write!(formatter, "bpf({command})"),
            (None, Some((_, name, _))) => write!(formatter, "{name}"),
            (None, None) => write!(formatter, "system call {}", self.number),
        }
    }
}
