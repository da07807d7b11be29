//! Whether the login session is active and unlocked, as logind tells it (M6).

use std::time::Duration;

use zbus::{Connection, OwnedObjectPath, Proxy};

use super::signals;
use crate::rules::Event;

const LOGIND: &str = "org.freedesktop.login1";
const LOGIND_PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SESSION: &str = "org.freedesktop.login1.Session";
/// Between two tries to reach the system bus.
const RETRY: Duration = Duration::from_secs(30);
/// How long logind may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Which bus logind, or another service of the system, is on.
#[derive(Debug, Clone)]
pub enum Bus {
    /// The system bus.
    System,
    /// The bus at an address, for tests.
    At(String),
}

/// What is known of the session: active, locked.
type Known = (Option<bool>, Option<bool>);

/// Watches the login session and emits [`Event::Login`] at the start and whenever it changes. Without a system bus or
/// logind nobody can tell; it is tried again by itself.
pub async fn run(bus: Bus, emit: impl Fn(Event)) {
    let mut told: Option<Known> = None;
    let mut tell = |known: Known| {
        if told != Some(known) {
            told = Some(known);
            let (active, locked) = known;
            emit(Event::Login { active, locked });
        }
    };
    loop {
        if let Err(error) = follow(&bus, &mut tell).await {
            tracing::debug!(%error, "logind cannot be asked");
        }
        tell((None, None));
        tokio::time::sleep(RETRY).await;
    }
}

/// Follows one connection until it ends.
async fn follow(bus: &Bus, tell: &mut impl FnMut(Known)) -> zbus::Result<()> {
    let builder = match bus {
        Bus::System => zbus::connection::Builder::system(),
        Bus::At(address) => zbus::connection::Builder::address(address.as_str()),
    };
    let conn = builder.method_timeout(ANSWER).build().await?;
    let mut seen = signals::of(&conn, LOGIND, LOGIND_PATH).await?;
    loop {
        seen.mark_unchanged();
        match session(&conn).await {
            Ok(known) => tell(known),
            Err(error) => {
                // Absent, or on its way: its coming is a signal.
                tracing::debug!(%error, "logind knows nothing of this session");
                tell((None, None));
            }
        }
        if seen.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// Asks for this person's session.
async fn session(conn: &Connection) -> zbus::Result<Known> {
    let path = session_path(conn).await?;
    let session = Proxy::new(conn, LOGIND, path, SESSION).await?;
    let property = async |name: &str| -> Option<bool> {
        let reply = conn
            .call_method(
                Some(LOGIND),
                session.path(),
                Some("org.freedesktop.DBus.Properties"),
                "Get",
                &(SESSION, name),
            )
            .await
            .ok()?;
        let value: zbus::OwnedVariant = reply.body().deserialize().ok()?;
        bool::try_from(value).ok()
    };
    Ok((property("Active").await, property("LockedHint").await))
}

/// The session that this process is of. A user service is in none: then it is the person's session with a display.
async fn session_path(conn: &Connection) -> zbus::Result<OwnedObjectPath> {
    if let Ok(id) = std::env::var("XDG_SESSION_ID")
        && let Ok(path) = ask(conn, "GetSession", &(id,)).await
    {
        return Ok(path);
    }
    if let Ok(path) = ask(conn, "GetSessionByPID", &(std::process::id(),)).await {
        return Ok(path);
    }
    let uid = rustix::process::getuid().as_raw();
    let user: OwnedObjectPath = ask(conn, "GetUser", &(uid,)).await?;
    let reply = conn
        .call_method(
            Some(LOGIND),
            &user,
            Some("org.freedesktop.DBus.Properties"),
            "Get",
            &("org.freedesktop.login1.User", "Display"),
        )
        .await?;
    let value: zbus::OwnedVariant = reply.body().deserialize()?;
    let (id, path) = <(String, OwnedObjectPath)>::try_from(value)?;
    if id.is_empty() {
        return Err(zbus::Error::Failure(
            "the person has no session with a display".to_owned(),
        ));
    }
    Ok(path)
}

async fn ask<B>(conn: &Connection, method: &str, body: &B) -> zbus::Result<OwnedObjectPath>
where
    B: serde::Serialize + zbus::DynamicType + Sync,
{
    conn.call_method(Some(LOGIND), LOGIND_PATH, Some(MANAGER), method, body)
        .await?
        .body()
        .deserialize()
}
