//! Following a job: progress, the review, the end.

use simsync_codes::{Code, JobState};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use zbus::OwnedObjectPath;

use crate::agent::Agent;
use crate::client::{BUS_NAME, Client, JOB, Signal};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, bytes, table};
use crate::properties::{Properties, get, pair, text};
use crate::word::Word;

/// How long a job may take to stop after it was cancelled.
const STOP: Duration = Duration::from_secs(10);

/// A change that a sync would make here, and that waits for the person's yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReviewLine {
    /// Name of the collection.
    pub collection: String,
    /// Path below the collection's folder.
    pub path: String,
    /// `write` or `delete`.
    pub what: String,
    /// Size in bytes.
    pub size: u64,
}

/// A job as the bus shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobView {
    /// Number of the job, counted from the daemon's start.
    pub id: u64,
    /// What it is for: `pair`, `sync`, `eject` and so on.
    pub kind: String,
    /// `running`, `waiting`, `done`, `failed` or `cancelled`.
    pub state: Word<JobState>,
    /// What it does now: `reading`, `fetching`, `writing`, `committing` and so on.
    pub step: String,
    /// Files done in this step.
    pub files_done: u64,
    /// Files to do; 0 while unknown.
    pub files_total: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// What would be taken.
    pub review: Vec<ReviewLine>,
    /// Changes that have no line in it, and that a yes takes, too.
    pub review_more: u64,
    /// What it gave, as names and values; empty until it is done.
    pub result: BTreeMap<String, String>,
    /// Why it failed.
    #[serde(skip)]
    pub failure: Option<(String, String)>,
}

impl JobView {
    fn new(p: &Properties) -> Self {
        let review: Vec<(String, String, String, u64)> = get(p, "Review");
        Self {
            id: get(p, "Id"),
            kind: get(p, "Kind"),
            state: text(p, "State").into(),
            step: get(p, "Step"),
            files_done: get(p, "FilesDone"),
            files_total: get(p, "FilesTotal"),
            bytes: get(p, "Bytes"),
            review: review
                .into_iter()
                .map(|(collection, path, what, size)| ReviewLine {
                    collection,
                    path,
                    what,
                    size,
                })
                .collect(),
            review_more: get(p, "ReviewMore"),
            result: get(p, "Result"),
            failure: pair(p, "Failure"),
        }
    }

    /// A value of the result.
    pub fn value(&self, name: &str) -> &str {
        self.result.get(name).map_or("", String::as_str)
    }

    /// A number of the result.
    pub fn number(&self, name: &str) -> u64 {
        self.value(name).parse().unwrap_or(0)
    }
}

/// How a job is waited for.
pub struct Follow<'a> {
    /// Connection to the daemon, to read, answer and cancel the job.
    pub client: &'a Client,
    /// Where the review goes.
    pub output: &'a Output,
    /// Who can be asked.
    pub agent: &'a Agent,
    /// Reviews are answered with yes.
    pub yes: bool,
    /// Longest wait.
    pub timeout: Option<Duration>,
}

impl Follow<'_> {
    /// Waits for the job's end.
    pub async fn end(&self, path: &OwnedObjectPath) -> Outcome<JobView> {
        let work = self.watch(path);
        let result = match self.timeout {
            None => tokio::select! {
                result = work => result,
                _ = tokio::signal::ctrl_c() => self.interrupted(path).await,
            },
            Some(limit) => tokio::select! {
                result = tokio::time::timeout(limit, work) => result.unwrap_or_else(|_| Err(Failure::new(
                    Code::Timeout,
                    "it did not end in time and goes on in simsyncd; `simsync status` shows how it is doing",
                ))),
                _ = tokio::signal::ctrl_c() => self.interrupted(path).await,
            },
        };
        self.agent.cancel_prompt();
        result.map_err(|f| self.agent.explain(f))
    }

    async fn interrupted(&self, path: &OwnedObjectPath) -> Outcome<JobView> {
        self.agent.cancel_prompt();
        self.tell(path, "Cancel").await?;
        match tokio::time::timeout(STOP, self.watch(path)).await {
            // It may have ended well in the last moment.
            Ok(result) => result,
            Err(_) => Err(Failure::new(
                Code::Cancelled,
                "cancelled; simsyncd finishes the step that it is in",
            )),
        }
    }

    async fn tell(&self, path: &OwnedObjectPath, method: &str) -> Outcome<()> {
        let conn = self.client.connection();
        conn.call_method(Some(BUS_NAME), path, Some(JOB), method, &())
            .await?;
        Ok(())
    }

    async fn watch(&self, path: &OwnedObjectPath) -> Outcome<JobView> {
        // Signals first, then the state: nothing falls in between.
        let mut signals = self.client.signals(path.as_str()).await?;
        let bar = Bar::new(self.output.json());
        let mut reviewed = false;
        loop {
            let properties = self.client.properties(path.as_str(), JOB).await?;
            let job = JobView::new(&properties);
            bar.show(&job);
            match job.state.known() {
                Some(JobState::Running) => {}
                Some(JobState::Waiting) if reviewed => {}
                Some(JobState::Waiting) => {
                    reviewed = true;
                    bar.clear();
                    self.review(path, &job).await?;
                }
                _ => {
                    bar.clear();
                    return ended(job);
                }
            }
            match signals.next().await {
                Signal::Changed => {}
                Signal::Owner | Signal::Ended => {
                    return Err(Failure::no_daemon("it stopped while it worked"));
                }
            }
        }
    }

    async fn review(&self, path: &OwnedObjectPath, job: &JobView) -> Outcome<()> {
        self.output.line(&review_text(job));
        let answer = if self.yes || job.review.is_empty() {
            Some(true)
        } else {
            self.agent.confirm("Take these changes?".to_owned()).await
        };
        match answer {
            Some(true) => self.tell(path, "Confirm").await,
            Some(false) => {
                self.tell(path, "Cancel").await?;
                Err(Failure::new(
                    Code::Declined,
                    "nothing was taken; run `simsync sync --review` again when you want to",
                ))
            }
            None => {
                self.tell(path, "Cancel").await?;
                Err(Failure::new(
                    Code::ReviewWaiting,
                    format!(
                        "nothing was taken: {} changes wait for your answer; run it on a terminal, or with --yes",
                        job.review.len() as u64 + job.review_more
                    ),
                ))
            }
        }
    }
}

