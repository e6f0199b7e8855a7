//! What `up`, `down` and `confirm` did, as JSON.

use serde::Serialize;

use super::{Head, document};

/// One interface that the program is attached to.
#[derive(Clone, Debug, Serialize)]
pub struct AttachedInterface {
    /// Its name.
    pub name: String,
    /// `tcx` or `clsact`.
    pub hook: &'static str,
    /// `attached`, `replaced` (the program, in place), `nothing`, `detached` (the configuration names it no more), or
    /// `released`: what was there before is put back in place of an `fq` that no interface needs any more.
    pub done: &'static str,
    /// The devices whose `fq` holds its packets; none where it is policed.
    pub fq_devices: Vec<String>,
}

#[derive(Serialize)]
struct AttachedBody<'a> {
    attached: &'a [AttachedInterface],
}

#[derive(Serialize)]
struct DownBody {
    was_up: bool,
}

/// What `up` found or made.
#[must_use]
pub fn attached(head: &Head, attached: &[AttachedInterface]) -> String {
    document(head, AttachedBody { attached })
}

/// That nothing is limited any more, and whether anything was.
#[must_use]
pub fn down(head: &Head, was_up: bool) -> String {
    document(head, DownBody { was_up })
}

#[derive(Serialize)]
struct ConfirmedBody {
    is_confirmed: bool,
}

/// That a change on trial stays.
#[must_use]
pub fn confirmed(head: &Head) -> String {
    document(head, ConfirmedBody { is_confirmed: true })
}
