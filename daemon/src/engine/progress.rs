//! How far a job is, for whoever shows it.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;
/// How far a job is; read by whoever shows it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Files looked at, read or written so far.
    pub files_done: AtomicU64,
    /// Files to do in this step; 0 while unknown.
    pub files_total: AtomicU64,
    /// Bytes sent and received so far.
    pub bytes: AtomicU64,
    /// Name of the step: `scanning`, `reading`, `fetching`, `writing`, `committing`; empty before the first.
    pub step: Mutex<&'static str>,
}

impl Progress {
    /// Starts a step.
    pub fn step(&self, name: &'static str, total: usize) {
        *self.step.lock() = name;
        self.files_done.store(0, Relaxed);
        self.files_total.store(total as u64, Relaxed);
    }

    /// One file more.
    pub fn file(&self) {
        self.files_done.fetch_add(1, Relaxed);
    }

    /// Bytes more.
    pub fn bytes(&self, n: u64) {
        self.bytes.fetch_add(n, Relaxed);
    }
}
