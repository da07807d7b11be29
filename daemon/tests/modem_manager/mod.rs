//! python-dbusmock's ModemManager, which has the objects and signals of the real one, without any modem. Debian's
//! python3-dbusmock lacks it: `scripts/setup` fetches a newer one to target/python. End-to-end tests take this file, too.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use zbus::{Connection, DynamicType, ObjectPath, Variant};

const NAME: &str = "org.freedesktop.ModemManager1";
const MOCK: &str = "org.freedesktop.DBus.Mock";
pub const ROOT: &str = "/org/freedesktop/ModemManager1";
pub const MODEM: &str = "org.freedesktop.ModemManager1.Modem";
pub const SIM: &str = "org.freedesktop.ModemManager1.Sim";
/// What the template's modem is called, and where it and its SIM are.
pub const TEMPLATE_MODEM: &str = "/org/freedesktop/ModemManager1/Modems/8";
pub const TEMPLATE_SIM: &str = "/org/freedesktop/ModemManager1/SIM/2";
pub const MODEL: &str = "E1750";
/// Debian's: dbus-python is not for any other.
const PYTHON: &str = "/usr/bin/python3";
const DEADLINE: Duration = Duration::from_secs(20);

pub type Properties = HashMap<&'static str, Variant<'static>>;

pub fn object(path: &str) -> ObjectPath<'static> {
    ObjectPath::try_from(path.to_owned()).unwrap()
}

/// A ModemManager that is no real one; it ends with this value.
pub struct ModemManager {
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
    pub async fn start(address: &str) -> Self {
        let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python");
        assert!(
            packages
                .join("dbusmock/templates/modemmanager.py")
                .is_file(),
            "python-dbusmock with a ModemManager is needed for this test: run scripts/setup"
        );
        let builder = zbus::connection::Builder::address(address);
        let conn = builder.build().await.unwrap();
        let child = Command::new(PYTHON)
            .args(["-m", "dbusmock", "--template", "modemmanager"])
            .env("PYTHONPATH", packages)
            .env("DBUS_SYSTEM_BUS_ADDRESS", address)
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
    pub async fn is_looked_at(&self) {
        let before = self.looks().await;
        let start = Instant::now();
        while self.looks().await < before + 2 {
            assert!(start.elapsed() < DEADLINE, "nobody looks");
            let changed = vec![object(ROOT).into(), vec![MODEM].into()];
            self.signal("InterfacesRemoved", "oas", changed).await;
        }
    }

    pub async fn mock<B>(&self, path: &str, method: &str, body: &B)
    where
        B: serde::Serialize + DynamicType + Sync,
    {
        self.call(path, MOCK, method, body).await.unwrap();
    }

    /// Changes properties and signals it, as ModemManager does.
    pub async fn update(&self, path: &str, interface: &str, properties: Properties) {
        self.mock(path, "UpdateProperties", &(interface, properties))
            .await;
    }

    pub async fn add(&self, path: &str, interface: &str, properties: Properties) {
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
    pub async fn add_template_modem(&self, iccid: &str) {
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
    pub async fn add_modem(&self, number: u8, sim: Option<(&str, &str)>, more: Properties) {
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
    pub async fn remove_modem(&self, modem: &str, sim: Option<&str>) {
        for path in [Some(modem), sim].into_iter().flatten() {
            self.mock(ROOT, "RemoveObject", &(path,)).await;
        }
        let args = vec![object(modem).into(), vec![MODEM].into()];
        self.signal("InterfacesRemoved", "oas", args).await;
    }
}

pub fn model(name: &str) -> Properties {
    Properties::from([("Model", Variant::from(name.to_owned()))])
}
