//! The watch of SIMs in modems against python-dbusmock's ModemManager, which has the objects and signals of the real one.
//! Debian's python3-dbusmock lacks it: `scripts/setup` fetches a newer one to target/python.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bus_support;

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bus_support::{Bus, DEADLINE};
use simsyncd::core::{Event, Sims};
use simsyncd::watch::login::Bus as At;
use simsyncd::watch::modem::{self, Pace};
use tokio::sync::mpsc;
use zbus::{Connection, DynamicType, ObjectPath, Variant};

const NAME: &str = "org.freedesktop.ModemManager1";
const ROOT: &str = "/org/freedesktop/ModemManager1";
const MODEM: &str = "org.freedesktop.ModemManager1.Modem";
const SIM: &str = "org.freedesktop.ModemManager1.Sim";
const MOCK: &str = "org.freedesktop.DBus.Mock";
/// What the template's modem is called, and where it and its SIM are.
const TEMPLATE_MODEM: &str = "/org/freedesktop/ModemManager1/Modems/8";
const TEMPLATE_SIM: &str = "/org/freedesktop/ModemManager1/SIM/2";
const MODEL: &str = "E1750";
/// Debian's: dbus-python is not for any other.
const PYTHON: &str = "/usr/bin/python3";

const A: &str = "8901000000000000801";
const B: &str = "89010000000000008022";

/// No debounce, where it is not what is tested.
const NOW: Duration = Duration::ZERO;
/// Longer than any test: what settles only after it does not settle in it.
const NEVER: Duration = Duration::from_secs(3600);

type Properties = HashMap<&'static str, Variant<'static>>;

fn object(path: &str) -> ObjectPath<'static> {
    ObjectPath::try_from(path.to_owned()).unwrap()
}

/// A ModemManager that is no real one; it ends with this value.
struct ModemManager {
    child: Child,
    conn: Connection,
}

impl Drop for ModemManager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl ModemManager {
    async fn start(bus: &Bus) -> Self {
        let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python");
        assert!(
            packages
                .join("dbusmock/templates/modemmanager.py")
                .is_file(),
            "python-dbusmock with a ModemManager is needed for this test: run scripts/setup"
        );
        let conn = bus.connect().await;
        let child = Command::new(PYTHON)
            .args(["-m", "dbusmock", "--template", "modemmanager"])
            .env("PYTHONPATH", packages)
            .env("DBUS_SYSTEM_BUS_ADDRESS", &bus.address)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let this = Self { child, conn };
        let start = Instant::now();
        // It is ready when its template is loaded.
        let objects = "org.freedesktop.DBus.ObjectManager";
        while let Err(error) = this.call(ROOT, objects, "GetManagedObjects", &()).await {
            assert!(start.elapsed() < DEADLINE, "it does not come: {error}");
            tokio::task::yield_now().await;
        }
        this
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

    /// How often the watch has looked.
    async fn looks(&self) -> usize {
        let calls = self.conn.call_method(
            Some(NAME),
            ROOT,
            Some(MOCK),
            "GetMethodCalls",
            &("GetManagedObjects",),
        );
        let reply = tokio::time::timeout(DEADLINE, calls).await;
        let reply = reply.expect("in time").unwrap();
        let calls: Vec<(u64, Vec<zbus::OwnedVariant>)> = reply.body().deserialize().unwrap();
        calls.len()
    }

    /// Waits until the watch has looked at what is now: the first look that is counted may have begun before.
    async fn is_looked_at(&self) {
        let before = self.looks().await;
        let start = Instant::now();
        while self.looks().await < before + 2 {
            assert!(start.elapsed() < DEADLINE, "nobody looks");
            let changed = vec![object(ROOT).into(), vec![MODEM].into()];
            self.signal("InterfacesRemoved", "oas", changed).await;
        }
    }

    async fn mock<B>(&self, path: &str, method: &str, body: &B)
    where
        B: serde::Serialize + DynamicType + Sync,
    {
        self.call(path, MOCK, method, body).await.unwrap();
    }

    /// Changes properties and signals it, as ModemManager does.
    async fn update(&self, path: &str, interface: &str, properties: Properties) {
        self.mock(path, "UpdateProperties", &(interface, properties))
            .await;
    }

    async fn add(&self, path: &str, interface: &str, properties: Properties) {
        let methods: Vec<(&str, &str, &str, &str)> = Vec::new();
        self.mock(ROOT, "AddObject", &(path, interface, properties, methods))
            .await;
    }

    async fn signal(&self, member: &str, signature: &str, args: Vec<Variant<'static>>) {
        let manager = "org.freedesktop.DBus.ObjectManager";
        self.mock(ROOT, "EmitSignal", &(manager, member, signature, args))
            .await;
    }

    /// The template's modem, with a SIM of this number.
    async fn add_template_modem(&self, iccid: &str) {
        self.mock(ROOT, "AddSimpleModem", &()).await;
        self.mock(
            TEMPLATE_SIM,
            "AddProperty",
            &(SIM, "SimIdentifier", Variant::from("")),
        )
        .await;
        let number = Properties::from([("SimIdentifier", Variant::from(iccid.to_owned()))]);
        self.update(TEMPLATE_SIM, SIM, number).await;
    }

    /// A modem of a test's making, as it is after ModemManager found it.
    async fn add_modem(&self, number: u8, sim: Option<(&str, &str)>, more: Properties) {
        let path = format!("{ROOT}/Modems/{number}");
        let mut modem = Properties::from([("State", Variant::from(8i32))]);
        modem.insert("Sim", object(sim.map_or("/", |(path, _)| path)).into());
        if let Some((path, iccid)) = sim {
            let number = Properties::from([("SimIdentifier", Variant::from(iccid.to_owned()))]);
            self.add(path, SIM, number).await;
        }
        modem.extend(more);
        self.add(&path, MODEM, modem).await;
        let nothing: HashMap<String, HashMap<String, Variant<'static>>> = HashMap::new();
        let args = vec![object(&path).into(), nothing.into()];
        self.signal("InterfacesAdded", "oa{sa{sv}}", args).await;
    }

    /// The modem's object goes, and its SIM with it: so it begins when a SIM is taken out.
    async fn remove_modem(&self, modem: &str, sim: Option<&str>) {
        for path in [Some(modem), sim].into_iter().flatten() {
            self.mock(ROOT, "RemoveObject", &(path,)).await;
        }
        let args = vec![object(modem).into(), vec![MODEM].into()];
        self.signal("InterfacesRemoved", "oas", args).await;
    }
}

fn model(name: &str) -> Properties {
    Properties::from([("Model", Variant::from(name.to_owned()))])
}

struct Watch(mpsc::UnboundedReceiver<Event>);

impl Watch {
    fn on(bus: &Bus, debounce: Duration) -> Self {
        let (tx, events) = mpsc::unbounded_channel();
        let pace = Pace {
            debounce,
            between: Duration::ZERO,
            retry: Duration::from_millis(20),
        };
        let at = At::At(bus.address.clone());
        tokio::spawn(modem::run(at, pace, move |e| {
            tx.send(e).unwrap_or_default()
        }));
        Self(events)
    }

