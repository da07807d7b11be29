//! Agents from outside: PINs by descriptor, and everything that can go wrong with them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../bus_support/mod.rs"]
mod bus_support;
mod pads;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use bus_support::{Bus, DEADLINE, Fake};
use futures_util::StreamExt;
use parking_lot::Mutex;
use simsyncd::api::{
    AgentError, Agents, Caller, PadPurpose, PadRequest, PadShown, Secret, SecretKind, SecretRequest,
};
use simsyncd::bus::names::{BUS_NAME, ROOT};
use simsyncd::bus::{BusAgents, SECRET_MAX};
use tokio::sync::Notify;
use zbus::{Connection, Fd, MessageStream, ObjectPath, OwnedVariant, interface};

const MANAGER: &str = "org.simsync.SimSync1.Manager";
const PATH: &str = "/agent";

#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.simsync.SimSync1.Error")]
enum Error {
    #[zbus(error)]
    ZBus(zbus::Error),
    Declined(String),
    NotMine(String),
}

/// What the agent does when it is asked.
#[derive(Clone)]
enum Manner {
    Gives(Vec<u8>),
    Declines,
    NotMine,
    /// Answers with a pipe that never ends.
    Endless,
    /// Does not answer.
    Silent,
}

#[derive(Default)]
struct Seen {
    details: Mutex<Vec<HashMap<String, OwnedVariant>>>,
    shown: Mutex<Vec<(String, String)>>,
    asked: Notify,
    cancelled: Notify,
    kept: Mutex<Vec<std::io::PipeWriter>>,
}

struct Agent {
    manner: Manner,
    seen: Arc<Seen>,
}

#[interface(name = "org.simsync.SimSync1.Agent")]
impl Agent {
    async fn request_pin(
        &self,
        details: HashMap<String, OwnedVariant>,
    ) -> Result<Fd<'static>, Error> {
        self.seen.details.lock().push(details);
        self.seen.asked.notify_one();
        let (reader, mut writer) = std::io::pipe().unwrap();
        match &self.manner {
            Manner::Gives(data) => writer.write_all(data).unwrap(),
            Manner::Declines => return Err(Error::Declined("no".to_owned())),
            Manner::NotMine => return Err(Error::NotMine("no".to_owned())),
            Manner::Endless => self.seen.kept.lock().push(writer),
            Manner::Silent => std::future::pending().await,
        }
        Ok(Fd::from(OwnedFd::from(reader)))
    }

    async fn show_secret(&self, what: String, secret: Fd<'_>) -> Result<bool, Error> {
        let mut text = String::new();
        let fd = OwnedFd::try_from(secret).unwrap();
        std::fs::File::from(fd).read_to_string(&mut text).unwrap();
        self.seen.shown.lock().push((what, text));
        match self.manner {
            Manner::NotMine => Err(Error::NotMine("no".to_owned())),
            Manner::Declines => Ok(false),
            _ => Ok(true),
        }
    }

    async fn cancel(&self) {
        self.seen.cancelled.notify_one();
    }
}

async fn register(
    conn: &Connection,
    destination: Option<&str>,
    path: &str,
    manner: Manner,
) -> Arc<Seen> {
    register_by("RegisterAgent", conn, destination, path, manner).await
}

async fn register_by(
    method: &str,
    conn: &Connection,
    destination: Option<&str>,
    path: &str,
    manner: Manner,
) -> Arc<Seen> {
    let seen = Arc::new(Seen::default());
    let agent = Agent {
        manner,
        seen: seen.clone(),
    };
    conn.object_server().at(path, agent).await.unwrap();
    let path = ObjectPath::try_from(path).unwrap();
    conn.call_method(destination, ROOT, Some(MANAGER), method, &(path,))
        .await
        .unwrap();
    seen
}

/// Calls a method of the manager that takes a path.
async fn manage(conn: &Connection, method: &str, path: &str) -> zbus::Result<()> {
    let path = ObjectPath::try_from(path).unwrap();
    conn.call_method(Some(BUS_NAME), ROOT, Some(MANAGER), method, &(path,))
        .await
        .map(drop)
}

/// One for prompts that nobody's command leads to.
async fn default_on(bus: &Bus, manner: Manner) -> (Connection, Arc<Seen>) {
    let conn = bus.connect().await;
    let method = "RegisterDefaultAgent";
    let seen = register_by(method, &conn, Some(BUS_NAME), PATH, manner).await;
    (conn, seen)
}

/// The program at the other end of this connection.
fn by(conn: &Connection) -> Option<Caller> {
    let name = conn.unique_name().map(|n| n.to_string());
    Some(Caller(
        name.unwrap_or_else(|| conn.server_guid().to_string()),
    ))
}

