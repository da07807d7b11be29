//! Jobs: long work that somebody ordered, with progress, a review, cancelling and a result.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use simsync_codes::{Code, JobState};
use tokio::sync::{mpsc, watch};

use crate::api::{Caller, Failure, Job, JobControl, JobStatus, Reason};
use crate::engine::{Progress, ReviewEntry};

/// What a job gives in the end: values by name, or why it failed.
pub type Done = Result<BTreeMap<String, String>, Failure>;

/// Entries of a review that are shown one by one; the rest is counted.
const REVIEW_MAX: usize = 10_000;

/// Commands of one caller, and of all together, that wait or run at once.
const ORDERS_MAX: (usize, usize) = (32, 256);

/// Makes jobs and knows which run.
#[derive(Default)]
pub struct Jobs {
    next: AtomicU64,
    running: Running,
}

/// Jobs that run, with their users' ends, and who ordered them.
type Running = Arc<Mutex<Vec<(Job, Option<Caller>)>>>;

/// The daemon's end of a job. When the last clone is dropped, a job that is still running counts as cancelled.
#[derive(Clone)]
pub struct JobHandle(Arc<Inner>);

struct Inner {
    id: u64,
    status: watch::Sender<JobStatus>,
    control_tx: mpsc::Sender<JobControl>,
    control: tokio::sync::Mutex<mpsc::Receiver<JobControl>>,
    running: Running,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.running.lock().retain(|(job, _)| job.id() != self.id);
        self.status.send_modify(|s| {
            if matches!(s.state, JobState::Running | JobState::Waiting) {
                s.state = JobState::Cancelled;
            }
        });
    }
}

impl Jobs {
    /// A new job that somebody ordered. No caller, and not all of them together, can let commands pile up without end.
    pub fn command(&self, kind: &str, by: Option<&Caller>) -> Result<JobHandle, Failure> {
        let (own, all) = {
            let running = self.running();
            let ordered = running.iter().filter(|(_, by)| by.is_some());
            let own = running
                .iter()
                .filter(|(_, of)| by.is_some() && of.as_ref() == by);
            (own.count(), ordered.count())
        };
        if own >= ORDERS_MAX.0 || all >= ORDERS_MAX.1 {
            return Err(Failure::new(
                Code::Busy,
                format!(
                    "{} commands wait already; wait for them, or cancel some",
                    own.max(all)
                ),
            ));
        }
        Ok(self.create(kind, by))
    }

    /// A new job.
    pub fn create(&self, kind: &str, by: Option<&Caller>) -> JobHandle {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let status = JobStatus {
            id,
            kind: kind.to_owned(),
            state: JobState::Running,
            step: String::new(),
            files_done: 0,
            files_total: 0,
            bytes: 0,
            review: Vec::new(),
            review_more: 0,
            result: BTreeMap::new(),
            failure: None,
        };
        let (control_tx, control) = mpsc::channel(8);
        let status = watch::Sender::new(status);
        let job = Job {
            status: status.subscribe(),
            control: control_tx.clone(),
        };
        self.running().push((job, by.cloned()));
        JobHandle(Arc::new(Inner {
            id,
            status,
            control_tx,
            control: tokio::sync::Mutex::new(control),
            running: self.running.clone(),
        }))
    }

    fn running(&self) -> MutexGuard<'_, Vec<(Job, Option<Caller>)>> {
        self.running.lock()
    }

    /// Numbers of jobs that run.
    pub fn numbers(&self) -> Vec<u64> {
        self.running().iter().map(|(job, _)| job.id()).collect()
    }

    /// A job that runs.
    pub fn job(&self, id: u64) -> Option<Job> {
        let running = self.running();
        let found = running.iter().find(|(job, _)| job.id() == id);
        found.map(|(job, _)| job.clone())
    }
}

impl JobHandle {
    /// Number of the job, counted from the daemon's start.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Its user's end.
    pub fn public(&self) -> Job {
        Job {
            status: self.0.status.subscribe(),
            control: self.0.control_tx.clone(),
        }
    }

