//! Long work on the bus: progress, review, result, cancelling.

use simsync_codes::{Code, JobState};
use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, OwnedObjectPath, interface};

use super::error::{BusError, BusResult};
use super::mirror::{Object, Shown};
use super::names::Kind;
use super::text::carried;
use crate::api::{Failure, Job as ServiceJob, JobControl, JobStatus};

/// How long a job stays to be read after it ended.
pub const KEPT: Duration = Duration::from_secs(60);
/// Mere progress is told at most this often.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

pub struct Job {
    shown: Shown<JobStatus>,
    control: mpsc::Sender<JobControl>,
}

/// Whether a job in this state is over.
fn ended(state: JobState) -> bool {
    !matches!(state, JobState::Running | JobState::Waiting)
}

/// Puts a job on the bus, if it is not there, and answers its path. It follows the job's status, and leaves a while after the
/// end.
pub async fn serve(conn: &Connection, job: ServiceJob) -> BusResult<OwnedObjectPath> {
    let ServiceJob {
        mut status,
        control,
    } = job;
    let first = status.borrow_and_update().clone();
    let path = Kind::Job.path(&first.id.to_string());
    let object = Job {
        shown: Shown::new(first.clone()),
        control,
    };
    let Some(mut object) = Object::add_new(conn, path.clone(), object).await? else {
        return Ok(path);
    };
    let emitter = SignalEmitter::new(conn, path.clone())?.into_owned();
    tokio::spawn(async move {
        if let Err(error) = follow(&mut object, first, status, &emitter).await {
            tracing::warn!(%error, "a job cannot be followed on the bus");
        }
        tokio::time::sleep(KEPT).await;
        if let Err(error) = object.remove().await {
            tracing::debug!(%error, "a job's object was gone before its time");
        }
    });
    Ok(path)
}

async fn follow(
    object: &mut Object<Job>,
    mut last: JobStatus,
    mut status: tokio::sync::watch::Receiver<JobStatus>,
    emitter: &SignalEmitter<'_>,
) -> zbus::Result<()> {
    while !ended(last.state) {
        if status.changed().await.is_err() {
            // Whoever ran it is gone without a word.
            last.state = JobState::Cancelled;
        } else {
            last = status.borrow_and_update().clone();
        }
        let shown = last.clone();
        object.update(|o| o.shown.set(shown)).await?;
        if !ended(last.state) {
            // On a clone, so that what changes meanwhile still counts as unseen. A turn of state is told at once.
            let mut probe = status.clone();
            let turned = probe.wait_for(|s| s.state != last.state);
            let _ = tokio::time::timeout(PROGRESS_EVERY, turned).await;
        }
    }
    Job::finished(emitter, last.state.as_str()).await
}

impl Job {
    async fn say(&self, word: JobControl) -> BusResult<()> {
        let (id, state) = {
            let shown = self.shown.get();
            (shown.id, shown.state)
        };
        let over = || {
            Failure::new(
                Code::NoSuchJob,
                format!("the job {id} has ended ({state}); there is nothing left to steer"),
            )
        };
        if ended(state) {
            return Err(over().into());
        }
        match self.control.try_send(word) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(over().into()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Failure::new(
                Code::Busy,
                format!("the job {id} was told already; wait for it"),
            )
            .into()),
        }
    }
}

/// Long work, ordered or by itself. The object stays for a minute after the end.
#[interface(name = "org.simsync.SimSync1.Job")]
impl Job {
    /// Stop it.
    async fn cancel(
        &self,
        // Without any parameter the bus library would let arguments pass unseen.
        #[zbus(header)] _header: Header<'_>,
    ) -> Result<(), BusError> {
        self.say(JobControl::Cancel).await
    }

    /// Go on with what the review showed.
    async fn confirm(
        &self,
        // As above.
        #[zbus(header)] _header: Header<'_>,
    ) -> Result<(), BusError> {
        if self.shown.get().state != JobState::Waiting {
            return Err(Failure::new(
                Code::BadArgument,
                "this job does not wait for a confirmation",
            )
            .into());
        }
        self.say(JobControl::Confirm).await
    }

    /// It has ended; State says how.
    #[zbus(signal)]
    async fn finished(emitter: &SignalEmitter<'_>, state: &str) -> zbus::Result<()>;

    /// Its number.
    #[zbus(property(emits_changed_signal = "const"))]
    async fn id(&self) -> u64 {
        self.shown.get().id
    }

    /// unlock, pair, unpair, sync, eject and so on.
    #[zbus(property(emits_changed_signal = "const"))]
    async fn kind(&self) -> String {
        carried(&self.shown.get().kind)
    }

    /// running, waiting (for Confirm or Cancel), done, failed or cancelled.
    #[zbus(property)]
    async fn state(&self) -> String {
        self.shown.get().state.as_str().to_owned()
    }

    /// What is going on: reading, fetching, writing, committing and so on.
    #[zbus(property)]
    async fn step(&self) -> String {
        carried(&self.shown.get().step)
    }

    /// Files done in this step.
    #[zbus(property)]
    async fn files_done(&self) -> u64 {
        self.shown.get().files_done
    }

    /// Files to do in this step, or 0 while unknown.
    #[zbus(property)]
    async fn files_total(&self) -> u64 {
        self.shown.get().files_total
    }

    /// Bytes moved.
    #[zbus(property)]
    async fn bytes(&self) -> u64 {
        self.shown.get().bytes
    }

    /// What would be taken: collection, path, write or delete, size.
    #[zbus(property)]
    async fn review(&self) -> Vec<(String, String, String, u64)> {
        let shown = self.shown.get();
        shown
            .review
            .iter()
            .map(|(collection, path, what, size)| {
                (carried(collection), carried(path), carried(what), *size)
            })
            .collect()
    }

    /// How many changes a yes takes, too, that Review has no room for. Deletions come first in it then.
    #[zbus(property)]
    async fn review_more(&self) -> u64 {
        self.shown.get().review_more
    }

    /// What it gave, when done.
    #[zbus(property)]
    async fn result(&self) -> BTreeMap<String, String> {
        let shown = self.shown.get();
        shown
            .result
            .iter()
            .map(|(name, value)| (carried(name), carried(value)))
            .collect()
    }

    /// Why it failed: a stable code and a sentence; both empty if it did not.
    #[zbus(property)]
    async fn failure(&self) -> (String, String) {
        let shown = self.shown.get();
        shown.failure.as_ref().map_or_else(Default::default, |f| {
            (f.code.as_str().to_owned(), carried(&f.sentence))
        })
    }
}