async fn agent_on(bus: &Bus, manner: Manner) -> (Connection, Arc<Seen>) {
    let conn = bus.connect().await;
    let seen = register(&conn, Some(BUS_NAME), PATH, manner).await;
    (conn, seen)
}

fn request() -> SecretRequest {
    SecretRequest {
        kind: SecretKind::CardPin,
        tries_left: Some(2),
        retry: true,
        reader: Some("Reader 00".to_owned()),
        hint: None,
    }
}

/// As for an order of the program at this connection.
async fn ask(fake: &Fake, conn: &Connection) -> Result<Secret, AgentError> {
    tokio::time::timeout(DEADLINE, fake.agents.ask(by(conn), request()))
        .await
        .expect("in time")
}

/// As at an insertion.
async fn ask_default(fake: &Fake) -> Result<Secret, AgentError> {
    tokio::time::timeout(DEADLINE, fake.agents.ask(None, request()))
        .await
        .expect("in time")
}

fn gives(text: &str) -> Manner {
    Manner::Gives(text.as_bytes().to_vec())
}

/// Waits for a condition that no signal tells of.
async fn until(condition: impl Fn() -> bool) {
    let all = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, all).await.expect("in time");
}

#[tokio::test]
async fn a_pin_comes_by_pipe_over_a_bus() {
    let bus = Bus::start();
    let fake = Fake::new();
    let _face = fake.on(&bus).await;
    assert_eq!(ask_default(&fake).await, Err(AgentError::NoAgent));
    let appeared = Arc::new(Notify::new());
    let told = appeared.clone();
    fake.agents.on_appear(move || told.notify_one());
    let (_conn, seen) = default_on(&bus, gives("4711")).await;
    tokio::time::timeout(DEADLINE, appeared.notified())
        .await
        .unwrap();
    assert_eq!(*ask_default(&fake).await.unwrap(), "4711");
    let details = seen.details.lock().pop().unwrap();
    assert_eq!(
        String::try_from(details["kind"].clone()).unwrap(),
        "card-pin"
    );
    assert_eq!(u32::try_from(details["tries_left"].clone()).unwrap(), 2);
    assert!(bool::try_from(details["retry"].clone()).unwrap());
    assert_eq!(
        String::try_from(details["reader"].clone()).unwrap(),
        "Reader 00"
    );
}

/// The next value of `HasAgent` that is signalled.
async fn told(signals: &mut MessageStream) -> bool {
    let next = tokio::time::timeout(DEADLINE, signals.next());
    let message = next.await.expect("in time").unwrap().unwrap();
    let body = message.body();
    let (_, changed, _): (String, HashMap<String, OwnedVariant>, Vec<String>) =
        body.deserialize().unwrap();
    assert_eq!(changed.keys().collect::<Vec<_>>(), ["HasAgent"]);
    bool::try_from(changed["HasAgent"].clone()).unwrap()
}

#[tokio::test]
async fn who_can_ask_for_a_pin_is_signalled() {
    let bus = Bus::start();
    let fake = Fake::new();
    let _face = fake.on(&bus).await;
    let looking = bus.connect().await;
    let rule = zbus::MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .sender(BUS_NAME)
        .member("PropertiesChanged")
        .build()
        .unwrap();
    let mut signals = MessageStream::for_match_rule(rule, &looking, None)
        .await
        .unwrap();
    let (first, _) = agent_on(&bus, gives("1")).await;
    assert!(told(&mut signals).await);
    // A second one changes nothing; only when the last one is gone, that is told.
    let (second, _) = agent_on(&bus, gives("2")).await;
    drop(first);
    let path = ObjectPath::try_from(PATH).unwrap();
    second
        .call_method(
            Some(BUS_NAME),
            ROOT,
            Some(MANAGER),
            "UnregisterAgent",
            &(path,),
        )
        .await
        .unwrap();
    assert!(!told(&mut signals).await);
    let (third, _) = agent_on(&bus, gives("3")).await;
    assert!(told(&mut signals).await);
    drop(third);
    assert!(!told(&mut signals).await);
}

#[tokio::test]
async fn a_pin_comes_by_pipe_without_a_bus() {
    let fake = Fake::new();
    let (_face, conn) = fake.p2p().await;
    let _seen = register(&conn, None, PATH, gives("4711\n")).await;
    assert_eq!(*ask(&fake, &conn).await.unwrap(), "4711");
    let path = ObjectPath::try_from(PATH).unwrap();
    conn.call_method(
        None::<&str>,
        ROOT,
        Some(MANAGER),
        "UnregisterAgent",
        &(path,),
    )
    .await
    .unwrap();
    assert!(!fake.agents.any(by(&conn).as_ref()));
}