/// What a review shows.
pub fn review_text(job: &JobView) -> String {
    if job.review.is_empty() {
        return "Nothing to take.".to_owned();
    }
    let rows: Vec<Vec<String>> = job
        .review
        .iter()
        .map(|r| {
            let size = if r.what == "delete" {
                String::new()
            } else {
                bytes(r.size)
            };
            vec![r.what.clone(), size, format!("{}/{}", r.collection, r.path)]
        })
        .collect();
    let mut text = format!("To be taken:\n{}", table(&rows));
    if job.review_more > 0 {
        text += &format!("and {} more, which are not listed", job.review_more);
    }
    text
}

fn ended(job: JobView) -> Outcome<JobView> {
    match (job.state.known(), &job.failure) {
        (Some(JobState::Done), _) => Ok(job),
        (_, Some((code, sentence))) => Err(Failure::told(code.clone().into(), sentence.clone())),
        (Some(JobState::Cancelled), None) => Err(Failure::new(Code::Cancelled, "it was cancelled")),
        (_, None) => Err(Failure::new(
            Code::Failed,
            "it failed without a reason; `simsync status` may tell more",
        )),
    }
}

/// Progress, on a terminal only.
struct Bar(ProgressBar);

impl Bar {
    fn new(json: bool) -> Self {
        if json || !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        Self(bar)
    }

    fn show(&self, job: &JobView) {
        if self.0.is_hidden() || job.step.is_empty() {
            return;
        }
        let template = if job.files_total > 0 {
            "{msg} {bar:30} {pos}/{len}"
        } else {
            "{spinner} {msg}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.0.set_style(style);
        }
        if job.files_total > 0 {
            self.0.set_length(job.files_total);
            self.0.set_position(job.files_done);
        } else {
            self.0.tick();
        }
        let step = simsync_shell::visible(&job.step);
        let moved = if job.bytes > 0 {
            format!("{step} ({})", bytes(job.bytes))
        } else {
            step.into_owned()
        };
        self.0.set_message(moved);
    }

    fn clear(&self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_review_reads_like_a_list() {
        let line = |what: &str, path: &str, size| ReviewLine {
            collection: "notes".to_owned(),
            path: path.to_owned(),
            what: what.to_owned(),
            size,
        };
        let mut job = JobView::new(&Properties::new());
        assert_eq!(review_text(&job), "Nothing to take.");
        job.review = vec![line("write", "a.txt", 2048), line("delete", "b.txt", 0)];
        let text = review_text(&job);
        assert!(text.contains("write   2.0 KiB  notes/a.txt"), "{text}");
        assert!(text.contains("delete           notes/b.txt"), "{text}");
        assert!(!text.contains("more"), "{text}");
        job.review_more = 3;
        let text = review_text(&job);
        assert!(
            text.ends_with("\nand 3 more, which are not listed"),
            "{text}"
        );
    }

    #[test]
    fn how_it_ended_decides() {
        let mut job = JobView::new(&Properties::new());
        job.state = Word::Known(JobState::Failed);
        job.failure = Some(("no-card".to_owned(), "put it in".to_owned()));
        assert_eq!(
            ended(job.clone()).unwrap_err().code,
            Word::Known(Code::NoCard)
        );
        job.state = Word::Known(JobState::Cancelled);
        job.failure = None;
        assert_eq!(
            ended(job.clone()).unwrap_err().code,
            Word::Known(Code::Cancelled)
        );
        job.state = Word::Known(JobState::Done);
        assert!(ended(job).is_ok());
    }
}
