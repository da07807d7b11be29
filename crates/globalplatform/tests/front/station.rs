//! An operator's station: the bridge, blank cards, the file with the applet.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use simsync_card::client::{Applet, Selected, TransportSecret};
use simsync_card::transport::{Transport, TransportError};
use simsync_globalplatform::cap::CapFile;
use simsync_globalplatform::error::GpError;
use simsync_globalplatform::install::{self, InstallRequest, Verdict, Wishes};
use simsync_globalplatform::keys::{Key, KeySet};
use simsync_globalplatform::session::Access;

use crate::bridge::{Bridge, Reader};
use crate::life::SECRET;

pub struct Station {
    bridge: Bridge,
    cap: CapFile,
    cards: AtomicU32,
}

pub fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub fn keys(enc: &str, mac: &str, dek: &str) -> KeySet {
    let [enc, mac, dek] = [enc, mac, dek].map(|k| Key::parse(k).unwrap());
    KeySet::new(enc, mac, dek).unwrap()
}

pub fn access(keys: &KeySet) -> Access<'_> {
    Access {
        keys,
        key_version: 0,
        diversification: None,
    }
}

/// The simulator's load file, made by the bridge's own class.
fn cap() -> CapFile {
    let jar = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../javacard-applet/target/simsync-bridge.jar");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("simulator.cap");
    let made = Command::new("java")
        .arg("-cp")
        .arg(jar)
        .arg("org.simsync.bridge.gp.LoadFile")
        .arg(&file)
        .status()
        .unwrap();
    assert!(
        made.success(),
        "the bridge makes no load file: run mvn -q package"
    );
    CapFile::parse(&std::fs::read(&file).unwrap()).unwrap()
}

impl Station {
    pub fn new() -> Self {
        Self {
            bridge: Bridge::start(),
            cap: cap(),
            cards: AtomicU32::new(0),
        }
    }

    /// A card with nothing of ours on it; answers its name.
    pub fn blank(&self, made: &str) -> String {
        let name = format!("card{}", self.cards.fetch_add(1, Ordering::Relaxed));
        let reply = self.bridge.ask(format!("blank-gp {name} {made}").trim());
        assert_eq!(reply, "ok", "{made}");
        name
    }

    /// Puts a card into a reader, taking it out of the one before.
    pub fn insert(&self, card: &str) -> Reader {
        self.bridge.ask(&format!("eject {card}"));
        self.bridge.insert(card)
    }

    /// What the tool does; none if the applet is there already.
    pub fn install(
        &self,
        card: &str,
        access: &Access<'_>,
        wishes: Wishes,
    ) -> Result<Option<Selected>, GpError> {
        let mut reader = self.insert(card);
        self.bridge.ask(&format!("stats-reset {card}"));
        self.install_in(&mut reader, access, wishes)
    }

    /// The same; the card is yanked at the N-th command.
    pub fn install_yanked(
        &self,
        card: &str,
        access: &Access<'_>,
        kind: &str,
        at: usize,
    ) -> Result<Option<Selected>, GpError> {
        let mut reader = self.insert(card);
        assert_eq!(self.bridge.ask(&format!("{kind} {card} {at}")), "ok");
        self.install_in(&mut reader, access, Wishes::default())
    }

    fn install_in(
        &self,
        reader: &mut Reader,
        access: &Access<'_>,
        wishes: Wishes,
    ) -> Result<Option<Selected>, GpError> {
        let prepared = install::prepare(reader, self.cap.version(), wishes)?;
        if let Verdict::Nothing(_) = prepared.verdict {
            return Ok(None);
        }
        let order = InstallRequest {
            cap: &self.cap,
            access: *access,
            secret: &TransportSecret::new(SECRET),
            wishes,
        };
        install::perform(reader, &prepared, &order, &[4; 8], |_| {}).map(Some)
    }

    /// APDUs since the last installation began.
    pub fn commands(&self, card: &str) -> usize {
        let stats = self.bridge.ask(&format!("stats {card}"));
        let apdus = stats
            .split_whitespace()
            .find_map(|w| w.strip_prefix("apdus="));
        apdus.unwrap().parse().unwrap()
    }

    /// Keys are made on the card and personalisation is ended: a card in use.
    pub fn enrol(&self, card: &str) {
        let secret = TransportSecret::new(SECRET);
        let mut applet = Applet::new(self.insert(card));
        applet.select().unwrap();
        applet.generate_keys(&secret, &[8; 32]).unwrap();
        applet.enrolled(&secret).unwrap();
    }
}

/// A line on which somebody changes what goes to the card: EXTERNAL AUTHENTICATE gets a wrong cryptogram.
pub struct Meddled(pub Reader);

impl Transport for Meddled {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, TransportError> {
        let mut apdu = apdu.to_vec();
        if apdu[1] == 0x82 {
            apdu[6] ^= 1;
        }
        self.0.transmit(&apdu)
    }
}
