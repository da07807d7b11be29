//! Counts how much memory a thread holds, and the most that it held: what a decoder takes is measured, not guessed.
#![allow(
    unsafe_code,
    reason = "an allocator is unsafe by its trait; this one only counts and passes everything on"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counted for each thread.
pub struct Meter;

thread_local! {
    // Bytes held now, and the most of them since the last reset. Memory that another thread gives back counts below zero.
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    // No thread-local is there while a thread ends.
    let _ = NOW.try_with(|now| {
        let held = now.get().saturating_add(change);
        now.set(held);
        let _ = MOST.try_with(|most| most.set(most.get().max(held)));
    });
}

fn signed(size: usize) -> isize {
    isize::try_from(size).unwrap_or(isize::MAX)
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: as promised by the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // While it is copied, both are there.
        count(signed(size));
        count(-signed(layout.size()));
        // SAFETY: as promised by the caller.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

/// Runs `work` and answers the most bytes that this thread held in it beyond what it held before.
pub fn measure<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let before = NOW.get();
    MOST.set(before);
    let result = work();
    let most = MOST.get().saturating_sub(before);
    (result, usize::try_from(most).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::measure;

    #[test]
    fn what_was_held_at_once_is_counted() {
        let (_, nothing) = measure(|| ());
        assert_eq!(nothing, 0);
        let (kept, most) = measure(|| {
            drop(std::hint::black_box(vec![0u8; 1 << 20]));
            std::hint::black_box(vec![0u8; 1 << 16])
        });
        assert_eq!((kept.len(), most), (1 << 16, 1 << 20));
        let (_, most) = measure(|| drop(kept));
        assert_eq!(most, 0);
    }
}
