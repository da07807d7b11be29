//! A card's whole life, by the client: every command once at least.

use simsync_card::client::{
    Applet, CardError, HeadRecord, HeadWriter, Lifecycle, OpenRequest, OpenedSession,
    Personalisation, Pin, PinState, Puk, Selected, SignDomain, Slot, Slots, TransportSecret,
};
use simsync_card::ids::{CardId, Hash, Point, SubscriberId, TerminalId};
use simsync_card::sign::{self, SecretKey};
use simsync_card::status::{Secret, Status};
use simsync_card::text::{self, CardKeys};
use simsync_card::transport::Transport;

pub const SECRET: [u8; 16] = [0x5A; 16];
const CALLERS: [u8; 32] = [0x31; 32];

pub fn pin(text: &str) -> Pin {
    Pin::parse(text.as_bytes()).unwrap()
}

pub fn puk(text: &str) -> Puk {
    Puk::parse(text.as_bytes()).unwrap()
}

pub fn key(byte: u8) -> SecretKey {
    SecretKey::from_bytes(&[byte; 32]).unwrap()
}

/// The x-coordinate of ECDH, by another implementation than the card's.
pub fn agree(secret: &SecretKey, point: &Point) -> [u8; 32] {
    let secret = p256::SecretKey::from_slice(&*secret.to_bytes()).unwrap();
    let public = p256::PublicKey::from_sec1_bytes(&point.0).unwrap();
    let shared = p256::ecdh::diffie_hellman(secret.to_nonzero_scalar(), public.as_affine());
    (*shared.raw_secret_bytes()).into()
}

fn refused<R>(result: Result<R, CardError>) -> Status {
    match result {
        Ok(_) => panic!("the card did what it should refuse"),
        Err(error) => error.status().unwrap_or_else(|| panic!("{error}")),
    }
}

/// One terminal at one card.
struct Terminal {
    key: SecretKey,
    hpke: SecretKey,
    card: CardId,
    keys: CardKeys,
}

impl Terminal {
    fn id(&self) -> TerminalId {
        TerminalId::of(&self.key.point())
    }

    /// OPEN SESSION after this SELECT and a VERIFY, with every check that a terminal makes.
    fn open<T: Transport>(
        &self,
        applet: &mut Applet<T>,
        selected: &Selected,
        binding: &Hash,
    ) -> OpenedSession {
        let hpke = self.hpke.point();
        let sig = self.key.sign(&text::terminal(
            &self.card,
            &selected.challenge,
            binding,
            &hpke,
        ));
        let opened = applet
            .open_session(&OpenRequest {
                terminal: self.id(),
                binding: *binding,
                hpke,
                sig: &sig,
            })
            .unwrap();
        let statement = text::session(&self.card, opened.n, &self.id(), binding);
        sign::verify(&self.keys.sig, &statement, &opened.sig).unwrap();
        assert_eq!(*opened.secret, agree(&self.hpke, &self.keys.kem));
        opened
    }
}

/// From the first PERSONALISE to TERMINATE, every command once at least.
pub fn whole_life<T: Transport>(transport: T) -> T {
    let mut applet = Applet::new(transport);
    let (card, keys, subscriber) = provision(&mut applet);
    let terminal = Terminal {
        key: key(7),
        hpke: key(9),
        card,
        keys,
    };
    first_use(&mut applet, &terminal, &subscriber);
    pair(&mut applet, &terminal);
    work(&mut applet, &terminal, &subscriber);
    end(&mut applet);
    applet.into_inner()
}

