//! The card: the applet's model behind its APDUs, with the keys of the card in software for which the vault was made.

use p256::elliptic_curve::sec1::ToSec1Point as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use simsync_card::client::{
    Applet, HeadRecord, OpenRequest, OpenedSession, Personalisation, Pin, Puk, Slot, Slots, Token,
    TransportSecret, UnsettledSession,
};
use simsync_card::ids::{CardId, Hash, Point, SubscriberId};
use simsync_card::model::{Chip, Model};
use simsync_card::sign::{SecretKey, Sig};
use simsync_card::text;
use simsync_server::testing::{Seed, SoftCard, SoftTerminal};
use simsyncd::session::{record_of, steps_up};
use simsyncd::store::Store;

const PIN: &[u8] = b"4711";

/// Chance and keys of the card in software.
struct SameKeys {
    id: Option<[u8; 16]>,
    rng: StdRng,
    sig: SecretKey,
    kem: p256::SecretKey,
}

impl Chip for SameKeys {
    fn random(&mut self) -> [u8; 16] {
        self.id.take().unwrap_or_else(|| self.rng.random())
    }

    fn make_keys(&mut self) -> (Point, Point) {
        let mut kem = Point([0; 65]);
        let point = self.kem.public_key().to_sec1_point(false);
        kem.0.copy_from_slice(point.as_bytes());
        (self.sig.point(), kem)
    }

    fn sign(&mut self, text: &[u8]) -> Vec<u8> {
        self.sig.sign(text).as_der().to_vec()
    }

    fn agree(&mut self, point: &Point) -> [u8; 32] {
        let public = p256::PublicKey::from_sec1_bytes(&point.0).unwrap();
        let kem = self.kem.to_nonzero_scalar();
        let shared = p256::ecdh::diffie_hellman(kem, public.as_affine());
        (*shared.raw_secret_bytes()).into()
    }

    fn wipe(&mut self) {}
}

/// What the daemon keeps of an open session, besides its keys.
struct Open {
    token: Token,
    /// What the card remembers.
    record: Option<HeadRecord>,
    unsettled: Vec<UnsettledSession>,
}

/// The person's card.
pub struct Card {
    model: Model<SameKeys>,
    id: CardId,
    open: Option<Open>,
}

impl Card {
    /// Personalised, with these terminals in its first slots.
    pub fn new(
        seed: &Seed,
        soft: &SoftCard,
        subscriber: &SubscriberId,
        terminals: &[&SoftTerminal],
    ) -> Self {
        let (sig, kem) = soft.secret_keys();
        let chip = SameKeys {
            id: Some(soft.id.0),
            rng: StdRng::from_seed(seed.bytes()),
            sig: sig.clone(),
            kem: p256::SecretKey::from_slice(&*kem.to_bytes()).unwrap(),
        };
        let transport = seed.id();
        let mut card = Self {
            model: Model::new(chip, transport),
            id: soft.id,
            open: None,
        };
        let secret = TransportSecret::new(transport);
        let values = Personalisation {
            subscriber: subscriber.clone(),
            label: "card".to_owned(),
            server: "localhost:7446".to_owned(),
            ca_pin: Hash::ZERO,
            pin: Pin::parse(PIN).unwrap(),
            puk: Puk::parse(b"12345678").unwrap(),
            contactless: false,
            pin_due: false,
        };
        let mut applet = Applet::new(&mut card.model);
        assert_eq!(applet.personalise(&secret, &values).unwrap(), soft.id);
        applet.generate_keys(&secret, &[0; 32]).unwrap();
        applet.enrolled(&secret).unwrap();
        for (n, terminal) in terminals.iter().enumerate() {
            applet.select().unwrap();
            applet.verify(&values.pin).unwrap();
            let added = applet.add_terminal(&terminal.key.point(), "terminal", &Hash::ZERO);
            assert_eq!(usize::from(added.unwrap().slot.number()), n);
        }
        card
    }

    /// Put in: SELECT, VERIFY, OPEN SESSION. `hpke`: the point of the card's wrap.
    pub fn open(&mut self, terminal: &SoftTerminal, binding: Hash, hpke: Point) -> OpenedSession {
        self.pulled();
        let id = self.id;
        let mut applet = Applet::new(&mut self.model);
        let challenge = applet.select().unwrap().challenge;
        applet.verify(&Pin::parse(PIN).unwrap()).unwrap();
        let text = text::terminal(&id, &challenge, &binding, &hpke);
        let request = OpenRequest {
            terminal: terminal.id(),
            binding,
            hpke,
            sig: &terminal.key.sign(&text),
        };
        let session = applet.open_session(&request).unwrap();
        let unsettled = applet.unsettled_sessions().unwrap();
        self.open = Some(Open {
            token: session.token.clone(),
            record: session.head,
            unsettled,
        });
        session
    }

    /// RENEW; none where another session was opened since.
    pub fn renew(&mut self, binding: &Hash) -> Option<Sig> {
        let open = self.open.as_ref()?;
        let mut applet = Applet::new(&mut self.model);
        Some(applet.renew(&open.token, binding).unwrap())
    }

    /// PUT HEAD: what the terminal's chain leads up to. `is_closed` tells whether the chain ends a session of a terminal, whose
    /// ID begins like this; `own`: the slot of the terminal whose session ends now.
    pub fn put_head(
        &mut self,
        store: &Store,
        is_closed: impl Fn(&UnsettledSession) -> bool,
        own: Option<Slot>,
    ) {
        let Some(open) = self.open.as_mut() else {
            return;
        };
        let from = open.record.map_or(0, |r| r.sequence);
        let chain = store.links_from(from).unwrap();
        let (steps, Some(newest)) = steps_up(open.record.as_ref(), &chain) else {
            return;
        };
        let ended = open.unsettled.iter().filter(|u| is_closed(u));
        let slots = ended.map(|u| u.slot).chain(own);
        let settle = slots.fold(Slots::EMPTY, Slots::with);
        let mut applet = Applet::new(&mut self.model);
        for step in &steps {
            applet.put_head(&open.token, step, Slots::EMPTY).unwrap();
        }
        let new = record_of(&newest, own.is_some());
        applet.put_head(&open.token, &new, settle).unwrap();
        open.record = Some(new);
        open.unsettled.retain(|u| !settle.contains(u.slot));
    }

    /// Out of the reader: the session is over.
    pub fn pulled(&mut self) {
        self.open = None;
        self.model.reset();
    }

    /// What it remembers of the newest head: its sequence number and its hash.
    pub fn head(&self) -> Option<(u64, Hash)> {
        // Epoch, sequence, head, as in PUT HEAD.
        let record = self.model.head()?;
        let sequence = u64::from_be_bytes(record[4..12].try_into().unwrap());
        Some((sequence, Hash(record[12..44].try_into().unwrap())))
    }

    /// The sessions that it waits for the end of.
    pub fn unsettled(&mut self) -> Vec<UnsettledSession> {
        self.pulled();
        let mut applet = Applet::new(&mut self.model);
        applet.select().unwrap();
        applet.verify(&Pin::parse(PIN).unwrap()).unwrap();
        applet.unsettled_sessions().unwrap()
    }
}
