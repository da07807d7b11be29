//! The D-Bus API from outside: over a real bus daemon and without one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bus_support;

use simsync_codes::{Code, JobState, State};
use std::collections::HashMap;
use std::future::Future;

use bus_support::{Bus, DEADLINE, Fake, Plan, card};
use futures_util::StreamExt;
use simsyncd::api::{Command, Failure, Job, JobControl, Reason};
use simsyncd::bus::names::{BUS_NAME, ROOT};
use zbus::fdo::ManagedObjects;
use zbus::{Connection, DynamicType, MessageStream, OwnedObjectPath, OwnedVariant, Variant};

const MANAGER: &str = "org.simsync.SimSync1.Manager";
const JOB: &str = "org.simsync.SimSync1.Job";

/// A client, with or without a bus in between.
struct Client {
    conn: Connection,
    destination: Option<&'static str>,
}

impl Client {
    async fn on(bus: &Bus) -> Self {
        Self {
            conn: bus.connect().await,
            destination: Some(BUS_NAME),
        }
    }

    fn direct(conn: Connection) -> Self {
        Self {
            conn,
            destination: None,
        }
    }

    async fn call<B>(
        &self,
        path: &str,
        interface: &str,
        method: &str,
        body: &B,
    ) -> zbus::Result<zbus::Message>
    where
        B: serde::Serialize + DynamicType + Sync,
    {
        let call = self
            .conn
            .call_method(self.destination, path, Some(interface), method, body);
        within(call).await
    }

    async fn manager<B>(&self, method: &str, body: &B) -> zbus::Result<zbus::Message>
    where
        B: serde::Serialize + DynamicType + Sync,
    {
        self.call(ROOT, MANAGER, method, body).await
    }

    async fn command<B>(&self, method: &str, body: &B) -> String
    where
        B: serde::Serialize + DynamicType + Sync,
    {
        let reply = self.manager(method, body).await.unwrap();
        let path: OwnedObjectPath = reply.body().deserialize().unwrap();
        path.to_string()
    }

    async fn all(&self, path: &str, interface: &str) -> HashMap<String, OwnedVariant> {
        let properties = "org.freedesktop.DBus.Properties";
        let reply = self.call(path, properties, "GetAll", &(interface,)).await;
        reply.unwrap().body().deserialize().unwrap()
    }

    async fn objects(&self) -> Vec<String> {
        let manager = "org.freedesktop.DBus.ObjectManager";
        let reply = self.call(ROOT, manager, "GetManagedObjects", &()).await;
        let objects: ManagedObjects = reply.unwrap().body().deserialize().unwrap();
        let mut paths: Vec<String> = objects
            .iter()
            .filter(|(_, interfaces)| !interfaces.is_empty())
            .map(|(p, _)| p.to_string())
            .collect();
        paths.sort();
        paths
    }