fn provision<T: Transport>(applet: &mut Applet<T>) -> (CardId, CardKeys, SubscriberId) {
    let secret = TransportSecret::new(SECRET);
    let selected = applet.select().unwrap();
    assert_eq!(selected.lifecycle, Lifecycle::Installed);
    assert!(!selected.pin_set);
    let values = Personalisation {
        subscriber: "subscriber-17".parse().unwrap(),
        label: "Blue card".to_owned(),
        server: "old.example.org:8443".to_owned(),
        ca_pin: Hash([0xCA; 32]),
        pin: pin("1234"),
        puk: puk("abcd5678"),
        contactless: false,
        pin_due: true,
    };
    assert_eq!(
        refused(applet.personalise(&TransportSecret::new([0; 16]), &values)),
        Status::Wrong {
            secret: Secret::Transport,
            tries_left: 9
        }
    );
    let card = applet.personalise(&secret, &values).unwrap();
    assert_eq!(applet.personalise(&secret, &values).unwrap(), card);
    let signed = applet.generate_keys(&secret, &CALLERS).unwrap();
    let (keys, _) = signed.enrolled_by(&card, &CALLERS).unwrap();
    assert!(signed.enrolled_by(&card, &[0; 32]).is_err());
    applet.enrolled(&secret).unwrap();
    assert_eq!(refused(applet.enrolled(&secret)), Status::NotNow);
    (card, keys, values.subscriber)
}

fn first_use<T: Transport>(applet: &mut Applet<T>, terminal: &Terminal, subscriber: &SubscriberId) {
    let selected = applet.select().unwrap();
    assert!(selected.is_card_of(&terminal.card, subscriber));
    assert!(selected.pin_due);
    assert_eq!(
        refused(applet.verify(&pin("9999"))),
        Status::Wrong {
            secret: Secret::Pin,
            tries_left: 2
        }
    );
    assert_eq!(
        applet.pin_state().unwrap(),
        PinState::NotVerified { tries_left: 2 }
    );
    applet.verify(&pin("1234")).unwrap();
    assert_eq!(refused(applet.read_info()), Status::PinMustBeChanged);
    applet
        .change_first_pin(&pin("1234"), &pin("5678"), &puk("ABCDEFGH"))
        .unwrap();
    applet.change_pin(&pin("5678"), &pin("Zz09")).unwrap();
    assert_eq!(applet.pin_state().unwrap(), PinState::Verified);

    let info = applet.read_info().unwrap();
    assert_eq!((info.card, &info.subscriber), (terminal.card, subscriber));
    assert_eq!(info.label, "Blue card");
    let nonce = [0x4E; 32];
    let keys = applet.read_keys(&nonce).unwrap();
    assert_eq!(keys.of(&terminal.card, &nonce).unwrap(), terminal.keys);
    applet.verify(&pin("Zz09")).unwrap();
    applet
        .set_server("new.example.org:1", &Hash([0xCB; 32]))
        .unwrap();
    let info = applet.read_info().unwrap();
    assert_eq!(info.server, "new.example.org:1");
    assert_eq!(info.ca_pin, Hash([0xCB; 32]));
}

fn pair<T: Transport>(applet: &mut Applet<T>, terminal: &Terminal) {
    let binding = Hash([0xB1; 32]);
    applet.verify(&pin("Zz09")).unwrap();
    let added = applet
        .add_terminal(&terminal.key.point(), "laptop", &binding)
        .unwrap();
    assert_eq!(added.slot.number(), 0);
    let statement = text::pair(&terminal.card, &terminal.id(), &binding);
    sign::verify(&terminal.keys.sig, &statement, &added.sig).unwrap();
    assert_eq!(
        refused(applet.add_terminal(&key(8).point(), "", &binding)),
        Status::RightMissing
    );

    let mut off_curve = key(8).point();
    off_curve.0[64] ^= 1;
    applet.verify(&pin("Zz09")).unwrap();
    assert_eq!(
        refused(applet.add_terminal(&off_curve, "", &binding)),
        Status::BadData
    );
    for number in 1..Slot::COUNT {
        applet.verify(&pin("Zz09")).unwrap();
        let label = format!("terminal {number}");
        let added = applet
            .add_terminal(&key(100 + number).point(), &label, &binding)
            .unwrap();
        assert_eq!(added.slot.number(), number);
    }
    applet.verify(&pin("Zz09")).unwrap();
    assert_eq!(
        refused(applet.add_terminal(&key(8).point(), "", &binding)),
        Status::Full
    );
    let listed = applet.terminals().unwrap();
    assert_eq!(listed.len(), 16);
    assert_eq!(listed[0].label, "laptop");
    assert_eq!(listed[15].terminal, TerminalId::of(&key(115).point()));
}

