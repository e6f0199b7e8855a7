//! A program that stops at each of its system calls, to be looked at, to be killed there, or to be told that the kernel
//! refuses.

pub mod call;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use libc::pid_t;

pub use call::{ALL_ERRNOS, ANSWERS, Call};

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Ended {
    /// Whether it failed, and the error says what could not be done, and why or what to do about it.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        let text = self.stderr.trim();
        let last = text.lines().rfind(|line| line.starts_with("shaper: "));
        let has_a_reason =
            text.contains("(os error ") || text.contains("\n  ") || text.contains("Unknown error 524");
        matches!(self.code, Some(1 | 3 | 5)) && has_a_reason && last.is_some_and(|line| line.len() > 24)
    }
}

/// Which call of a run it is: by what it is about, as the number of calls before it differs from run to run. What opens
/// several maps, say, does so in any order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The call, and the last part of the path that it is about, without numbers.
    pub what: String,
    /// How many calls like it there were, with this one.
    pub nth: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.what, self.nth)
    }
}

/// The program. Killed when dropped.
#[derive(Debug)]
pub struct Traced {
    pid: pid_t,
    is_in_a_call: bool,
    /// As `waitpid` says it.
    status: Option<i32>,
    stderr: std::fs::File,
    /// How many calls of each sort it has made.
    n_calls: BTreeMap<String, usize>,
    has_waited: bool,
}

impl Traced {
    /// Starts it, stopped before its first instruction.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let stderr = anonymous_file();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr.try_clone().unwrap());
        // SAFETY: one system call without addresses.
        unsafe {
            command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
        #[expect(clippy::zombie_processes, reason = "waited for by its number")]
        let child = command.spawn().unwrap();
        let pid = pid_t::try_from(child.id()).unwrap();
        let mut traced = Self {
            pid,
            is_in_a_call: false,
            status: None,
            stderr,
            n_calls: BTreeMap::new(),
            has_waited: false,
        };
        traced.wait();
        let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
        traced.request(libc::PTRACE_SETOPTIONS, options.into());
        traced
    }

    fn wait(&mut self) {
        let mut status = 0;
        // SAFETY: a child of this thread.
        let waited = unsafe { libc::waitpid(self.pid, &raw mut status, libc::__WALL) };
        assert_eq!(waited, self.pid, "{}", io::Error::last_os_error());
        if !libc::WIFSTOPPED(status) {
            self.status = Some(status);
        }
    }

    fn request(&self, request: libc::c_uint, data: libc::c_long) {
        // SAFETY: requests without addresses.
        let done = unsafe { libc::ptrace(request, self.pid, 0, data) };
        assert_eq!(done, 0, "{}", io::Error::last_os_error());
    }

    fn go_on(&mut self) {
        self.request(libc::PTRACE_SYSCALL, 0);
        self.wait();
        self.is_in_a_call = !self.is_in_a_call;
    }

    fn registers(&self) -> libc::user_regs_struct {
        let mut registers = std::mem::MaybeUninit::uninit();
        // SAFETY: room for all registers of a stopped child.
        unsafe {
            let done = libc::ptrace(libc::PTRACE_GETREGS, self.pid, 0, registers.as_mut_ptr());
            assert_eq!(done, 0, "{}", io::Error::last_os_error());
            registers.assume_init()
        }
    }

    fn set_registers(&self, registers: &libc::user_regs_struct) {
        // SAFETY: registers of a stopped child.
        let done = unsafe { libc::ptrace(libc::PTRACE_SETREGS, self.pid, 0, &raw const *registers) };
        assert_eq!(done, 0, "{}", io::Error::last_os_error());
    }

    /// Runs to the next system call, and stops before the kernel carries it out. `None` if it has ended. How often it
    /// asks for memory depends on where its memory happens to begin, so `brk` is passed over: nobody but the process
    /// could see what it does. So is what it looks at once it has begun to wait for something: how often depends on how
    /// long that takes.
    pub fn next_call(&mut self) -> Option<(Call, Place)> {
        let call = self.next_of_any_sort()?;
        let what = match self.path(&call) {
            Some(path) => format!("{call} of `{}`", without_numbers(&path)),
            None => call.to_string(),
        };
        let nth = self.n_calls.entry(what.clone()).or_default();
        *nth += 1;
        let place = Place { what, nth: *nth };
        Some((call, place))
    }

    fn next_of_any_sort(&mut self) -> Option<Call> {
        loop {
            if self.is_in_a_call && self.status.is_none() {
                self.go_on();
            }
            if self.status.is_none() {
                self.go_on();
            }
            if self.status.is_some() {
                return None;
            }
            let call = Call::of(&self.registers());
            assert!(
                !call.makes_a_thread(),
                "only one thread is followed, and it calls {call}"
            );
            self.has_waited |= call.waits();
            let is_repeated = self.has_waited && (call.waits() || call.only_looks());
            if !call.is_for_memory() && !is_repeated {
                return Some(call);
            }
        }
    }

    /// Runs to the call at `place`; whether there was one before it ended.
    pub fn run_to(&mut self, place: &Place) -> bool {
        while let Some((_, here)) = self.next_call() {
            if here == *place {
                return true;
            }
        }
        false
    }

