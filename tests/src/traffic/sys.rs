//! The system calls that `std` lacks, each in a function that is safe to call.

mod receive;

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use libc::{c_int, c_void};

pub(crate) use receive::{Received, receive};

fn checked(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

fn length(size: usize) -> u32 {
    u32::try_from(size).expect("sizes of kernel structures are small")
}

fn family(family: c_int) -> libc::sa_family_t {
    family.try_into().expect("families are small numbers")
}

/// Moves the calling thread into a network namespace.
pub(crate) fn enter(netns: RawFd) -> io::Result<()> {
    // SAFETY: takes a descriptor and a flag; an invalid descriptor is an error.
    checked(unsafe { libc::setns(netns, libc::CLONE_NEWNET) }).map(drop)
}

/// Keeps the calling thread on one processor.
pub(crate) fn stay_on_cpu(cpu: usize) -> io::Result<()> {
    // SAFETY: a `cpu_set_t` is plain bits.
    let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the set is initialised; the macro checks the index.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the set outlives the call and its size is given.
    checked(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) }).map(drop)
}

/// Time of a clock in nanoseconds.
pub(crate) fn clock_ns(clock: c_int) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure outlives the call.
    checked(unsafe { libc::clock_gettime(clock, &raw mut time) }).expect("the clock exists");
    nanoseconds(time)
}

fn nanoseconds(time: libc::timespec) -> u64 {
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// Waits until the monotonic clock says `until_ns`.
pub(crate) fn wait_until(until_ns: u64) {
    let time = libc::timespec {
        tv_sec: (until_ns / 1_000_000_000).cast_signed(),
        tv_nsec: (until_ns % 1_000_000_000).cast_signed(),
    };
    // SAFETY: the structure outlives the call; no remainder is asked for.
    unsafe {
        libc::clock_nanosleep(
            libc::CLOCK_MONOTONIC,
            libc::TIMER_ABSTIME,
            &raw const time,
            ptr::null_mut(),
        )
    };
}

/// Sets a socket option.
pub(crate) fn set_option<T: Copy>(
    socket: &impl AsRawFd,
    level: c_int,
    name: c_int,
    value: T,
) -> io::Result<()> {
    // SAFETY: the value outlives the call and its size is given.
    checked(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast::<c_void>(),
            length(size_of::<T>()),
        )
    })
    .map(drop)
}

/// Makes a receive buffer as large as any test needs, whatever the system's limit.
pub(crate) fn receive_much(socket: &impl AsRawFd) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 256_i32 << 20)
}

/// Makes a blocking call on the socket end after `timeout`.
pub(crate) fn receive_for(socket: &impl AsRawFd, timeout: Duration) -> io::Result<()> {
    let time = libc::timeval {
        tv_sec: timeout.as_secs().cast_signed(),
        tv_usec: timeout.subsec_micros().into(),
    };
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVTIMEO, time)?;
    set_option(socket, libc::SOL_SOCKET, libc::SO_SNDTIMEO, time)
}

/// A socket that sees every frame of interface `name`, and may send any.
pub(crate) fn packet_socket(name: &str) -> io::Result<OwnedFd> {
    let protocol = u16::try_from(libc::ETH_P_ALL)
        .expect("a protocol has 16 bits")
        .to_be();
    // SAFETY: takes plain numbers.
    let fd = checked(unsafe {
        libc::socket(
            libc::AF_PACKET,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            protocol.into(),
        )
    })?;
    // SAFETY: the descriptor was just opened and has no other owner.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let address = link_address(name, protocol)?;
    // SAFETY: the address outlives the call and its size is given.
    checked(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            length(size_of::<libc::sockaddr_ll>()),
        )
    })?;
    Ok(socket)
}

fn link_address(name: &str, protocol: u16) -> io::Result<libc::sockaddr_ll> {
    let c_name = std::ffi::CString::new(name)?;
    // SAFETY: the name ends with zero and outlives the call.
    let index = unsafe { libc::if_nametoindex(c_name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all zero is a valid address.
    let mut address: libc::sockaddr_ll = unsafe { MaybeUninit::zeroed().assume_init() };
    address.sll_family = family(libc::AF_PACKET);
    address.sll_protocol = protocol;
    address.sll_ifindex = index.cast_signed();
    Ok(address)
}

/// Opens the tun or tap device `name`, as `flags` say, and makes it if need be; it has a carrier as long as this is open.
pub(crate) fn tun(name: &str, flags: i32) -> io::Result<OwnedFd> {
    /// `TUNSETIFF`.
    const SET_INTERFACE: u64 = 0x4004_54ca;
    let tun = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    // SAFETY: all zero is a valid request.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    for (to, from) in request
        .ifr_name
        .iter_mut()
        .zip(name.bytes().take(libc::IFNAMSIZ - 1))
    {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = i16::try_from(flags | libc::IFF_NO_PI).expect("flags have 16 bits");
    // SAFETY: the request outlives the call and is what this command takes.
    checked(unsafe { libc::ioctl(tun.as_raw_fd(), SET_INTERFACE, &raw const request) })?;
    Ok(tun.into())
}

/// Sends a whole frame from a packet socket.
pub(crate) fn send_frame(socket: &impl AsRawFd, frame: &[u8]) -> io::Result<()> {
    // SAFETY: the frame outlives the call and its size is given.
    let sent = unsafe { libc::send(socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Sends `payload` to `destination`, to leave at `departure_ns` of the clock that `SO_TXTIME` named.
pub(crate) fn send_at(
    socket: &impl AsRawFd,
    destination: SocketAddr,
    payload: &[u8],
    departure_ns: u64,
) -> io::Result<()> {
    let (mut address, address_len) = socket_address(destination);
    let mut control = [0_u64; 4];
    let mut vector = libc::iovec {
        iov_base: payload.as_ptr().cast_mut().cast(),
        iov_len: payload.len(),
    };
    // SAFETY: all zero is a valid message header.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_name = (&raw mut address).cast();
    message.msg_namelen = address_len;
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: computes a length from a length.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(8) } as usize;
    // SAFETY: the control buffer is aligned and longer than one header with eight bytes.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SO_TXTIME;
        (*header).cmsg_len = libc::CMSG_LEN(8) as usize;
        libc::CMSG_DATA(header)
            .cast::<u64>()
            .write_unaligned(departure_ns);
    }
    // SAFETY: all that the header points to outlives the call.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, 0) };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn socket_address(address: SocketAddr) -> (libc::sockaddr_storage, u32) {
    // SAFETY: all zero is a valid address of no family.
    let mut storage: libc::sockaddr_storage = unsafe { MaybeUninit::zeroed().assume_init() };
    let len = match address {
        SocketAddr::V4(v4) => {
            let to = (&raw mut storage).cast::<libc::sockaddr_in>();
            // SAFETY: the storage is large and aligned enough for every kind of address.
            unsafe {
                (*to).sin_family = family(libc::AF_INET);
                (*to).sin_port = v4.port().to_be();
                (*to).sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            }
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            let to = (&raw mut storage).cast::<libc::sockaddr_in6>();
            // SAFETY: as above.
            unsafe {
                (*to).sin6_family = family(libc::AF_INET6);
                (*to).sin6_port = v6.port().to_be();
                (*to).sin6_addr.s6_addr = v6.ip().octets();
            }
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, length(len))
}