fn work<T: Transport>(applet: &mut Applet<T>, terminal: &Terminal, subscriber: &SubscriberId) {
    let binding = Hash([0x77; 32]);
    let selected = applet.select().unwrap();
    assert!(selected.is_card_of(&terminal.card, subscriber));
    applet.verify(&pin("Zz09")).unwrap();
    let first = terminal.open(applet, &selected, &binding);
    assert_eq!(first.n, 1);
    assert_eq!(first.head, None);
    assert_eq!(first.unsettled, Slots::EMPTY);
    let head = HeadRecord {
        epoch: 1,
        sequence: 7,
        head: Hash([0xAA; 32]),
        list_number: 1,
        list_hash: Hash([0xBB; 32]),
        closed: false,
    };
    applet.put_head(&first.token, &head, Slots::EMPTY).unwrap();
    let back = HeadRecord {
        sequence: 6,
        ..head
    };
    assert_eq!(
        refused(applet.put_head(&first.token, &back, Slots::EMPTY)),
        Status::BadData
    );
    let renewed = applet.renew(&first.token, &binding).unwrap();
    let statement = text::renew(&terminal.card, 1, &terminal.id(), &binding);
    sign::verify(&terminal.keys.sig, &statement, &renewed).unwrap();

    applet.get_challenge().unwrap();
    applet.verify(&pin("Zz09")).unwrap();
    let hash = Hash([0x55; 32]);
    let sig = applet.sign(SignDomain::KeyObject, &hash).unwrap();
    let signed = SignDomain::KeyObject
        .domain()
        .text(&terminal.card, &[hash.as_bytes()]);
    sign::verify(&terminal.keys.sig, &signed, &sig).unwrap();

    let selected = applet.select().unwrap();
    assert_eq!(
        refused(applet.renew(&first.token, &binding)),
        Status::RightMissing
    );
    applet.verify(&pin("Zz09")).unwrap();
    let unsettled = applet.unsettled_sessions().unwrap();
    assert_eq!((unsettled.len(), unsettled[0].n), (1, 1));
    assert_eq!(unsettled[0].terminal, terminal.id().0[..8]);
    let second = terminal.open(applet, &selected, &binding);
    assert_eq!((second.n, second.head), (2, Some(head)));
    let writer = HeadWriter {
        terminal: terminal.id().0[..8].try_into().unwrap(),
        n: 1,
    };
    assert_eq!(second.writer, Some(writer));
    let own = Slots::EMPTY.with(Slot::new(0).unwrap());
    assert_eq!(second.unsettled, own);
    let closing = HeadRecord {
        sequence: 8,
        head: Hash([0xAB; 32]),
        closed: true,
        ..head
    };
    applet.put_head(&second.token, &closing, own).unwrap();
    assert!(applet.unsettled_sessions().unwrap().is_empty());

    applet.verify(&pin("Zz09")).unwrap();
    applet.remove_terminal(&terminal.id()).unwrap();
    assert_eq!(applet.terminals().unwrap().len(), 15);
    assert_eq!(
        refused(applet.renew(&second.token, &binding)),
        Status::RightMissing
    );
}

fn end<T: Transport>(applet: &mut Applet<T>) {
    for _ in 0..3 {
        refused(applet.verify(&pin("0000")));
    }
    assert_eq!(
        refused(applet.verify(&pin("Zz09"))),
        Status::Blocked(Secret::Pin)
    );
    assert_eq!(applet.pin_state().unwrap(), PinState::Blocked);
    assert_eq!(
        refused(applet.unblock(&puk("abcd5678"), &pin("1111"))),
        Status::Wrong {
            secret: Secret::Puk,
            tries_left: 9
        }
    );
    applet.unblock(&puk("ABCDEFGH"), &pin("1111")).unwrap();
    applet.verify(&pin("1111")).unwrap();
    assert_eq!(refused(applet.terminate(None)), Status::RightMissing);
    applet.terminate(Some(&puk("ABCDEFGH"))).unwrap();
    let selected = applet.select().unwrap();
    assert_eq!(selected.lifecycle, Lifecycle::Terminated);
    assert_eq!(refused(applet.read_info()), Status::NotNow);
}
