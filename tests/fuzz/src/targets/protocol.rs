//! What goes between terminals, server and an operator's desk: JSON, batches of packs, lists of people, typed codes.

use std::fmt::Debug;
use std::sync::OnceLock;

use bytes::Bytes;
use openssl::pkey::{PKey, Public};
use serde::Serialize;
use serde::de::DeserializeOwned;
use simsync_card::ids::Hash;
use simsync_protocol::ServerAddress;
use simsync_protocol::api;
use simsync_protocol::batch::{Decoder, Pack, record_header};
use simsync_protocol::enrolment::EnrolmentCode;
use simsync_protocol::issued;
use simsync_protocol::people::{self, Purpose};
use simsync_protocol::problem::{Code, Problem};
use simsync_vault::commit::{Commit, SessionRef};
use simsync_vault::ids::{CollectionId, PackId};
use simsync_vault::keyobject::KeyObject;
use simsync_vault::tail::Tail;

use super::vectors::{CARD, statement};
use super::{signed, vectors};

/// Reads JSON; what was read is the same once it is written and read again.
fn json<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(bytes).ok()?;
    let again = serde_json::to_vec(&value).unwrap_or_default();
    assert_eq!(
        serde_json::from_slice::<T>(&again).ok().as_ref(),
        Some(&value)
    );
    Some(value)
}

macro_rules! one_of {
    ($which:expr, $bytes:expr, $($type:ty),+ $(,)?) => {{
        let readers: &[fn(&[u8]) -> bool] = &[$(|b| json::<$type>(b).is_some()),+];
        readers[usize::from($which) % readers.len()]($bytes)
    }};
}

/// What a server is asked: a byte for the path, then the body.
pub fn requests(input: &[u8]) -> bool {
    let (&which, body) = input.split_first().unwrap_or((&0, &[]));
    match which {
        0 => json::<api::CommitRequest>(body).is_some_and(|r| {
            let _ = Commit::from_bytes(&r.signed.0);
            if let Some(new) = r.key_object {
                let object = KeyObject::from_bytes(&new.signed.0);
                for wrap in &new.wraps {
                    let _ = object.as_ref().is_ok_and(|o| o.names(wrap));
                }
            }
            true
        }),
        1 => json::<api::TailRequest>(body).is_some_and(|r| {
            let _ = Tail::from_bytes(&r.signed.0);
            true
        }),
        _ => one_of!(
            which,
            body,
            api::EnrolRequest,
            api::PairRequest,
            api::PairingsRequest,
            api::OpenSessionRequest,
            api::RenewRequest,
            api::NarrowRequest,
            api::FetchRequest,
            api::ForgetRequest,
            api::RevokeTerminalRequest,
            api::RevokeCardRequest,
        ),
    }
}

fn tagged(which: u8, value: &impl Serialize) -> Vec<u8> {
    [&[which][..], &serde_json::to_vec(value).unwrap_or_default()].concat()
}

fn bytes_of(samples: Vec<Vec<u8>>) -> api::B64 {
    api::B64(samples.into_iter().next().unwrap_or_default())
}

pub fn request_samples() -> Vec<Vec<u8>> {
    let vault_key = simsync_vault::keys::VaultKey::generate(&mut vectors::rng());
    let (object, wrap, _) = vectors::key_object(&vault_key);
    let session = SessionRef { card: CARD, n: 3 };
    let sig = statement().sig;
    let nonce = api::Nonce([1; 16]);
    let Ok(subscriber) = "alice".parse::<simsync_card::ids::SubscriberId>() else {
        return Vec::new();
    };
    let keys = object.body.recipients[0].keys;
    let enrol = api::EnrolRequest {
        subscriber: subscriber.clone(),
        code: EnrolmentCode::new([7; 16]).to_string(),
        card: CARD,
        label: "Blue".to_owned(),
        keys,
        nonce,
        signature: sig.clone(),
    };
    let pair = api::PairRequest {
        subscriber,
        card: CARD,
        nonce,
        label: "desk".to_owned(),
        statement: sig.clone(),
        csr: api::B64(vec![0x30; 40]),
        attributes: vec!["files".to_owned()],
    };
    let renew = api::RenewRequest {
        session,
        nonce,
        signature: sig.clone(),
        known_sequence: 5,
        known_list: 1,
    };
    let open = api::OpenSessionRequest {
        statement: statement(),
        nonce,
        known_sequence: 5,
        known_list: 1,
    };
    let pairings = api::PairingsRequest {
        card: CARD,
        pairings: vec![api::TerminalPairing {
            terminal: statement().terminal,
            statement: sig,
        }],
    };
    let commit = api::CommitRequest {
        signed: bytes_of(signed::commits()),
        key_object: Some(api::NewKeyObject {
            signed: api::B64(object.to_bytes()),
            wraps: vec![wrap],
        }),
    };
    let tail = api::TailRequest {
        signed: bytes_of(signed::tails()),
    };
    let fetch = api::FetchRequest {
        packs: vec![PackId([1; 16]), PackId([2; 16])],
    };
    let narrow = api::NarrowRequest {
        to: api::Narrow::Removed,
    };
    let forget = api::ForgetRequest {
        sessions: vec![session],
    };
    // The first byte modulo the number of types, beyond the two that have their own.
    vec![
        tagged(0, &commit),
        tagged(1, &tail),
        tagged(10, &enrol),
        tagged(11, &pair),
        tagged(2, &pairings),
        tagged(3, &open),
        tagged(4, &renew),
        tagged(5, &narrow),
        tagged(6, &fetch),
        tagged(7, &forget),
        tagged(8, &serde_json::json!({"terminal": statement().terminal})),
        tagged(9, &serde_json::json!({"card": CARD})),
    ]
}