#[tokio::test]
async fn the_newest_is_asked_first_and_older_ones_when_it_cannot() {
    let bus = Bus::start();
    let fake = Fake::new();
    let _face = fake.on(&bus).await;
    let (conn, oldest) = agent_on(&bus, gives("old")).await;
    let add = |path: &'static str, manner| register(&conn, Some(BUS_NAME), path, manner);
    add("/second", Manner::NotMine).await;
    assert_eq!(*ask(&fake, &conn).await.unwrap(), "old");
    // One that has no such object is passed over too.
    manage(&conn, "RegisterAgent", "/no/object").await.unwrap();
    assert_eq!(*ask(&fake, &conn).await.unwrap(), "old");
    assert_eq!(oldest.details.lock().len(), 2);
    // A no is a no: nobody else is asked.
    add("/declines", Manner::Declines).await;
    assert_eq!(ask(&fake, &conn).await, Err(AgentError::Declined));
    assert_eq!(oldest.details.lock().len(), 2);
}

/// What a program that nobody gave a command to gets to see: nothing.
#[tokio::test]
async fn w_5_what_an_order_asks_for_goes_to_its_callers_agent_and_the_default_one() {
    let bus = Bus::start();
    let fake = Fake::new();
    let _face = fake.on(&bus).await;
    let words = || Secret::new("one two three".to_owned());
    let (desktop, at_desktop) = default_on(&bus, gives("desktop")).await;
    let (own, at_own) = agent_on(&bus, gives("own")).await;
    // Newer than both, and again and again; also as one that wants to be the default.
    let (_thief, stolen) = agent_on(&bus, gives("stolen")).await;
    let (_second, second) = default_on(&bus, gives("stolen")).await;
    assert_eq!(*ask(&fake, &own).await.unwrap(), "own");
    assert_eq!(*ask_default(&fake).await.unwrap(), "desktop");
    fake.agents.show(by(&own), "puk", words()).await.unwrap();
    assert_eq!(at_own.shown.lock().len(), 1);
    // Whoever cannot answer hands on to the default one, and so does whoever has no agent.
    manage(&own, "UnregisterAgent", PATH).await.unwrap();
    register(&own, Some(BUS_NAME), "/cannot", Manner::NotMine).await;
    assert_eq!(*ask(&fake, &own).await.unwrap(), "desktop");
    fake.agents.show(by(&own), "puk", words()).await.unwrap();
    assert_eq!(at_desktop.shown.lock().len(), 1);
    let nobody = bus.connect().await;
    assert_eq!(*ask(&fake, &nobody).await.unwrap(), "desktop");
    for seen in [&stolen, &second] {
        assert!(seen.details.lock().is_empty());
        assert!(seen.shown.lock().is_empty());
    }
    // Registered once more, it keeps its place.
    manage(&desktop, "RegisterDefaultAgent", PATH)
        .await
        .unwrap();
    assert_eq!(*ask_default(&fake).await.unwrap(), "desktop");
    // With the default one gone, the next that asked to be it is, and status named it all along.
    let shown = || async {
        let proxy = zbus::Proxy::new(&nobody, BUS_NAME, ROOT, MANAGER)
            .await
            .unwrap();
        proxy.get_property::<String>("DefaultAgent").await.unwrap()
    };
    let name = shown().await;
    assert!(name.contains(&std::process::id().to_string()), "{name}");
    desktop.close().await.unwrap();
    until(|| second.details.lock().is_empty() && fake.agents.any(None)).await;
    let next = async {
        while ask_default(&fake).await.ok().as_deref().map(String::as_str) != Some("stolen") {}
    };
    tokio::time::timeout(DEADLINE, next).await.unwrap();
}

#[tokio::test]
async fn w_5_without_a_default_agent_no_other_is_asked() {
    let bus = Bus::start();
    let fake = Fake::new();
    let _face = fake.on(&bus).await;
    let (own, _) = agent_on(&bus, Manner::NotMine).await;
    let (_thief, stolen) = agent_on(&bus, gives("stolen")).await;
    assert_eq!(ask(&fake, &own).await, Err(AgentError::NoAgent));
    assert_eq!(ask_default(&fake).await, Err(AgentError::NoAgent));
    let words = Secret::new("one two three".to_owned());
    let shown = fake.agents.show(by(&own), "recovery-code", words).await;
    assert_eq!(shown, Err(AgentError::NoAgent));
    assert!(stolen.shown.lock().is_empty());
    assert!(!fake.agents.any(None) && fake.agents.any(by(&own).as_ref()));
}

