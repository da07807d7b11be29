//! The watch of the login session against python-dbusmock's logind, which has the objects, methods and signals of
//! systemd's. It is the Debian package python3-dbusmock, which `scripts/setup` installs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bus_support;

use std::process::{Child, Command, Stdio};

use bus_support::{Bus, DEADLINE};
use simsyncd::rules::Event;
use simsyncd::watch::login;
use tokio::sync::mpsc;
use zbus::{Connection, DynamicType, ObjectPath, Variant};

const NAME: &str = "org.freedesktop.login1";
const ROOT: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SESSION: &str = "org.freedesktop.login1.Session";
const USER: &str = "org.freedesktop.login1.User";
const MOCK: &str = "org.freedesktop.DBus.Mock";
/// Debian's: the package is not for any other Python.
const PYTHON: &str = "/usr/bin/python3";

/// A logind that is no real one; it ends with this value.
struct Logind {
    child: Child,
    conn: Connection,
    uid: u32,
}

impl Drop for Logind {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Logind {
    async fn start(bus: &Bus) -> Self {
        let has = Command::new(PYTHON)
            .args(["-c", "import dbusmock"])
            .output();
        assert!(
            has.is_ok_and(|out| out.status.success()),
            "python-dbusmock is needed for this test: apt install python3-dbusmock, or run scripts/setup"
        );
        let conn = bus.connect().await;
        let child = Command::new(PYTHON)
            .args(["-m", "dbusmock", "--template", "logind"])
            .env("DBUS_SYSTEM_BUS_ADDRESS", &bus.address)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let uid = rustix::process::getuid().as_raw();
        let logind = Self { child, conn, uid };
        let start = std::time::Instant::now();
        // The template's own cannot be called: it joins a text and a number. That is also when it is ready.
        let user = "ret = '/org/freedesktop/login1/user/%d' % args[0]";
        let method = (MANAGER, "GetUser", "u", "o", user);
        while let Err(error) = logind.call(ROOT, MOCK, "AddMethod", &method).await {
            assert!(start.elapsed() < DEADLINE, "logind does not come: {error}");
            tokio::task::yield_now().await;
        }
        logind
    }

    async fn call<B>(&self, path: &str, interface: &str, method: &str, body: &B) -> zbus::Result<()>
    where
        B: serde::Serialize + DynamicType + Sync,
    {
        let call = self
            .conn
            .call_method(Some(NAME), path, Some(interface), method, body);
        tokio::time::timeout(DEADLINE, call)
            .await
            .expect("in time")?;
        Ok(())
    }

    fn session(id: &str) -> String {
        format!("{ROOT}/session/{id}")
    }

    /// Changes a property and signals it, as logind does.
    async fn update(&self, path: &str, interface: &str, name: &str, value: Variant<'static>) {
        let properties = "org.freedesktop.DBus.Properties";
        self.call(path, properties, "Set", &(interface, name, value))
            .await
            .unwrap();
    }

    /// Which session has the person's display; none without an ID.
    async fn display(&self, id: &str) {
        let path = match id {
            "" => "/".to_owned(),
            id => Self::session(id),
        };
        let path = ObjectPath::try_from(path).unwrap();
        let user = format!("{ROOT}/user/{}", self.uid);
        let value = Variant::from((id.to_owned(), path));
        self.update(&user, USER, "Display", value).await;
    }

    /// The person logs in.
    async fn login(&self, id: &str, active: bool) {
        let session = (id, "seat0", self.uid, "me", active);
        self.call(ROOT, MOCK, "AddSession", &session).await.unwrap();
        self.display(id).await;
    }

    async fn set_locked(&self, id: &str, locked: bool) {
        let path = Self::session(id);
        self.call(&path, SESSION, "SetLockedHint", &(locked,))
            .await
            .unwrap();
    }

    async fn set_active(&self, id: &str, active: impl Into<Variant<'static>>) {
        let path = Self::session(id);
        self.update(&path, SESSION, "Active", active.into()).await;
    }