/// What a server says: a byte for what was asked, then the body.
pub fn answers(input: &[u8]) -> bool {
    let (&which, body) = input.split_first().unwrap_or((&0, &[]));
    one_of!(
        which,
        body,
        Problem,
        api::SessionAnswer,
        api::ServerEvent,
        api::NonceAnswer,
        api::KeyObjectAnswer,
        api::KeyObjectsAnswer,
        api::CommitsAnswer,
        api::PacksAnswer,
        api::EnrolAnswer,
        api::PairAnswer,
        api::CommitAnswer,
        api::PackState,
        api::TailAnswer,
        api::TailGetAnswer,
        api::HealthAnswer,
    )
}

pub fn answer_samples() -> Vec<Vec<u8>> {
    let vault_key = simsync_vault::keys::VaultKey::generate(&mut vectors::rng());
    let (object, wrap, _) = vectors::key_object(&vault_key);
    let session = SessionRef { card: CARD, n: 3 };
    let head = api::HeadInfo {
        hash: Hash([1; 32]),
        sequence: 7,
        epoch: 1,
        list_number: 1,
    };
    let info = api::SessionInfo {
        session,
        terminal: statement().terminal,
        state: api::SessionState::TailDelivered,
        last_commit: Some(Hash([2; 32])),
    };
    let opened = api::SessionAnswer {
        grant: api::Grant([3; 32]),
        expires_in: 1800,
        head: Some(head),
        commits: vec![bytes_of(signed::commits())],
        key_objects: vec![api::B64(object.to_bytes())],
        wraps: vec![wrap.clone()],
        tails: vec![bytes_of(signed::tails())],
        sessions: vec![info],
        rekey_required: false,
    };
    let newest = api::KeyObjectAnswer {
        signed: api::B64(object.to_bytes()),
        wraps: vec![wrap],
        rekey_required: true,
        revoked: api::Revoked {
            cards: vec![CARD],
            terminals: vec![],
        },
    };
    let moved = api::ServerEvent::HeadMoved {
        head,
        terminal: statement().terminal,
    };
    let moving = "sync.example.org:7443"
        .parse()
        .ok()
        .map(|address| api::MovingTo {
            address,
            ca_pin: Hash([4; 32]),
        });
    let nonce = api::NonceAnswer {
        server: simsync_card::ids::ServerId([5; 16]),
        nonce: api::Nonce([6; 16]),
        moving,
    };
    let commits = api::CommitsAnswer {
        head: Some(head),
        commits: vec![bytes_of(signed::commits())],
        tails: vec![],
    };
    let mut problem = Problem::new(Code::HeadMoved, "it moved\u{1b}[2J");
    problem.head = Some(head);
    vec![
        tagged(0, &problem),
        tagged(1, &opened),
        tagged(2, &moved),
        tagged(2, &api::ServerEvent::Hello { head: None }),
        tagged(3, &nonce),
        tagged(4, &newest),
        tagged(6, &commits),
    ]
}

/// A pack as it is sent.
fn record(pack: &Pack) -> Vec<u8> {
    let header = record_header(&pack.id, &pack.collection, pack.bytes.len() as u64);
    [&header[..], &pack.bytes].concat()
}

