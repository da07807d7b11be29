//! Agents from outside: PINs by descriptor, and everything that can go wrong with them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bus_support;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus_support::{Bus, DEADLINE, Fake};
use futures_util::StreamExt;
use simsyncd::api::{
    AgentError, Agents, PadPurpose, PadRequest, PadShown, Secret, SecretKind, SecretRequest,
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
        self.seen.details.lock().unwrap().push(details);
        self.seen.asked.notify_one();
        let (reader, mut writer) = std::io::pipe().unwrap();
        match &self.manner {
            Manner::Gives(data) => writer.write_all(data).unwrap(),
            Manner::Declines => return Err(Error::Declined("no".to_owned())),
            Manner::NotMine => return Err(Error::NotMine("no".to_owned())),
            Manner::Endless => self.seen.kept.lock().unwrap().push(writer),
            Manner::Silent => std::future::pending().await,
        }
        Ok(Fd::from(OwnedFd::from(reader)))
    }

    async fn show_secret(&self, what: String, secret: Fd<'_>) -> Result<bool, Error> {
        let mut text = String::new();
        let fd = OwnedFd::try_from(secret).unwrap();
        std::fs::File::from(fd).read_to_string(&mut text).unwrap();
        self.seen.shown.lock().unwrap().push((what, text));
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
    let seen = Arc::new(Seen::default());
    let agent = Agent {
        manner,
        seen: seen.clone(),
    };
    conn.object_server().at(path, agent).await.unwrap();
    let path = ObjectPath::try_from(path).unwrap();
    conn.call_method(destination, ROOT, Some(MANAGER), "RegisterAgent", &(path,))
        .await
        .unwrap();
    seen
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

async fn ask(fake: &Fake) -> Result<Secret, AgentError> {
    tokio::time::timeout(DEADLINE, fake.agents.ask(request()))
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
    assert_eq!(ask(&fake).await, Err(AgentError::NoAgent));
    let appeared = Arc::new(Notify::new());
    let told = appeared.clone();
    fake.agents.on_appear(move || told.notify_one());
    let (_conn, seen) = agent_on(&bus, gives("4711")).await;
    tokio::time::timeout(DEADLINE, appeared.notified())
        .await
        .unwrap();
    assert_eq!(*ask(&fake).await.unwrap(), "4711");
    let details = seen.details.lock().unwrap().pop().unwrap();
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
    assert_eq!(*ask(&fake).await.unwrap(), "4711");
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
    assert!(!fake.agents.any());
}

#[tokio::test]
async fn the_newest_is_asked_first_and_older_ones_when_it_cannot() {
    let bus = Bus::start();
    let fake = Fake::new();
    let _face = fake.on(&bus).await;
    let (_a, oldest) = agent_on(&bus, gives("old")).await;
    let (_b, _) = agent_on(&bus, Manner::NotMine).await;
    assert_eq!(*ask(&fake).await.unwrap(), "old");
    // One that has no such object is passed over too.
    let (stranger, _) = agent_on(&bus, Manner::NotMine).await;
    let path = ObjectPath::try_from("/no/object").unwrap();
    stranger
        .call_method(
            Some(BUS_NAME),
            ROOT,
            Some(MANAGER),
            "RegisterAgent",
            &(path,),
        )
        .await
        .unwrap();
    assert_eq!(*ask(&fake).await.unwrap(), "old");
    let (_c, _) = agent_on(&bus, gives("new")).await;
    assert_eq!(*ask(&fake).await.unwrap(), "new");
    assert_eq!(oldest.details.lock().unwrap().len(), 2);
    // A no is a no: nobody else is asked.
    let (_d, _) = agent_on(&bus, Manner::Declines).await;
    assert_eq!(ask(&fake).await, Err(AgentError::Declined));
    assert_eq!(oldest.details.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn an_agent_that_vanishes_is_forgotten() {
    let bus = Bus::start();
    let fake = Fake::new();
    let _face = fake.on(&bus).await;
    let (conn, seen) = agent_on(&bus, Manner::Silent).await;
    let agents = fake.agents.clone();
    let asking = tokio::spawn(async move { agents.ask(request()).await });
    tokio::time::timeout(DEADLINE, seen.asked.notified())
        .await
        .unwrap();
    conn.close().await.unwrap();
    let answer = tokio::time::timeout(DEADLINE, asking).await.unwrap();
    assert_eq!(answer.unwrap(), Err(AgentError::NoAgent));
    until(|| !fake.agents.any()).await;
}

#[tokio::test]
async fn what_is_no_pin_is_not_taken() {
    let bus = Bus::start();
    let fake = Fake::new();
    let _face = fake.on(&bus).await;
    let too_long = vec![b'1'; SECRET_MAX + 1];
    for data in [too_long, Vec::new(), vec![0xff]] {
        let (conn, _) = agent_on(&bus, Manner::Gives(data)).await;
        assert_eq!(ask(&fake).await, Err(AgentError::Declined));
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
        let (_conn, seen) = agent_on(&bus, manner).await;
        assert_eq!(ask(&fake).await, Err(AgentError::TimedOut));
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
    let (_conn, seen) = agent_on(&bus, Manner::Silent).await;
    let agents = fake.agents.clone();
    let asking = tokio::spawn(async move { agents.ask(request()).await });
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
    assert_eq!(
        fake.agents.show("recovery-code", words()).await,
        Err(AgentError::NoAgent)
    );
    let (_a, older) = agent_on(&bus, gives("")).await;
    let (_b, _) = agent_on(&bus, Manner::NotMine).await;
    fake.agents.show("recovery-code", words()).await.unwrap();
    let shown = older.shown.lock().unwrap().pop().unwrap();
    assert_eq!(
        shown,
        ("recovery-code".to_owned(), "one two three".to_owned())
    );
    let (_c, _) = agent_on(&bus, Manner::Declines).await;
    assert_eq!(
        fake.agents.show("puk", words()).await,
        Err(AgentError::Declined)
    );
}

/// One that tells the person to type the PIN on the reader.
struct PadAgent {
    seen: Arc<Seen>,
    /// What it answers with, if it is not the reading end of a pipe.
    instead: Option<fn() -> Result<Fd<'static>, Error>>,
}

#[interface(name = "org.simsync.SimSync1.Agent")]
impl PadAgent {
    async fn show_pin_pad(
        &self,
        details: HashMap<String, OwnedVariant>,
    ) -> Result<Fd<'static>, Error> {
        self.seen.details.lock().unwrap().push(details);
        self.seen.asked.notify_one();
        if let Some(instead) = self.instead {
            return instead();
        }
        let (reader, writer) = std::io::pipe().unwrap();
        self.seen.kept.lock().unwrap().push(writer);
        Ok(Fd::from(OwnedFd::from(reader)))
    }

    async fn cancel(&self) {
        self.seen.cancelled.notify_one();
    }
}

async fn pad_agent_on(
    bus: &Bus,
    instead: Option<fn() -> Result<Fd<'static>, Error>>,
) -> (Connection, Arc<Seen>) {
    let conn = bus.connect().await;
    let seen = Arc::new(Seen::default());
    let agent = PadAgent {
        seen: seen.clone(),
        instead,
    };
    conn.object_server().at(PATH, agent).await.unwrap();
    let path = ObjectPath::try_from(PATH).unwrap();
    conn.call_method(
        Some(BUS_NAME),
        ROOT,
        Some(MANAGER),
        "RegisterAgent",
        &(path,),
    )
    .await
    .unwrap();
    (conn, seen)
}

async fn show_pad(fake: &Fake) -> Result<PadShown, AgentError> {
    let request = PadRequest {
        reader: "Reader 00".to_owned(),
        purpose: PadPurpose::Sign,
        tries_left: Some(2),
        retry: true,
        seconds: 30,
    };
    tokio::time::timeout(DEADLINE, fake.agents.show_pad(request))
        .await
        .expect("in time")
}

#[tokio::test]
async fn the_newest_agent_that_knows_pin_pads_tells_the_person() {
    let (bus, fake) = (Bus::start(), Fake::new());
    let _face = fake.on(&bus).await;
    assert!(matches!(show_pad(&fake).await, Err(AgentError::NoAgent)));
    // One that only knows prompts, one that has the PIN already, one that answers with a file: the next one is told.
    let (_conn, told) = pad_agent_on(&bus, None).await;
    let (_older, _) = agent_on(&bus, gives("1234")).await;
    let not_mine = || Err(Error::NotMine("a script gives it".to_owned()));
    let (_script, script) = pad_agent_on(&bus, Some(not_mine)).await;
    let file = || {
        let file = std::fs::File::open("/dev/null").unwrap();
        Ok(Fd::from(OwnedFd::from(file)))
    };
    let (_odd, odd) = pad_agent_on(&bus, Some(file)).await;
    let mut shown = show_pad(&fake).await.unwrap();
    for seen in [&script, &odd] {
        assert_eq!(seen.details.lock().unwrap().len(), 1);
    }
    let details = told.details.lock().unwrap().remove(0);
    let text = |key: &str| String::try_from(details[key].clone()).unwrap();
    assert_eq!(
        (text("reader"), text("purpose")),
        ("Reader 00".into(), "sign".into())
    );
    assert_eq!(u32::try_from(details["tries_left"].clone()).unwrap(), 2);
    assert_eq!(u32::try_from(details["seconds"].clone()).unwrap(), 30);
    assert!(bool::try_from(details["retry"].clone()).unwrap());
    // It stands until the person takes it back, by the agent's end of the pipe.
    let at_once = std::time::Duration::ZERO;
    assert!(
        tokio::time::timeout(at_once, shown.declined())
            .await
            .is_err()
    );
    told.kept.lock().unwrap().clear();
    tokio::time::timeout(DEADLINE, shown.declined())
        .await
        .unwrap();
    // Withdrawn, dropped: both are told.
    shown.withdraw().await;
    tokio::time::timeout(DEADLINE, told.cancelled.notified())
        .await
        .unwrap();
    drop(show_pad(&fake).await.unwrap());
    tokio::time::timeout(DEADLINE, told.cancelled.notified())
        .await
        .unwrap();
}

#[tokio::test]
async fn an_agent_may_decline_for_the_person() {
    let (bus, fake) = (Bus::start(), Fake::new());
    let _face = fake.on(&bus).await;
    let (_older, older) = pad_agent_on(&bus, None).await;
    let declined = || Err(Error::Declined("no".to_owned()));
    let (_conn, _) = pad_agent_on(&bus, Some(declined)).await;
    assert!(matches!(show_pad(&fake).await, Err(AgentError::Declined)));
    assert!(older.details.lock().unwrap().is_empty());
}
