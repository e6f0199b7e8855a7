//! A program that is looked at before and after each of its system calls that could reach a disk.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Calls that change files, or what of them is on the disk.
const CALLS: [libc::c_long; 12] = [
    libc::SYS_write,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_link,
    libc::SYS_linkat,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_mkdir,
];

/// How a stop before one of those calls is told, in place of a signal.
const BEFORE_A_CALL: i32 = libc::SIGTRAP | libc::PTRACE_EVENT_SECCOMP << 8;

/// Runs `command` to its end and calls `look` while it stands before or after one of those calls; its exit code. One
/// thread is looked at: the one that it begins with.
pub(super) fn at_each(command: &mut Command, mut look: impl FnMut()) -> i32 {
    // SAFETY: system calls only, with what is on the stack.
    unsafe {
        command.pre_exec(|| {
            checked(libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0))?;
            ask_for_stops()
        });
    }
    #[expect(clippy::zombie_processes, reason = "waited for by its number")]
    let child = command.spawn().unwrap();
    let pid = child.id().cast_signed();
    wait(pid);
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACESECCOMP;
    request(pid, libc::PTRACE_SETOPTIONS, options);
    let mut how = libc::PTRACE_CONT;
    loop {
        request(pid, how, 0);
        let status = wait(pid);
        if libc::WIFEXITED(status) {
            return libc::WEXITSTATUS(status);
        }
        assert!(libc::WIFSTOPPED(status), "ended by a signal");
        look();
        how = if status >> 8 == BEFORE_A_CALL {
            libc::PTRACE_SYSCALL
        } else {
            libc::PTRACE_CONT
        };
    }
}

/// From here on this process stops at those calls, and at no other: each stop costs two switches between processes.
fn ask_for_stops() -> io::Result<()> {
    let step = |code: u32, to: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt: to,
        jf: 0,
        k,
    };
    // The number of the call comes first in what a filter sees.
    let mut steps = [step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0); CALLS.len() + 3];
    for (n, call) in (0_u8..).zip(CALLS) {
        let n_calls = u8::try_from(CALLS.len()).unwrap_or_default();
        let is_it = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        steps[usize::from(n) + 1] = step(is_it, n_calls - n, u32::try_from(call).unwrap_or_default());
    }
    let verdict = libc::BPF_RET | libc::BPF_K;
    steps[CALLS.len() + 1] = step(verdict, 0, libc::SECCOMP_RET_ALLOW);
    steps[CALLS.len() + 2] = step(verdict, 0, libc::SECCOMP_RET_TRACE);
    let program = libc::sock_fprog {
        len: u16::try_from(steps.len()).unwrap_or_default(),
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the filter is read before the call returns.
    unsafe {
        checked(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into())?;
        checked(
            libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            )
            .into(),
        )
    }
}

fn checked(result: libc::c_long) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn wait(pid: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: a child of this thread.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
    assert_eq!(waited, pid, "{}", io::Error::last_os_error());
    status
}

fn request(pid: libc::pid_t, request: libc::c_uint, data: i32) {
    // SAFETY: requests without addresses.
    let done = unsafe { libc::ptrace(request, pid, 0, libc::c_long::from(data)) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
}