    /// The path that `call`, at which it has stopped, is about.
    #[must_use]
    pub fn path(&self, call: &Call) -> Option<String> {
        let address = match call.attributes_with_a_path() {
            Some(attributes) => {
                let mut word = [0; 8];
                self.read(attributes, &mut word);
                u64::from_ne_bytes(word)
            }
            None => call.path()?,
        };
        let mut bytes = [0_u8; 256];
        self.read(address, &mut bytes);
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// Whether `call`, at which it has stopped, asks the network to change queues or filters.
    #[must_use]
    pub fn requests_a_change(&self, call: &Call) -> bool {
        // RTM_NEWQDISC, RTM_DELQDISC, RTM_NEWTFILTER, RTM_DELTFILTER.
        const CHANGES: [u16; 4] = [36, 37, 44, 45];
        let Some(request) = call.buffer().filter(|_| call.sends()) else {
            return false;
        };
        let mut kind = [0; 2];
        self.read(request + 4, &mut kind);
        CHANGES.contains(&u16::from_ne_bytes(kind))
    }

    /// What its memory holds at `address`; zeros from where it has none.
    fn read(&self, address: u64, bytes: &mut [u8]) {
        let local = libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        };
        let remote = libc::iovec {
            iov_base: std::ptr::with_exposed_provenance_mut(usize::try_from(address).unwrap()),
            iov_len: bytes.len(),
        };
        // SAFETY: as much room as is asked for; the other address is the child's, and checked by the kernel.
        unsafe { libc::process_vm_readv(self.pid, &raw const local, 1, &raw const remote, 1, 0) };
    }

    /// Lets the call it has stopped at fail, without being carried out.
    pub fn refuse(&mut self, errno: i32) {
        let mut registers = self.registers();
        // No such call.
        registers.orig_rax = u64::MAX;
        self.set_registers(&registers);
        self.go_on();
        let mut registers = self.registers();
        registers.rax = i64::from(-errno).cast_unsigned();
        self.set_registers(&registers);
    }

    /// Carries out the call it has stopped at, and says that it failed.
    pub fn deny(&mut self, errno: i32) {
        self.go_on();
        let mut registers = self.registers();
        registers.rax = i64::from(-errno).cast_unsigned();
        self.set_registers(&registers);
    }

    /// Lets the network answer the request that it is about to send with an error, without carrying it out: it goes out
    /// as a request of a kind that there is not, and of the answer the number of the error is changed.
    pub fn answer(&mut self, errno: i32) {
        const NO_SUCH_REQUEST: u16 = 0xfff0;
        const NLMSG_ERROR: u16 = 2;
        let Some(request) = Call::of(&self.registers()).buffer() else {
            panic!("no request in one piece");
        };
        self.write(request + 4, &NO_SUCH_REQUEST.to_ne_bytes());
        loop {
            let call = self.next_of_any_sort().expect("it waits for the answer");
            let Some(answer) = call.buffer().filter(|_| call.takes_an_answer()) else {
                continue;
            };
            self.go_on();
            let mut kind = [0; 2];
            self.read(answer + 4, &mut kind);
            assert_eq!(u16::from_ne_bytes(kind), NLMSG_ERROR, "the answer of the kernel");
            self.write(answer + 16, &(-errno).to_ne_bytes());
            return;
        }
    }

    /// Writes to its memory.
    fn write(&self, address: u64, bytes: &[u8]) {
        let local = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        let remote = libc::iovec {
            iov_base: std::ptr::with_exposed_provenance_mut(usize::try_from(address).unwrap()),
            iov_len: bytes.len(),
        };
        // SAFETY: as many bytes as there are; the other address is the child's, and checked by the kernel.
        let done = unsafe { libc::process_vm_writev(self.pid, &raw const local, 1, &raw const remote, 1, 0) };
        assert_eq!(done, bytes.len().cast_signed(), "{}", io::Error::last_os_error());
    }

    /// Runs to the end, unobserved.
    pub fn finish(mut self) -> Ended {
        if self.status.is_none() {
            self.request(libc::PTRACE_CONT, 0);
            self.wait();
        }
        assert!(self.status.is_some(), "stopped by a signal");
        let mut stderr = String::new();
        self.stderr.rewind().unwrap();
        self.stderr.read_to_string(&mut stderr).unwrap();
        let status = self.status.unwrap_or_default();
        let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
        Ended { code, stderr }
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if self.status.is_none() {
            // SAFETY: a child of this thread that has not been waited for.
            unsafe {
                libc::kill(self.pid, libc::SIGKILL);
                libc::waitpid(self.pid, std::ptr::null_mut(), libc::__WALL);
            }
        }
    }
}

/// The last part of a path, without what differs from run to run.
fn without_numbers(path: &str) -> String {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let mut text = String::new();
    for letter in name.chars() {
        match letter {
            '0'..='9' if text.ends_with('#') => {}
            '0'..='9' => text.push('#'),
            letter => text.push(letter),
        }
    }
    text
}

/// A file that nobody else sees.
fn anonymous_file() -> std::fs::File {
    // SAFETY: a string that ends in zero.
    let fd = unsafe { libc::memfd_create(c"stderr".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(fd.as_raw_fd() >= 0, "{}", io::Error::last_os_error());
    // SAFETY: a new descriptor that has no other owner.
    std::fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) })
}
