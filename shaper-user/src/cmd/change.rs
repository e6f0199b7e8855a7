//! One change of the policy: under the lock, written ahead, all or nothing.
//!
//! `up`:    `let change = Change::begin(context)?; let next = change.configured(context)?;` (a `Running`; its
//!          `.policy()` is valid, with `interfaces()`, `fq_needs()` and `Tables::from(&policy)`), sets the kernel up,
//!          then `change.commit(&dataplane, &next)?`.
//! `down`:  `let change = Change::begin(context)?;` takes everything away, then `change.forget()?`.

/// A change in progress; holds the lock.
pub(crate) struct Change {}
