//! The watch of the login session, against a made-up logind on a private bus.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bus_support;

use bus_support::{Bus, DEADLINE};
use simsyncd::rules::Event;
use simsyncd::watch::login;
use tokio::sync::mpsc;
use zbus::{Connection, OwnedObjectPath, interface};

const NAME: &str = "org.freedesktop.login1";
const SESSION: &str = "/org/freedesktop/login1/session/_32";
const USER: &str = "/org/freedesktop/login1/user/_1000";

#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.freedesktop.login1")]
enum Error {
    #[zbus(error)]
    ZBus(zbus::Error),
    NoSessionForPID(String),
}

fn path(text: &'static str) -> OwnedObjectPath {
    zbus::ObjectPath::from_static_str_unchecked(text).into()
}

struct Manager {
    /// The process is in the session itself, and not of the user's manager.
    in_session: bool,
}

#[interface(name = "org.freedesktop.login1.Manager")]
impl Manager {
    async fn get_session(&self, _id: String) -> Result<OwnedObjectPath, Error> {
        Err(Error::NoSessionForPID("none".to_owned()))
    }

    #[zbus(name = "GetSessionByPID")]
    async fn get_session_by_pid(&self, _pid: u32) -> Result<OwnedObjectPath, Error> {
        if self.in_session {
            Ok(path(SESSION))
        } else {
            Err(Error::NoSessionForPID("none".to_owned()))
        }
    }

    async fn get_user(&self, _uid: u32) -> OwnedObjectPath {
        path(USER)
    }
}

struct User;

#[interface(name = "org.freedesktop.login1.User")]
impl User {
    #[zbus(property)]
    async fn display(&self) -> (String, OwnedObjectPath) {
        ("2".to_owned(), path(SESSION))
    }
}

struct Session {
    active: bool,
    locked: bool,
}

#[interface(name = "org.freedesktop.login1.Session")]
impl Session {
    #[zbus(property)]
    async fn active(&self) -> bool {
        self.active
    }

    #[zbus(property)]
    async fn locked_hint(&self) -> bool {
        self.locked
    }
}

async fn logind(bus: &Bus, in_session: bool) -> Connection {
    let session = Session {
        active: true,
        locked: false,
    };
    zbus::connection::Builder::address(bus.address.as_str())
        .serve_at("/org/freedesktop/login1", Manager { in_session })
        .serve_at(USER, User)
        .serve_at(SESSION, session)
        .name(NAME)
        .build()
        .await
        .unwrap()
}

async fn change(conn: &Connection, change: impl FnOnce(&mut Session)) {
    let session = conn
        .object_server()
        .interface::<_, Session>(SESSION)
        .await
        .unwrap();
    let mut guard = session.get_mut().await;
    change(&mut guard);
    let emitter = session.signal_emitter();
    guard.active_changed(emitter).await.unwrap();
    guard.locked_hint_changed(emitter).await.unwrap();
}

async fn expect(
    events: &mut mpsc::UnboundedReceiver<Event>,
    active: Option<bool>,
    locked: Option<bool>,
) {
    let next = tokio::time::timeout(DEADLINE, events.recv()).await;
    assert_eq!(
        next.expect("in time"),
        Some(Event::Login { active, locked })
    );
}

#[tokio::test]
async fn the_session_is_followed_and_logind_may_restart() {
    let bus = Bus::start();
    let (tx, mut events) = mpsc::unbounded_channel();
    let at = login::Bus::At(bus.address.clone());
    tokio::spawn(login::run(at, move |e| tx.send(e).unwrap_or_default()));
    expect(&mut events, None, None).await;
    // A user's service is in no session: it is the one with a display.
    let first = logind(&bus, false).await;
    expect(&mut events, Some(true), Some(false)).await;
    change(&first, |s| s.locked = true).await;
    expect(&mut events, Some(true), Some(true)).await;
    change(&first, |s| (s.active, s.locked) = (false, false)).await;
    expect(&mut events, Some(false), Some(false)).await;
    first.close().await.unwrap();
    expect(&mut events, None, None).await;
    let second = logind(&bus, true).await;
    expect(&mut events, Some(true), Some(false)).await;
    drop(second);
}

#[tokio::test]
async fn without_a_bus_nobody_can_tell() {
    let (tx, mut events) = mpsc::unbounded_channel();
    let at = login::Bus::At("unix:path=/nonexistent/bus".to_owned());
    tokio::spawn(login::run(at, move |e| tx.send(e).unwrap_or_default()));
    expect(&mut events, None, None).await;
}