    /// The next event is this one, and none came in between.
    async fn tells(&mut self, sims: Option<&[(&str, &str)]>) {
        let next = tokio::time::timeout(DEADLINE, self.0.recv()).await;
        let wanted = sims.map(|list| -> Sims {
            list.iter()
                .map(|(iccid, modem)| (iccid.to_string(), modem.to_string()))
                .collect()
        });
        assert_eq!(next.expect("in time"), Some(Event::Sims(wanted)));
    }
}

/// A bus with a modem on it whose SIM is known.
async fn with_a_sim(debounce: Duration) -> (Bus, ModemManager, Watch) {
    let bus = Bus::start();
    let mut watch = Watch::on(&bus, debounce);
    watch.tells(None).await;
    let manager = ModemManager::start(&bus).await;
    watch.tells(Some(&[])).await;
    manager.add_template_modem(A).await;
    watch.tells(Some(&[(A, MODEL)])).await;
    (bus, manager, watch)
}

#[tokio::test]
async fn m14_a_sim_that_goes_into_a_modem_and_out_of_it_is_seen() {
    let (_bus, manager, mut watch) = with_a_sim(NOW).await;
    manager
        .remove_modem(TEMPLATE_MODEM, Some(TEMPLATE_SIM))
        .await;
    watch.tells(Some(&[])).await;
    // What ModemManager makes of a modem without a SIM.
    let missing = Properties::from([
        ("State", Variant::from(-1i32)),
        ("StateFailedReason", Variant::from(2u32)),
    ]);
    manager.add_modem(9, None, missing).await;
    let second = format!("{ROOT}/SIM/3");
    manager
        .add_modem(10, Some((&second, B)), model("EM12"))
        .await;
    watch.tells(Some(&[(B, "EM12")])).await;
}

#[tokio::test]
async fn m14_a_swap_that_makes_the_modem_anew_with_the_same_sim_is_no_event() {
    let (_bus, manager, mut watch) = with_a_sim(NEVER).await;
    let mut there = (TEMPLATE_MODEM.to_owned(), TEMPLATE_SIM.to_owned());
    for number in 20..23 {
        manager.remove_modem(&there.0, Some(&there.1)).await;
        manager.is_looked_at().await;
        there = (
            format!("{ROOT}/Modems/{number}"),
            format!("{ROOT}/SIM/{number}"),
        );
        let sim = Some((there.1.as_str(), A));
        manager.add_modem(number, sim, model(MODEL)).await;
        manager.is_looked_at().await;
    }
    // The next event is another SIM's, and the first one never went.
    let other = format!("{ROOT}/SIM/40");
    manager
        .add_modem(40, Some((&other, B)), model("EM12"))
        .await;
    watch.tells(Some(&[(A, MODEL), (B, "EM12")])).await;
}

#[tokio::test]
async fn m14_another_sim_in_the_same_modem_is_seen_at_once_and_the_old_one_goes_after_the_debounce()
{
    let (_bus, manager, mut watch) = with_a_sim(Duration::from_millis(50)).await;
    manager
        .remove_modem(TEMPLATE_MODEM, Some(TEMPLATE_SIM))
        .await;
    let sim = format!("{ROOT}/SIM/5");
    manager.add_modem(5, Some((&sim, B)), model(MODEL)).await;
    // Whether the old one is gone already when the new one is there is a matter of time; that it goes is not.
    let mut last = None;
    let only_new = Event::Sims(Some([(B.to_owned(), MODEL.to_owned())].into()));
    while last.as_ref() != Some(&only_new) {
        let next = tokio::time::timeout(DEADLINE, watch.0.recv()).await;
        last = next.expect("in time");
        assert_ne!(last, Some(Event::Sims(None)));
    }
}

#[tokio::test]
async fn m14_modemmanager_restarts_and_the_sim_was_never_away() {
    let (bus, manager, mut watch) = with_a_sim(NEVER).await;
    drop(manager);
    let manager = ModemManager::start(&bus).await;
    // It runs, and knows of no modem yet.
    manager.is_looked_at().await;
    manager.add_template_modem(A).await;
    let other = format!("{ROOT}/SIM/40");
    manager
        .add_modem(40, Some((&other, B)), model("EM12"))
        .await;
    watch.tells(Some(&[(A, MODEL), (B, "EM12")])).await;
}

#[tokio::test]
async fn m14_without_modemmanager_nobody_can_tell_and_its_coming_is_seen() {
    let (bus, manager, mut watch) = with_a_sim(NOW).await;
    drop(manager);
    watch.tells(None).await;
    let manager = ModemManager::start(&bus).await;
    watch.tells(Some(&[])).await;
    manager.add_template_modem(A).await;
    watch.tells(Some(&[(A, MODEL)])).await;
}

#[tokio::test]
async fn m14_without_a_bus_nobody_can_tell() {
    let (tx, events) = mpsc::unbounded_channel();
    let at = At::At("unix:path=/nonexistent/bus".to_owned());
    tokio::spawn(modem::run(at, Pace::default(), move |e| {
        tx.send(e).unwrap_or_default();
    }));
    Watch(events).tells(None).await;
}

#[tokio::test]
async fn m14_what_modemmanager_says_in_other_types_or_at_length_is_no_sim() {
    let (_bus, manager, mut watch) = with_a_sim(NOW).await;
    // No number at all, one of another type, one that is none, one that is too long.
    for (nth, number) in [
        Variant::from(7u32),
        Variant::from("eight"),
        Variant::from("8".repeat(5000)),
        Variant::from(""),
    ]
    .into_iter()
    .enumerate()
    {
        let (modem, sim) = (
            format!("{ROOT}/Modems/{}", 50 + nth),
            format!("{ROOT}/SIM/{}", 50 + nth),
        );
        manager
            .add(&sim, SIM, Properties::from([("SimIdentifier", number)]))
            .await;
        let path = Properties::from([("Sim", object(&sim).into())]);
        manager.add(&modem, MODEM, path).await;
    }
    // No SIM of this path, and a SIM that is no path.
    let nowhere = Properties::from([("Sim", object("/nowhere").into())]);
    manager
        .add(&format!("{ROOT}/Modems/60"), MODEM, nowhere)
        .await;
    let text = Properties::from([("Sim", Variant::from("SIM"))]);
    manager.add(&format!("{ROOT}/Modems/61"), MODEM, text).await;
    // Its name is cut, and control characters are left out; the filler of a number is, too.
    let sim = format!("{ROOT}/SIM/70");
    let long = format!("\u{1b}[31m{}", "x".repeat(500));
    manager
        .add_modem(70, Some((&sim, "8901000000000000803F")), model(&long))
        .await;
    let cut = format!("[31m{}", "x".repeat(36));
    watch
        .tells(Some(&[(A, MODEL), ("8901000000000000803", &cut)]))
        .await;
    // Failed for another reason, a modem keeps its SIM; without one it has none, whatever it says of its path.
    manager
        .update(
            TEMPLATE_MODEM,
            MODEM,
            Properties::from([("State", Variant::from(-1i32))]),
        )
        .await;
    manager
        .mock(
            TEMPLATE_MODEM,
            "AddProperty",
            &(MODEM, "StateFailedReason", Variant::from(0u32)),
        )
        .await;
    let missing = Properties::from([("StateFailedReason", Variant::from(2u32))]);
    manager.update(TEMPLATE_MODEM, MODEM, missing).await;
    watch.tells(Some(&[("8901000000000000803", &cut)])).await;
}