/// Packs in a row: a byte for how they arrive, then the stream.
pub fn batch(input: &[u8]) -> bool {
    let (&step, stream) = input.split_first().unwrap_or((&0, &[]));
    let (mut decoder, mut again) = (Decoder::new(16, 1 << 20), Vec::new());
    for part in stream.chunks(usize::from(step) + 1) {
        decoder.push(Bytes::copy_from_slice(part));
        loop {
            match decoder.next_pack() {
                Ok(Some(pack)) => again.extend(record(&pack)),
                Ok(None) => break,
                Err(_) => return false,
            }
        }
    }
    assert!(stream.starts_with(&again), "written otherwise than read");
    let whole = decoder.finish().is_ok();
    assert_eq!(whole, again.len() == stream.len());
    whole
}

pub fn batches() -> Vec<Vec<u8>> {
    let pack = |n: u8, size: usize| Pack {
        id: PackId([n; 16]),
        collection: CollectionId([n; 16]),
        bytes: Bytes::from(vec![n; size]),
    };
    let wire = |step: u8, packs: &[Pack]| {
        let mut out = vec![step];
        out.extend(packs.iter().flat_map(record));
        out
    };
    vec![
        wire(0, &[pack(1, 3)]),
        wire(255, &[pack(1, 300), pack(2, 1), pack(3, 90)]),
        wire(40, &[pack(1, 41)]),
    ]
}

/// What people type and cards hold: enrolment codes, addresses, IDs.
pub fn words(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let mut taken = false;
    if let Some(code) = EnrolmentCode::parse(text) {
        let again = EnrolmentCode::parse(&code.to_string());
        assert_eq!(again.map(|c| c.hash()), Some(code.hash()));
        taken = true;
    }
    if let Ok(address) = text.parse::<ServerAddress>() {
        let shown = address.to_string();
        assert!(shown.len() <= ServerAddress::MAX);
        assert_eq!(shown.parse().ok(), Some(address));
        taken = true;
    }
    if let Ok(id) = text.parse::<PackId>() {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
        taken = true;
    }
    taken
}

pub fn word_samples() -> Vec<Vec<u8>> {
    [
        EnrolmentCode::new([0x5a; 16]).to_string(),
        "sync.example.org:7443".to_owned(),
        "[::1]:9".to_owned(),
        "::1".to_owned(),
        PackId([0xab; 16]).to_string(),
    ]
    .into_iter()
    .map(String::into_bytes)
    .collect()
}

/// Lists of people: a byte for what they are for, then the file.
pub fn people(input: &[u8]) -> bool {
    let (&purpose, file) = input.split_first().unwrap_or((&0, &[]));
    let purpose = match purpose % 2 {
        0 => Purpose::Import,
        _ => Purpose::Issue,
    };
    match people::parse(file, purpose) {
        Ok(people) => {
            for person in &people {
                assert!(people::check_label(&person.label).is_ok());
                let whole = person.subscriber.is_some() && person.code.is_some();
                assert!(purpose == Purpose::Import || whole);
            }
            true
        }
        Err(why) => {
            // It is shown to the operator.
            let _ = why.to_string();
            false
        }
    }
}

pub fn people_samples() -> Vec<Vec<u8>> {
    let code = EnrolmentCode::new([7; 16]);
    vec![
        b"\x00label,subscriber\nAda,ada\n\"Front, desk\",desk-1\n".to_vec(),
        b"\x00\xef\xbb\xbflabel\r\nBea\r\n".to_vec(),
        format!("\x01label,subscriber,code\nAda,ada,{code}\n").into_bytes(),
    ]
}

/// A key that signs nothing but this: a test vector.
const ISSUER: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
";

/// Lists of issued cards, and the keys for them: a byte for which, then the file.
pub fn issued(input: &[u8]) -> bool {
    static KEY: OnceLock<Option<PKey<Public>>> = OnceLock::new();
    let (&which, file) = input.split_first().unwrap_or((&0, &[]));
    match which % 3 {
        0 => {
            let key = KEY.get_or_init(|| issued::public_key(ISSUER.as_bytes()).ok());
            key.as_ref().is_some_and(|k| issued::open(file, k).is_ok())
        }
        1 => issued::public_key(file).is_ok(),
        _ => issued::private_key(file).is_ok(),
    }
}

pub fn issued_samples() -> Vec<Vec<u8>> {
    let list = r#"{"version": 1, "list": "{\"server\":\"a:1\",\"cards\":[]}", "signature": "00"}"#;
    vec![
        [b"\x00", list.as_bytes()].concat(),
        [b"\x01", ISSUER.as_bytes()].concat(),
    ]
}
