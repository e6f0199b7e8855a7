//! What is logged, as the reader of `aya_log` takes it.
//!
//! Its own macros compose a record piece by piece and compare the space that is left: without `CAP_PERFMON`, the
//! verifier of Linux 6.1 follows such a comparison both ways and refuses what would be stored beyond the end. So each
//! record is prepared whole, but for its numbers.

#![expect(
    clippy::cast_possible_truncation,
    reason = "a record is far shorter than 64 KiB"
)]

use aya_log_common::{ArgumentKind, Level, RecordFieldKind};
use aya_log_ebpf::macro_support::{AYA_LOGS, level_enabled};

/// A value with what it is and how long.
#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Field<T> {
    kind: u8,
    len: u16,
    value: T,
}

/// A record: its length, fields that say where it comes from, and what makes up its text.
#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Record<T> {
    len: u16,
    target: Field<[u8; 0]>,
    level: Field<u8>,
    module: Field<[u8; 0]>,
    file: Field<[u8; 0]>,
    line: Field<u32>,
    n_args: Field<u32>,
    args: T,
}

/// "{} bytes wait {} ns"
#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Held {
    bytes: Field<u32>,
    wait: Field<[u8; 12]>,
    ns: Field<u64>,
    unit: Field<[u8; 3]>,
}

/// "{} bytes dropped"
#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Dropped {
    bytes: Field<u32>,
    dropped: Field<[u8; 14]>,
}

const HELD: Record<Held> = record(
    4,
    Held {
        bytes: argument(ArgumentKind::U32, 0),
        wait: argument(ArgumentKind::Str, *b" bytes wait "),
        ns: argument(ArgumentKind::U64, 0),
        unit: argument(ArgumentKind::Str, *b" ns"),
    },
);

const DROPPED: Record<Dropped> = record(
    2,
    Dropped {
        bytes: argument(ArgumentKind::U32, 0),
        dropped: argument(ArgumentKind::Str, *b" bytes dropped"),
    },
);

/// Whether packets are logged. It is known when the program is loaded.
#[inline(always)]
fn is_on() -> bool {
    level_enabled(Level::Debug)
}

/// Logs that a packet of `wire_len` bytes is held for `wait_ns`.
#[inline(always)]
pub(crate) fn held(wire_len: u32, wait_ns: u64) {
    if is_on() {
        shaper_log_held(wire_len, wait_ns);
    }
}

/// Logs that a packet of `wire_len` bytes is dropped.
#[inline(always)]
pub(crate) fn dropped(wire_len: u32) {
    if is_on() {
        shaper_log_dropped(wire_len);
    }
}

/// Visible from outside: the kernel verifies it once, and not for each way to it.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text")]
#[inline(never)]
extern "C" fn shaper_log_held(wire_len: u32, wait_ns: u64) -> u32 {
    // When the ring is full, nothing is logged.
    if let Some(mut entry) = AYA_LOGS.reserve::<Record<Held>>(0) {
        let record = entry.write(HELD);
        record.args.bytes.value = wire_len;
        record.args.ns.value = wait_ns;
        entry.submit(0);
    }
    0
}

/// As above.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text")]
#[inline(never)]
extern "C" fn shaper_log_dropped(wire_len: u32) -> u32 {
    if let Some(mut entry) = AYA_LOGS.reserve::<Record<Dropped>>(0) {
        entry.write(DROPPED).args.bytes.value = wire_len;
        entry.submit(0);
    }
    0
}

const fn record<T>(n_args: u32, args: T) -> Record<T> {
    Record {
        len: size_of::<Record<T>>() as u16,
        target: field(RecordFieldKind::Target as u8, []),
        level: field(RecordFieldKind::Level as u8, Level::Debug as u8),
        module: field(RecordFieldKind::Module as u8, []),
        file: field(RecordFieldKind::File as u8, []),
        line: field(RecordFieldKind::Line as u8, 0),
        n_args: field(RecordFieldKind::NumArgs as u8, n_args),
        args,
    }
}

const fn argument<T>(kind: ArgumentKind, value: T) -> Field<T> {
    field(kind as u8, value)
}

const fn field<T>(kind: u8, value: T) -> Field<T> {
    Field {
        kind,
        len: size_of::<T>() as u16,
        value,
    }
}
