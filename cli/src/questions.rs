//! Questions that the daemon puts to a command, and that it takes back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
/// The questions that were put to a command, each to be called off by itself: the next may be here before the last one is gone.
#[derive(Clone, Default)]
pub struct Questions {
    standing: Arc<Mutex<Vec<Weak<AtomicBool>>>>,
    /// The last one was withdrawn by whoever asked.
    withdrawn: Arc<AtomicBool>,
}

impl Questions {
    /// A question that comes now; it is called off when this is set.
    pub fn begin(&self) -> Arc<AtomicBool> {
        let cancelled = Arc::new(AtomicBool::new(false));
        self.withdrawn.store(false, Ordering::Relaxed);
        let mut all = self.standing.lock();
        all.retain(|q| q.strong_count() > 0);
        all.push(Arc::downgrade(&cancelled));
        cancelled
    }

    /// Whether the last ones were withdrawn.
    pub fn were_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Relaxed)
    }

    /// Nobody wants an answer any more to what was asked so far.
    pub fn call_off(&self) {
        let mut all = self.standing.lock();
        for question in all.drain(..).filter_map(|q| q.upgrade()) {
            question.store(true, Ordering::Relaxed);
        }
    }

    /// The same, by whoever asked: the person is told.
    pub fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Relaxed);
        self.call_off();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_g_a_question_that_comes_is_not_called_off_with_the_one_before() {
        let questions = Questions::default();
        let first = questions.begin();
        questions.withdraw();
        let second = questions.begin();
        assert!(first.load(Ordering::Relaxed) && !second.load(Ordering::Relaxed));
        questions.call_off();
        assert!(second.load(Ordering::Relaxed));
    }
}
