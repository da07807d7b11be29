//! A service that does what a test tells it, and buses to offer it on.
// Each test file uses a part of it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use simsync_codes::{CardState, Code, JobState, State, Unsynced};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use simsyncd::api::{
    Agents, Caller, CardStatus, CollectionStatus, Command, ConflictEntry, Failure, Handle, Job,
    JobControl, JobStatus, LogEntry, OutstandingEntry, Reason, Request, Secret, SecretKind,
    SecretRequest, Status, TerminalStatus,
};
use simsyncd::bus::{BusAgents, BusService, run_with_connection};
use tokio::sync::{mpsc, watch};
use zbus::Connection;

/// Longest wait for anything.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// What happens with the next commands.
#[derive(Clone)]
pub enum Plan {
    /// Refused before it starts.
    Refuse(Failure),
    /// Ends well.
    Done(BTreeMap<String, String>),
    /// Ends badly.
    Fail(Failure),
    /// Waits for a review's answer.
    Review(Vec<(String, String, String, u64)>),
    /// Runs until it is cancelled.
    Endless,
    /// Asks for these, and wants these answers; a wrong one is asked for once more.
    Ask(Vec<(SecretKind, &'static str)>),
    /// Shows a secret.
    Show(&'static str, &'static str),
}

/// A service of the test's making.
pub struct Fake {
    pub status: watch::Sender<Arc<Status>>,
    pub handle: Handle,
    pub agents: BusAgents,
    pub commands: Arc<Mutex<Vec<Command>>>,
    pub job: Arc<Mutex<Option<watch::Sender<JobStatus>>>>,
    /// The path of the conflict that it tells of.
    pub path: Arc<Mutex<String>>,
    /// A job that nobody ordered.
    pub own_job: Arc<Mutex<Option<Job>>>,
    plans: Arc<Mutex<Vec<Plan>>>,
}

impl Fake {
    pub fn new() -> Self {
        Self::with_agents(BusAgents::default())
    }

    pub fn with_agents(agents: BusAgents) -> Self {
        let status = watch::Sender::new(Arc::new(status()));
        let (requests, rx) = mpsc::channel(16);
        let fake = Self {
            handle: Handle {
                requests,
                status: status.subscribe(),
            },
            status,
            agents,
            commands: Arc::default(),
            job: Arc::default(),
            own_job: Arc::default(),
            path: Arc::new(Mutex::new("a.txt".to_owned())),
            plans: Arc::default(),
        };
        tokio::spawn(serve(
            rx,
            Arc::new(fake.agents.clone()),
            fake.commands.clone(),
            fake.plans.clone(),
            fake.job.clone(),
            fake.own_job.clone(),
            fake.path.clone(),
        ));
        fake
    }

    /// What happens with the next command; without a plan it ends well.
    pub fn plan(&self, plan: Plan) {
        self.plans.lock().push(plan);
    }

    pub fn change(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(|s| change(Arc::make_mut(s)));
    }

    pub fn last_command(&self) -> Option<Command> {
        self.commands.lock().last().cloned()
    }

    /// Offers it on a bus.
    pub async fn on(&self, bus: &Bus) -> BusService {
        let conn = bus.connect().await;
        run_with_connection(conn, self.handle.clone(), self.agents.clone())
            .await
            .unwrap()
    }

    /// Offers it without a bus in between; answers the client's end.
    pub async fn p2p(&self) -> (BusService, Connection) {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let guid = zbus::Guid::generate();
        let server = zbus::connection::Builder::unix_stream(ours)
            .server(guid)
            .p2p()
            .build();
        let client = zbus::connection::Builder::unix_stream(theirs).p2p().build();
        let (server, client) = tokio::try_join!(server, client).unwrap();
        let offered = run_with_connection(server, self.handle.clone(), self.agents.clone())
            .await
            .unwrap();
        (offered, client)
    }
}

/// A status with one of everything.
pub fn status() -> Status {
    Status {
        state: State::Waiting,
        reasons: vec![Reason::new(
            Code::NoCard,
            "no card of yours is in; put it in",
        )],
        subscriber: Some("5b5b".to_owned()),
        terminal: Some("aa11bb22cc33".to_owned()),
        label: "desk".to_owned(),
        server: Some("127.0.0.1:1".to_owned()),
        online: Some(true),
        readers: vec!["Reader 00".to_owned()],
        collections: vec![CollectionStatus {
            id: "c0ffee".to_owned(),
            attribute: "files".to_owned(),
            name: "notes".to_owned(),
            path: Some("/home/me/notes".to_owned()),
            question: "fedc".to_owned(),
        }],
        terminals: vec![TerminalStatus {
            id: "aa11bb22cc33".to_owned(),
            label: "desk".to_owned(),
            own: true,
            collections: vec!["notes".to_owned()],
            unfinished: false,
        }],
        sequence: 41,
        conflicts: 1,
        last_sync_ms: Some(1_790_000_000_000),
        marks: BTreeMap::from([("inserted".to_owned(), 7)]),
        ..Status::default()
    }
}

/// The card of the status, when it is in.
pub fn card() -> CardStatus {
    CardStatus {
        reader: "Reader 00".to_owned(),
        state: CardState::Paired,
        pin_tries: Some(3),
        pin_must_change: false,
        card: Some("ca4d".to_owned()),
        in_use: true,
    }
}

async fn serve(
    mut requests: mpsc::Receiver<Request>,
    agents: Arc<BusAgents>,
    commands: Arc<Mutex<Vec<Command>>>,
    plans: Arc<Mutex<Vec<Plan>>>,
    last_job: Arc<Mutex<Option<watch::Sender<JobStatus>>>>,
    own_job: Arc<Mutex<Option<Job>>>,
    path: Arc<Mutex<String>>,
) {
    let mut number = 0;
    while let Some(request) = requests.recv().await {
        match request {
            Request::Command(command, by, reply) => {
                commands.lock().push(command);
                let plan = {
                    let mut plans = plans.lock();
                    if plans.is_empty() {
                        Plan::Done(BTreeMap::new())
                    } else {
                        plans.remove(0)
                    }
                };
                if let Plan::Refuse(failure) = plan {
                    let _ = reply.send(Err(failure));
                    continue;
                }
                number += 1;
                let (control, rx) = mpsc::channel(4);
                let status = watch::Sender::new(job_status(number));
                let job = Job {
                    status: status.subscribe(),
                    control,
                };
                *last_job.lock() = Some(status.clone());
                let _ = reply.send(Ok(job));
                tokio::spawn(run(plan, status, rx, agents.clone(), by));
            }
            Request::Log(limit, reply) => {
                let entry = LogEntry {
                    sequence: 41,
                    hash: "ab".repeat(32),
                    terminal: "aa11bb22cc33".to_owned(),
                    label: "desk".to_owned(),
                    session: 6,
                    closing: true,
                    tails: 1,
                };
                let _ = reply.send(Ok(vec![entry; limit.min(2) as usize]));
            }
            Request::Outstanding(reply) => {
                let entry = |at: &str, count, needs_person| OutstandingEntry {
                    code: if needs_person {
                        Unsynced::Unreadable
                    } else {
                        Unsynced::Changing
                    },
                    collection: "notes".to_owned(),
                    path: at.to_owned(),
                    detail: "Permission denied".to_owned(),
                    remedy: "make it readable for you".to_owned(),
                    since_ms: 1_790_000_000_000,
                    count,
                    needs_person,
                };
                let _ = reply.send(Ok(vec![
                    entry("busy", 1, false),
                    entry("secret", 1, true),
                    entry("", 7, true),
                    entry(&path.lock(), 1, false),
                ]));
            }
            Request::Conflicts(reply) => {
                let _ = reply.send(Ok(vec![ConflictEntry {
                    id: 3,
                    collection: "notes".to_owned(),
                    path: path.lock().clone(),
                    aside: "a (conflict of desk).txt".to_owned(),
                    time_ms: 1_790_000_000_000,
                }]));
            }
            Request::Job(id, reply) => {
                let job = own_job.lock().clone().filter(|j| j.id() == id);
                let none = || Failure::new(Code::NoSuchJob, "the job has ended");
                let _ = reply.send(job.ok_or_else(none));
            }
            Request::Cards(reply) => {
                let _ = reply.send(Ok(vec![simsyncd::api::VaultCard {
                    card: "c0ffee".repeat(5),
                    in_use: true,
                    used_here: true,
                }]));
            }
            Request::Stop => return,
        }
    }
}

pub fn job_status(id: u64) -> JobStatus {
    JobStatus {
        id,
        kind: "test".to_owned(),
        state: JobState::Running,
        step: "reading".to_owned(),
        files_done: 0,
        files_total: 0,
        bytes: 0,
        review: Vec::new(),
        review_more: 0,
        result: BTreeMap::new(),
        failure: None,
    }
}

async fn run(
    plan: Plan,
    status: watch::Sender<JobStatus>,
    mut control: mpsc::Receiver<JobControl>,
    agents: Arc<BusAgents>,
    by: Option<Caller>,
) {
    let end = |state| status.send_modify(|s| s.state = state);
    let fail = |failure: Failure| {
        status.send_modify(|s| {
            s.state = JobState::Failed;
            s.failure = Some(failure);
        });
    };
    match plan {
        Plan::Refuse(_) => {}
        Plan::Done(result) => status.send_modify(|s| {
            s.state = JobState::Done;
            s.result = result;
        }),
        Plan::Fail(failure) => fail(failure),
        Plan::Review(lines) => {
            status.send_modify(|s| {
                s.state = JobState::Waiting;
                s.review = lines;
            });
            match control.recv().await {
                Some(JobControl::Confirm) => end(JobState::Done),
                _ => fail(Failure::new(Code::Declined, "nothing was taken")),
            }
        }
        Plan::Endless => {
            while control.recv().await != Some(JobControl::Cancel) {}
            end(JobState::Cancelled);
        }
        Plan::Ask(wanted) => {
            for (kind, right) in wanted {
                if let Err(failure) = ask(&agents, by.clone(), kind, right).await {
                    return fail(failure);
                }
            }
            end(JobState::Done);
        }
        Plan::Show(what, secret) => {
            let secret = Secret::new(secret.to_owned());
            match agents.show(by, what, secret).await {
                Ok(()) => end(JobState::Done),
                Err(e) => fail(Failure::new(Code::Declined, e.to_string())),
            }
        }
    }
}

async fn ask(
    agents: &BusAgents,
    by: Option<Caller>,
    kind: SecretKind,
    right: &str,
) -> Result<(), Failure> {
    for retry in [false, true] {
        let request = SecretRequest {
            kind,
            tries_left: Some(3 - u8::from(retry)),
            retry,
            reader: Some("Reader 00".to_owned()),
            hint: None,
        };
        match agents.ask(by.clone(), request).await {
            Ok(given) if *given == right => return Ok(()),
            Ok(_) => {}
            Err(e) => {
                let code = match e {
                    simsyncd::api::AgentError::NoAgent => Code::NoAgent,
                    simsyncd::api::AgentError::Declined => Code::PinDeclined,
                    simsyncd::api::AgentError::TimedOut => Code::PinTimeout,
                };
                return Err(Failure::new(code, e.to_string()));
            }
        }
    }
    Err(Failure::new(Code::PinIncorrect, "wrong PIN; 1 try left"))
}

/// A private bus daemon; it ends with this value.
pub struct Bus {
    child: Child,
    pub address: String,
}

impl Bus {
    pub fn start() -> Self {
        let mut child = std::process::Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address=1"])
            .stdout(Stdio::piped())
            // It complains of limits that it cannot raise in a container.
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon is needed for this test: apt install dbus");
        let mut address = String::new();
        let out = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut address).unwrap();
        Self {
            child,
            address: address.trim().to_owned(),
        }
    }

    pub async fn connect(&self) -> Connection {
        zbus::connection::Builder::address(self.address.as_str())
            .build()
            .await
            .unwrap()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