    /// Waits until a job is in a state.
    async fn job(&self, path: &str, state: &str) -> HashMap<String, OwnedVariant> {
        let mut signals = MessageStream::from(&self.conn);
        if self.destination.is_some() {
            let rule = zbus::MatchRule::builder().path(path).build().unwrap();
            signals = MessageStream::for_match_rule(rule, &self.conn, None)
                .await
                .unwrap();
        }
        loop {
            let job = self.all(path, JOB).await;
            if text(&job, "State") == state {
                return job;
            }
            within(signals.next()).await.unwrap().unwrap();
        }
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("in time")
}

fn text(properties: &HashMap<String, OwnedVariant>, name: &str) -> String {
    String::try_from(properties[name].clone()).unwrap()
}

fn error_name(result: zbus::Result<zbus::Message>) -> String {
    match result.unwrap_err() {
        zbus::Error::MethodError(name, _, _) => name
            .as_str()
            .strip_prefix("org.simsync.SimSync1.Error.")
            .unwrap()
            .to_owned(),
        other => panic!("{other}"),
    }
}

fn no_options() -> HashMap<&'static str, Variant<'static>> {
    HashMap::new()
}

/// Every method that starts a job, and the command that it gives.
async fn every_order(client: &Client, fake: &Fake) {
    let label = HashMap::from([("label", Variant::from("desk"))]);
    let sync = HashMap::from([
        ("review", Variant::from(true)),
        ("allow_deletions", Variant::from(true)),
    ]);
    let expect = |command: Command| assert_eq!(fake.last_command(), Some(command));
    client.command("Unlock", &()).await;
    expect(Command::Unlock);
    client.command("Pair", &(label,)).await;
    expect(Command::Pair {
        label: "desk".to_owned(),
    });
    client.command("Unpair", &()).await;
    expect(Command::Unpair);
    client.command("ForgetPairing", &()).await;
    assert_eq!(fake.last_command(), Some(Command::ForgetPairing));
    client.command("AcceptRestored", &()).await;
    assert_eq!(fake.last_command(), Some(Command::AcceptRestored));
    client.command("Sync", &(sync,)).await;
    expect(Command::Sync {
        review: true,
        allow_deletions: true,
    });
    client.command("Sync", &(no_options(),)).await;
    expect(Command::Sync {
        review: false,
        allow_deletions: false,
    });
    client.command("Eject", &()).await;
    expect(Command::Eject);
    client
        .command("AddCollection", &("files", "notes", "/home/me/notes"))
        .await;
    expect(Command::AddCollection {
        attribute: "files".to_owned(),
        name: "notes".to_owned(),
        path: "/home/me/notes".to_owned(),
    });
    client
        .command("AnswerCollection", &("notes", "give-back", "fedc"))
        .await;
    expect(Command::AnswerCollection {
        collection: "notes".to_owned(),
        deleted: false,
        question: "fedc".to_owned(),
    });
    client.command("RemoveCollection", &("notes",)).await;
    expect(Command::RemoveCollection {
        collection: "notes".to_owned(),
    });
    client.command("ChangeCardPin", &()).await;
    expect(Command::ChangeCardPin);
    client.command("ChangeTerminalPin", &()).await;
    expect(Command::ChangeTerminalPin);
    let job = client.command("Forget", &("desk",)).await;
    expect(Command::Forget {
        terminal: "desk".to_owned(),
    });
    let done = client.job(&job, "done").await;
    assert_eq!(text(&done, "Kind"), "test");
    let reply = client.manager("Log", &(5u32,)).await.unwrap();
    let log: Vec<HashMap<String, OwnedVariant>> = reply.body().deserialize().unwrap();
    assert_eq!(log.len(), 2);
    assert_eq!(u64::try_from(log[0]["sequence"].clone()).unwrap(), 41);
    let reply = client.manager("Conflicts", &()).await.unwrap();
    let conflicts: Vec<HashMap<String, OwnedVariant>> = reply.body().deserialize().unwrap();
    assert_eq!(text(&conflicts[0], "path"), "a.txt");
}

#[tokio::test]
async fn every_method_over_a_bus() {
    let bus = Bus::start();
    let fake = Fake::new();
    let _face = fake.on(&bus).await;
    every_order(&Client::on(&bus).await, &fake).await;
}

#[tokio::test]
async fn every_method_without_a_bus() {
    let fake = Fake::new();
    let (_face, conn) = fake.p2p().await;
    every_order(&Client::direct(conn), &fake).await;
}

#[tokio::test]
async fn f_g3_a_sync_that_nobody_ordered_is_a_job_with_progress_and_cancel() {
    let fake = Fake::new();
    let (_face, conn) = fake.p2p().await;
    let client = Client::direct(conn);
    let (control, mut told) = tokio::sync::mpsc::channel(1);
    let job = tokio::sync::watch::Sender::new(bus_support::job_status(7));
    *fake.own_job.lock() = Some(Job {
        status: job.subscribe(),
        control,
    });
    let mut signals = MessageStream::from(&client.conn);
    fake.change(|s| s.jobs = vec![7]);
    let path = format!("{ROOT}/jobs/7");
    while !client.objects().await.contains(&path) {
        within(signals.next()).await.unwrap().unwrap();
    }
    job.send_modify(|j| j.files_done = 3);
    while u64::try_from(client.all(&path, JOB).await["FilesDone"].clone()).unwrap() != 3 {
        within(signals.next()).await.unwrap().unwrap();
    }
    client.call(&path, JOB, "Cancel", &()).await.unwrap();
    assert_eq!(within(told.recv()).await, Some(JobControl::Cancel));
    job.send_modify(|j| j.state = JobState::Cancelled);
    client.job(&path, "cancelled").await;
    // Told of once more, it is not shown twice.
    fake.change(|s| s.jobs = Vec::new());
    fake.change(|s| s.jobs = vec![7]);
    client.job(&path, "cancelled").await;
}

#[tokio::test]
async fn the_status_is_properties_and_objects() {
    let fake = Fake::new();
    let (_face, conn) = fake.p2p().await;
    let client = Client::direct(conn);
    let manager = client.all(ROOT, MANAGER).await;
    assert_eq!(text(&manager, "State"), "waiting");
    assert_eq!(text(&manager, "Online"), "yes");
    assert_eq!(text(&manager, "LoginActive"), "unknown");
    let reasons = Vec::<(String, String)>::try_from(manager["PauseReasons"].clone()).unwrap();
    assert_eq!(reasons[0].0, "no-card");
    let error = <(String, String)>::try_from(manager["LastError"].clone()).unwrap();
    assert_eq!(error, Default::default());
    assert_eq!(
        client.objects().await,
        [
            "/org/simsync/SimSync1/collections/c0ffee",
            "/org/simsync/SimSync1/readers/Reader_2000",
            "/org/simsync/SimSync1/terminals/aa11bb22cc33",
        ]
    );
}

#[tokio::test]
async fn changes_are_signalled() {
    let bus = Bus::start();
    let fake = Fake::new();
    let _face = fake.on(&bus).await;
    let client = Client::on(&bus).await;
    let rule = zbus::MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .sender(BUS_NAME)
        .build()
        .unwrap();
    let mut signals = MessageStream::for_match_rule(rule, &client.conn, None)
        .await
        .unwrap();
    fake.change(|s| {
        s.cards.push(card());
        s.state = State::Synced;
        s.last_error = Some(Reason::new(Code::Offline, "no server"));
    });
    let mut seen = Vec::new();
    while !seen.iter().any(|s: &String| s.starts_with("manager")) {
        let message = within(signals.next()).await.unwrap().unwrap();
        let header = message.header();
        let path = header.path().unwrap().to_string();
        let member = header.member().unwrap().to_string();
        if path == ROOT && member == "PropertiesChanged" {
            let body = message.body();
            let (_, changed, _): (String, HashMap<String, OwnedVariant>, Vec<String>) =
                body.deserialize().unwrap();
            let mut names: Vec<_> = changed.keys().cloned().collect();
            names.sort();
            // Exactly what changed, and nothing else.
            assert_eq!(names, ["LastError", "State"]);
            seen.push("manager".to_owned());
        } else if member == "InterfacesAdded" {
            let (path, _): (
                OwnedObjectPath,
                HashMap<String, HashMap<String, OwnedVariant>>,
            ) = message.body().deserialize().unwrap();
            seen.push(format!("added {path}"));
        } else {
            seen.push(format!("{member} {path}"));
        }
    }
    assert!(seen.contains(&"added /org/simsync/SimSync1/cards/Reader_2000".to_owned()));
    assert!(
        seen.contains(&"PropertiesChanged /org/simsync/SimSync1/readers/Reader_2000".to_owned())
    );
    fake.change(|s| s.cards.clear());
    loop {
        let message = within(signals.next()).await.unwrap().unwrap();
        if message.header().member().unwrap().as_str() == "InterfacesRemoved" {
            let (path, _): (OwnedObjectPath, Vec<String>) = message.body().deserialize().unwrap();
            assert_eq!(path.as_str(), "/org/simsync/SimSync1/cards/Reader_2000");
            break;
        }
    }
}

#[tokio::test]
async fn failures_have_names() {
    let fake = Fake::new();
    let (_face, conn) = fake.p2p().await;
    let client = Client::direct(conn);
    for (code, name) in [
        (Code::PinBlocked, "PinBlocked"),
        (Code::NoCard, "NoCard"),
        (Code::PinDeclined, "Declined"),
        (Code::Failed, "Failed"),
    ] {
        fake.plan(Plan::Refuse(Failure::new(code, "why")));
        assert_eq!(error_name(client.manager("Unlock", &()).await), name);
    }
}

#[tokio::test]
async fn bad_arguments_reach_nobody() {
    let fake = Fake::new();
    let (_face, conn) = fake.p2p().await;
    let client = Client::direct(conn);
    let long = "x".repeat(5000);
    let options = |name: &'static str, value: Variant<'static>| (HashMap::from([(name, value)]),);
    let mut bad = Vec::new();
    bad.push(
        client
            .manager("Pair", &options("label", Variant::from(long.clone())))
            .await,
    );
    bad.push(
        client
            .manager("Pair", &options("label", Variant::from("a\u{7}b")))
            .await,
    );
    bad.push(
        client
            .manager("Pair", &options("label", Variant::from(7u32)))
            .await,
    );
    bad.push(
        client
            .manager("Pair", &options("lable", Variant::from("a")))
            .await,
    );
    bad.push(
        client
            .manager("Sync", &options("review", Variant::from("yes")))
            .await,
    );
    bad.push(client.manager("AddCollection", &("files", "", "/x")).await);
    bad.push(client.manager("AddCollection", &("files", "a", "")).await);
    bad.push(
        client
            .manager("AddCollection", &("files", "a", long.as_str()))
            .await,
    );
    bad.push(
        client
            .manager("AddCollection", &(long.as_str(), "a", "/x"))
            .await,
    );
    bad.push(client.manager("RemoveCollection", &(long.as_str(),)).await);
    bad.push(client.manager("Forget", &(long.as_str(),)).await);
    let path = zbus::ObjectPath::try_from(format!("/{}", "a".repeat(300))).unwrap();
    bad.push(client.manager("RegisterAgent", &(path,)).await);
    let nobody = zbus::ObjectPath::try_from("/nobody").unwrap();
    bad.push(client.manager("UnregisterAgent", &(nobody,)).await);
    for result in bad {
        assert_eq!(error_name(result), "BadArgument");
    }
    assert_eq!(fake.last_command(), None);
}

#[tokio::test]
async fn a_job_shows_progress_and_can_be_cancelled() {
    let bus = Bus::start();
    let fake = Fake::new();
    let _face = fake.on(&bus).await;
    let client = Client::on(&bus).await;
    fake.plan(Plan::Endless);
    let path = client.command("Sync", &(no_options(),)).await;
    let refused = client.call(&path, JOB, "Confirm", &()).await;
    assert_eq!(error_name(refused), "BadArgument");
    let job = fake.job.lock().clone().unwrap();
    job.send_modify(|s| {
        s.step = "fetching".to_owned();
        s.state = JobState::Running;
        s.files_done = 3;
    });
    let proxy = zbus::Proxy::new(&client.conn, BUS_NAME, path.as_str(), JOB)
        .await
        .unwrap();
    let mut finished = proxy.receive_signal("Finished").await.unwrap();
    client.call(&path, JOB, "Cancel", &()).await.unwrap();
    let signal = within(finished.next()).await.unwrap();
    let state: String = signal.body().deserialize().unwrap();
    assert_eq!(state, "cancelled");
    // The result can still be read, and nothing can be steered any longer.
    let job = client.job(&path, "cancelled").await;
    assert_eq!(u64::try_from(job["FilesDone"].clone()).unwrap(), 3);
    let late = client.call(&path, JOB, "Cancel", &()).await;
    assert_eq!(error_name(late), "NoSuchJob");
}

#[tokio::test]
async fn a_review_is_shown_and_confirmed() {
    let fake = Fake::new();
    let (_face, conn) = fake.p2p().await;
    let client = Client::direct(conn);
    let line = ("notes", "a.txt", "write", 12u64);
    let owned = (
        line.0.to_owned(),
        line.1.to_owned(),
        line.2.to_owned(),
        line.3,
    );
    fake.plan(Plan::Review(vec![owned.clone()]));
    let path = client.command("Sync", &(no_options(),)).await;
    let job = client.job(&path, "waiting").await;
    let review = Vec::<(String, String, String, u64)>::try_from(job["Review"].clone()).unwrap();
    assert_eq!(review, [owned]);
    client.call(&path, JOB, "Confirm", &()).await.unwrap();
    client.job(&path, "done").await;
}

#[tokio::test]
async fn the_name_is_had_once() {
    let bus = Bus::start();
    let fake = Fake::new();
    let _face = fake.on(&bus).await;
    let conn = bus.connect().await;
    assert!(simsyncd::bus::name_is_taken(&conn).await.unwrap());
    let second = simsyncd::bus::run_with_connection(conn, fake.handle.clone(), fake.agents.clone());
    let error = second.await.err().unwrap().to_string();
    assert!(error.contains("another simsyncd runs"), "{error}");
}

#[tokio::test]
async fn the_face_ends_with_the_service() {
    let bus = Bus::start();
    let fake = Fake::new();
    let offered = fake.on(&bus).await;
    drop(fake);
    within(offered.task).await.unwrap();
}
