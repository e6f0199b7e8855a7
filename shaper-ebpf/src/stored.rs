//! Values on the stack, eight bytes at a time.
//!
//! For loaders without `CAP_PERFMON`, Linux up to 6.7 refuses a shorter store where it remembers what eight bytes hold:
//! `check_stack_write_fixed_off` in `kernel/bpf/verifier.c`. The same goes for what helpers store.

use core::{mem::MaybeUninit, ptr};

/// Takes whole words of eight bytes, so that it shares none with anything else.
#[repr(C, align(8))]
pub(crate) struct Stored<T>(MaybeUninit<T>);

impl<T> Stored<T> {
    #[inline(always)]
    pub(crate) fn uninit() -> Self {
        Self(MaybeUninit::uninit())
    }

    #[inline(always)]
    pub(crate) fn as_mut_ptr(&mut self) -> *mut T {
        self.0.as_mut_ptr()
    }

    /// The value.
    ///
    /// # Safety
    ///
    /// It has been stored.
    #[inline(always)]
    pub(crate) unsafe fn assume_init(self) -> T {
        // SAFETY: promised by the caller.
        unsafe { self.0.assume_init() }
    }
}

/// Lends `value` from the stack; it is made of words of four bytes, at most eight of them.
#[inline(always)]
pub(crate) fn lend<T, R>(value: &T, to: impl FnOnce(*mut T) -> R) -> R {
    const { assert!(size_of::<T>().is_multiple_of(4) && size_of::<T>() <= 32) };
    let mut stored = Stored::uninit();
    let at = (&raw mut stored).cast::<u64>();
    // A loop would still be one when the compiler decides what stands on the stack.
    store::<T, 0>(value, at);
    store::<T, 1>(value, at);
    store::<T, 2>(value, at);
    store::<T, 3>(value, at);
    to(stored.as_mut_ptr())
}

/// Stores two words, or the last one and zero.
#[inline(always)]
fn store<T, const PAIR: usize>(value: &T, at: *mut u64) {
    let n_words = size_of::<T>() / 4;
    if 2 * PAIR >= n_words {
        return;
    }
    let words = ptr::from_ref(value).cast::<u32>();
    // SAFETY: within the value, which is made of such words.
    let low = unsafe { words.add(2 * PAIR).read() };
    let high = if 2 * PAIR + 1 < n_words {
        // SAFETY: as above.
        unsafe { words.add(2 * PAIR + 1).read() }
    } else {
        0
    };
    // SAFETY: within `Stored`, which is a multiple of eight bytes.
    let at = unsafe { at.add(PAIR) };
    // SAFETY: as above. Volatile: else it may become two stores.
    unsafe { at.write_volatile(u64::from(low) | u64::from(high) << 32) };
}
