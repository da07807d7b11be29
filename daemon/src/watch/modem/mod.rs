//! SIMs in modems, as ModemManager tells it on the system bus.
//!
//! ModemManager takes the modem's object away and makes a new one when a SIM is swapped, and its SIM with it: what counts
//! is the SIM's own number. What is gone for a moment only is not gone.

mod settle;

use std::time::Duration;

use simsync_card::sim::is_iccid;
use zbus::fdo::{DBusProxy, ManagedObjects};
use zbus::{Connection, OwnedObjectPath, OwnedVariant};

use super::login::Bus;
use super::signals;
use crate::rules::{Event, Sims};
use settle::Settled;

const NAME: &str = "org.freedesktop.ModemManager1";
const ROOT: &str = "/org/freedesktop/ModemManager1";
const MODEM: &str = "org.freedesktop.ModemManager1.Modem";
const SIM: &str = "org.freedesktop.ModemManager1.Sim";
/// `MM_MODEM_STATE_FAILED`, and `MM_MODEM_STATE_FAILED_REASON_SIM_MISSING` that goes with it.
const FAILED: i32 = -1;
const SIM_MISSING: u32 = 2;

/// How long ModemManager may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Modems that are looked at; machines have one or two.
const MODEMS_MAX: usize = 16;
/// Longest name of a modem, in characters.
const NAME_MAX: usize = 40;

/// Times, all of them to be chosen by a test.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// A SIM that is back within this time was never away.
    pub debounce: Duration,
    /// Least time between two looks, since modems signal a lot.
    pub between: Duration,
    /// After this time it is tried again, where a look or the bus failed.
    pub retry: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            debounce: Duration::from_secs(3),
            between: Duration::from_millis(250),
            retry: Duration::from_secs(30),
        }
    }
}

/// Watches modems and emits [`Event::Sims`] at the start and whenever the SIMs in them change. Without a system bus or
/// ModemManager nobody can tell; it is tried again by itself.
pub async fn run(bus: Bus, pace: Pace, emit: impl Fn(Event)) {
    let mut settled = Settled::new(pace.debounce);
    loop {
        if let Err(error) = follow(&bus, pace, &mut settled, &emit).await {
            tracing::debug!(%error, "ModemManager cannot be asked");
        }
        // Without a bus there is no signal to wait for: only time, first for what settles, then for the next try.
        tell(&mut settled, None, &emit);
        if let Some(rest) = settled.rest() {
            tokio::time::sleep(rest).await;
            tell(&mut settled, None, &emit);
        }
        tokio::time::sleep(pace.retry).await;
    }
}

fn tell(settled: &mut Settled, seen: Option<Sims>, emit: &impl Fn(Event)) {
    if let Some(sims) = settled.see(seen) {
        emit(Event::Sims(sims));
    }
}

/// Follows one connection until it ends.
async fn follow(
    bus: &Bus,
    pace: Pace,
    settled: &mut Settled,
    emit: &impl Fn(Event),
) -> zbus::Result<()> {
    let builder = match bus {
        Bus::System => zbus::connection::Builder::system(),
        Bus::At(address) => zbus::connection::Builder::address(address.as_str()),
    };
    let conn = builder.method_timeout(ANSWER).build().await?;
    let mut signals = signals::of(&conn, NAME, ROOT).await?;
    loop {
        signals.mark_unchanged();
        let snapshot = read_sims(&conn).await;
        let again = match snapshot {
            Ok(Snapshot { sims, complete }) => {
                tell(settled, Some(sims), emit);
                (!complete).then_some(pace.retry)
            }
            Err(error) => {
                // Absent, or on its way: its coming is a signal.
                tracing::debug!(%error, "nobody tells of modems");
                tell(settled, None, emit);
                None
            }
        };
        tokio::time::sleep(pace.between).await;
        let pause = [again, settled.rest()].into_iter().flatten().min();
        tokio::select! {
            changed = signals.changed() => if changed.is_err() { return Ok(()) },
            () = after(pause) => {}
        }
    }
}

/// Ends after a time, or never.
async fn after(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// What a look showed.
struct Snapshot {
    sims: Sims,
    /// Every SIM told what it is; else it is worth while to ask again.
    complete: bool,
}

/// Asks for the SIM of every modem.
async fn read_sims(conn: &Connection) -> zbus::Result<Snapshot> {
    let name = zbus::names::BusName::try_from(NAME)?;
    // Asking it anything would start it where the administrator did not.
    if !DBusProxy::new(conn).await?.name_has_owner(name).await? {
        return Err(zbus::Error::Failure("it does not run".to_owned()));
    }
    let manager = Some("org.freedesktop.DBus.ObjectManager");
    let reply = conn
        .call_method(Some(NAME), ROOT, manager, "GetManagedObjects", &())
        .await?;
    let objects: ManagedObjects = reply.body().deserialize()?;
    let mut snapshot = Snapshot {
        sims: Sims::new(),
        complete: true,
    };
    let modems = objects.into_values().filter_map(|interfaces| {
        let mut found = interfaces.into_iter();
        found.find_map(|(name, properties)| (name.as_str() == MODEM).then_some(properties))
    });
    for properties in modems.take(MODEMS_MAX) {
        let Some(sim) = sim_of(&properties) else {
            continue;
        };
        match iccid(conn, &sim).await {
            Ok(Some(iccid)) => {
                snapshot.sims.insert(iccid, modem_name(&properties));
            }
            // A SIM that is read still has no number yet; there is a signal when it has.
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "a SIM does not tell who it is");
                snapshot.complete = false;
            }
        }
    }
    Ok(snapshot)
}

type Properties = std::collections::HashMap<String, OwnedVariant>;

fn property<T: TryFrom<OwnedVariant>>(properties: &Properties, name: &str) -> Option<T> {
    T::try_from(properties.get(name)?.clone()).ok()
}

/// The path of a modem's SIM; none if it has none.
fn sim_of(modem: &Properties) -> Option<OwnedObjectPath> {
    let failed = property(modem, "State") == Some(FAILED)
        && property(modem, "StateFailedReason") == Some(SIM_MISSING);
    let sim: OwnedObjectPath = property(modem, "Sim")?;
    (!failed && sim.as_str() != "/").then_some(sim)
}

/// A SIM's number; none if it has none yet, or one that is no ICCID.
async fn iccid(conn: &Connection, sim: &OwnedObjectPath) -> zbus::Result<Option<String>> {
    let properties = Some("org.freedesktop.DBus.Properties");
    let reply = conn
        .call_method(Some(NAME), sim, properties, "Get", &(SIM, "SimIdentifier"))
        .await?;
    let value: OwnedVariant = reply.body().deserialize()?;
    let number = String::try_from(value).unwrap_or_default();
    // Some modems leave the filler of an odd number of digits.
    let digits = number.trim_end_matches(['F', 'f']);
    Ok(is_iccid(digits).then(|| digits.to_owned()))
}

/// What people call the modem: maker and model; else the port that it is at.
fn modem_name(modem: &Properties) -> String {
    let text = |name: &str| -> Option<String> {
        let text: String = property(modem, name)?;
        let clean: String = text.chars().filter(|c| !c.is_control()).collect();
        let clean: String = clean.trim().chars().take(NAME_MAX).collect();
        (!clean.is_empty()).then_some(clean)
    };
    let parts: Vec<String> = [text("Manufacturer"), text("Model")]
        .into_iter()
        .flatten()
        .collect();
    if parts.is_empty() {
        return text("PrimaryPort").unwrap_or_else(|| "without a name".to_owned());
    }
    parts.join(" ").chars().take(NAME_MAX).collect()
}