    /// Takes over how far the engine is.
    pub fn progress(&self, p: &Progress) {
        let step = *p.step.lock();
        let (done, total) = (
            p.files_done.load(Ordering::Relaxed),
            p.files_total.load(Ordering::Relaxed),
        );
        let bytes = p.bytes.load(Ordering::Relaxed);
        self.0.status.send_if_modified(|s| {
            let new = (step, done, total, bytes);
            let changed = (s.step.as_str(), s.files_done, s.files_total, s.bytes) != new;
            if changed {
                s.step = step.to_owned();
                (s.files_done, s.files_total, s.bytes) = (done, total, bytes);
            }
            changed
        });
    }

    /// Shows a review and waits for the answer: whether to go on.
    pub async fn review(&self, entries: &[ReviewEntry]) -> bool {
        let mut all: Vec<&ReviewEntry> = entries.iter().collect();
        if all.len() > REVIEW_MAX {
            // Files are deleted for good: these are shown in any case.
            all.sort_by_key(|e| e.what != "delete");
        }
        let more = all.len().saturating_sub(REVIEW_MAX) as u64;
        let lines = all
            .into_iter()
            .take(REVIEW_MAX)
            .map(|e| {
                (
                    e.collection.clone(),
                    e.path.to_string(),
                    e.what.to_owned(),
                    e.size,
                )
            })
            .collect();
        self.0.status.send_modify(|s| {
            s.state = JobState::Waiting;
            s.review = lines;
            s.review_more = more;
        });
        let answer = self.next_control().await;
        self.0.status.send_modify(|s| s.state = JobState::Running);
        answer == Some(JobControl::Confirm)
    }

    /// What the user says next.
    pub async fn next_control(&self) -> Option<JobControl> {
        self.0.control.lock().await.recv().await
    }

    /// Ends it well.
    pub fn done(&self, result: BTreeMap<String, String>) {
        self.0.status.send_modify(|s| {
            s.state = JobState::Done;
            s.result = result;
        });
    }

    /// Ends it one way or the other.
    pub fn ended(self, result: Result<BTreeMap<String, String>, Reason>) {
        match result {
            Ok(values) => self.done(values),
            Err(reason) => self.failed(reason.into()),
        }
    }

    /// Ends it badly.
    pub fn failed(&self, failure: Failure) {
        self.0.status.send_modify(|s| {
            s.state = if failure.code == Code::Cancelled {
                JobState::Cancelled
            } else {
                JobState::Failed
            };
            s.failure = Some(failure);
        });
    }
}

#[cfg(test)]
mod tests {
    use simsync_sync::node::RelPath;

    use super::*;

    #[test]
    fn w_5_orders_do_not_pile_up_without_end() {
        let jobs = Jobs::default();
        let caller = |n: usize| Caller(format!(":1.{n}"));
        let (each, all) = ORDERS_MAX;
        let mut held = Vec::new();
        for n in 0..all / each {
            for _ in 0..each {
                held.push(jobs.command("pair", Some(&caller(n))).unwrap());
            }
            let one_more = jobs.command("pair", Some(&caller(n)));
            assert_eq!(one_more.err().map(|f| f.code), Some(Code::Busy));
        }
        assert!(jobs.command("pair", Some(&caller(99))).is_err());
        // The daemon's own work is not held up by that.
        held.push(jobs.create("sync", None));
        held.remove(0);
        held.push(jobs.command("pair", Some(&caller(99))).unwrap());
        assert_eq!(jobs.numbers().len(), all + 1);
    }

    #[tokio::test]
    async fn f_c_a_review_says_how_much_it_does_not_list_and_lists_what_is_deleted() {
        let jobs = Jobs::default();
        let handle = jobs.create("sync", None);
        let entry = |n: usize, what| ReviewEntry {
            collection: "notes".to_owned(),
            path: RelPath::new(format!("{n}")).unwrap(),
            what,
            size: 1,
        };
        let mut entries: Vec<_> = (0..REVIEW_MAX + 2).map(|n| entry(n, "write")).collect();
        entries.push(entry(REVIEW_MAX + 2, "delete"));
        let (job, _) = jobs.running().last().unwrap().clone();
        job.control.send(JobControl::Confirm).await.unwrap();
        assert!(handle.review(&entries).await);
        let shown = job.status.borrow();
        assert_eq!((shown.review.len(), shown.review_more), (REVIEW_MAX, 3));
        let (_, path, what, _) = &shown.review[0];
        assert_eq!((path.as_str(), what.as_str()), ("10002", "delete"));
        assert_eq!(shown.review[1].1, "0");
    }
}