    /// The person logs out.
    async fn logout(&self, id: &str) {
        let path = ObjectPath::try_from(Self::session(id)).unwrap();
        self.call(ROOT, MOCK, "RemoveObject", &(Self::session(id),))
            .await
            .unwrap();
        let args = vec![Variant::from(id.to_owned()), Variant::from(path)];
        let signal = (MANAGER, "SessionRemoved", "so", args);
        self.call(ROOT, MOCK, "EmitSignal", &signal).await.unwrap();
    }
}

struct Watch(mpsc::UnboundedReceiver<Event>);

impl Watch {
    fn on(bus: &Bus) -> Self {
        let (tx, events) = mpsc::unbounded_channel();
        let at = login::Bus::At(bus.address.clone());
        tokio::spawn(login::run(at, move |e| tx.send(e).unwrap_or_default()));
        Self(events)
    }

    /// The next event is this one, and none came in between.
    async fn tells(&mut self, active: Option<bool>, locked: Option<bool>) {
        let next = tokio::time::timeout(DEADLINE, self.0.recv()).await;
        let next = next.expect("in time");
        assert_eq!(next, Some(Event::Login { active, locked }));
    }
}

/// A bus on which the session "2" is active and unlocked, and that is known.
async fn logged_in() -> (Bus, Logind, Watch) {
    let bus = Bus::start();
    let mut watch = Watch::on(&bus);
    watch.tells(None, None).await;
    let logind = Logind::start(&bus).await;
    logind.login("2", true).await;
    watch.tells(Some(true), Some(false)).await;
    (bus, logind, watch)
}

#[tokio::test]
async fn m6_the_session_of_logind_is_followed() {
    let (_bus, logind, mut watch) = logged_in().await;
    logind.set_locked("2", true).await;
    watch.tells(Some(true), Some(true)).await;
    logind.set_active("2", false).await;
    watch.tells(Some(false), Some(true)).await;
    logind.set_active("2", true).await;
    watch.tells(Some(true), Some(true)).await;
    logind.set_locked("2", false).await;
    watch.tells(Some(true), Some(false)).await;
}

#[tokio::test]
async fn m6_a_session_that_ends_is_unknown_until_the_next_one() {
    let (_bus, logind, mut watch) = logged_in().await;
    logind.logout("2").await;
    watch.tells(None, None).await;
    logind.display("").await;
    logind.login("3", true).await;
    watch.tells(Some(true), Some(false)).await;
    // Two at once: the one with the display counts, and another one's lock does not.
    let second = ("4", "seat0", logind.uid, "me", false);
    let added = logind.call(ROOT, MOCK, "AddSession", &second);
    added.await.unwrap();
    logind.set_locked("4", true).await;
    logind.set_locked("3", true).await;
    watch.tells(Some(true), Some(true)).await;
}

#[tokio::test]
async fn m6_logind_restarts_and_is_asked_anew() {
    let (bus, logind, mut watch) = logged_in().await;
    drop(logind);
    watch.tells(None, None).await;
    let logind = Logind::start(&bus).await;
    logind.login("2", false).await;
    watch.tells(Some(false), Some(false)).await;
    logind.set_locked("2", true).await;
    watch.tells(Some(false), Some(true)).await;
}

#[tokio::test]
async fn m6_what_logind_says_in_other_types_is_unknown() {
    let (_bus, logind, mut watch) = logged_in().await;
    logind.set_active("2", "yes").await;
    watch.tells(None, Some(false)).await;
    logind.set_active("2", 1u32).await;
    logind.set_locked("2", true).await;
    watch.tells(None, Some(true)).await;
    logind.set_active("2", true).await;
    watch.tells(Some(true), Some(true)).await;
    // A user whose display is no session at all.
    let user = format!("{ROOT}/user/{}", logind.uid);
    logind.update(&user, USER, "Display", "seat0".into()).await;
    watch.tells(None, None).await;
}