/// One program with many agents, over many connections, takes no place from another.
#[tokio::test]
async fn w_5_one_programs_agents_lock_nobody_out() {
    let bus = Bus::start();
    let fake = Fake::new();
    let _face = fake.on(&bus).await;
    let mut kept = Vec::new();
    let mut refused = 0;
    for i in 0..40 {
        let conn = bus.connect().await;
        match manage(&conn, "RegisterAgent", &format!("/agent{i}")).await {
            Ok(_) => kept.push(conn),
            Err(error) => {
                assert!(error.to_string().contains("this program"), "{error}");
                refused += 1;
            }
        }
    }
    assert_eq!((kept.len(), refused), (4, 36));
    let mut other = std::process::Command::new("dbus-send");
    other
        .arg(format!("--bus={}", bus.address))
        .args(["--print-reply", &format!("--dest={BUS_NAME}"), ROOT])
        .args([&format!("{MANAGER}.RegisterAgent"), "objpath:/agent"]);
    let other = tokio::task::spawn_blocking(move || other.output());
    let other = other.await.unwrap().unwrap();
    assert!(other.status.success(), "{other:?}");
}

#[tokio::test]
async fn an_agent_that_vanishes_is_forgotten() {
    let bus = Bus::start();
    let fake = Fake::new();
    let _face = fake.on(&bus).await;
    let (conn, seen) = agent_on(&bus, Manner::Silent).await;
    let (agents, caller) = (fake.agents.clone(), by(&conn));
    let asking = tokio::spawn(async move { agents.ask(caller, request()).await });
    tokio::time::timeout(DEADLINE, seen.asked.notified())
        .await
        .unwrap();
    let caller = by(&conn);
    conn.close().await.unwrap();
    let answer = tokio::time::timeout(DEADLINE, asking).await.unwrap();
    assert_eq!(answer.unwrap(), Err(AgentError::NoAgent));
    until(|| !fake.agents.any(caller.as_ref())).await;
}

#[tokio::test]
async fn what_is_no_pin_is_not_taken() {
    let bus = Bus::start();
    let fake = Fake::new();
    let _face = fake.on(&bus).await;
    let too_long = vec![b'1'; SECRET_MAX + 1];
    for data in [too_long, Vec::new(), vec![0xff]] {
        let (conn, _) = agent_on(&bus, Manner::Gives(data)).await;
        assert_eq!(ask(&fake, &conn).await, Err(AgentError::Declined));
        conn.close().await.unwrap();
    }
}

#[tokio::test]
async fn who_takes_too_long_is_timed_out_and_told() {
    let bus = Bus::start();
    let short = Duration::from_millis(100);
    let fake = Fake::with_agents(BusAgents::default().with_deadline(short));
    let _face = fake.on(&bus).await;
    for manner in [Manner::Silent, Manner::Endless] {
        let (conn, seen) = agent_on(&bus, manner).await;
        assert_eq!(ask(&fake, &conn).await, Err(AgentError::TimedOut));
        tokio::time::timeout(DEADLINE, seen.cancelled.notified())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_question_that_is_dropped_is_withdrawn() {
    let bus = Bus::start();
    let fake = Fake::new();
    let _face = fake.on(&bus).await;
    let (conn, seen) = agent_on(&bus, Manner::Silent).await;
    let (agents, caller) = (fake.agents.clone(), by(&conn));
    let asking = tokio::spawn(async move { agents.ask(caller, request()).await });
    tokio::time::timeout(DEADLINE, seen.asked.notified())
        .await
        .unwrap();
    asking.abort();
    tokio::time::timeout(DEADLINE, seen.cancelled.notified())
        .await
        .unwrap();
}

#[tokio::test]
async fn secrets_are_shown_by_descriptor() {
    let bus = Bus::start();
    let fake = Fake::new();
    let _face = fake.on(&bus).await;
    let words = || Secret::new("one two three".to_owned());
    let (conn, older) = agent_on(&bus, gives("")).await;
    register(&conn, Some(BUS_NAME), "/second", Manner::NotMine).await;
    let show = |what| fake.agents.show(by(&conn), what, words());
    show("recovery-code").await.unwrap();
    let shown = older.shown.lock().pop().unwrap();
    assert_eq!(
        shown,
        ("recovery-code".to_owned(), "one two three".to_owned())
    );
    register(&conn, Some(BUS_NAME), "/third", Manner::Declines).await;
    assert_eq!(show("puk").await, Err(AgentError::Declined));
}
