use super::*;
use crate::engine::fresh_rng;

#[test]
fn m6_the_terminal_key_opens_with_its_pin_only() {
    let (terminal, key) = Terminal::create("correct horse", &mut fresh_rng()).unwrap();
    assert_eq!(
        terminal.unseal("correct horse").unwrap().point(),
        key.point()
    );
    assert_eq!(
        terminal.unseal("wrong horse!").unwrap_err(),
        UnsealError::WrongPin
    );
    assert_eq!(
        Terminal::create("short", &mut fresh_rng()).unwrap_err(),
        UnsealError::TooShort
    );
    let mut damaged = terminal.clone();
    damaged.key.memory_kib = u32::MAX;
    assert_eq!(
        damaged.unseal("correct horse").unwrap_err(),
        UnsealError::Damaged
    );
    let mut other = terminal;
    other.point = SecretKey::from_bytes(&[3; 32]).unwrap().point();
    assert_eq!(
        other.unseal("correct horse").unwrap_err(),
        UnsealError::WrongPin
    );
}

/// Argon2id with the least that it takes, so that a test may run it often; nothing of ours is sealed so.
fn cheap() -> Terminal {
    let (mut terminal, _) = Terminal::create("correct horse", &mut fresh_rng()).unwrap();
    (
        terminal.key.memory_kib,
        terminal.key.passes,
        terminal.key.lanes,
    ) = (8, 1, 1);
    terminal
}

#[test]
fn w_8_what_a_key_file_asks_for_is_bounded_before_argon2_runs() {
    let why = |change: &dyn Fn(&mut SealedKey)| {
        let mut terminal = cheap();
        change(&mut terminal.key);
        terminal.unseal("correct horse").unwrap_err()
    };
    // Argon2 ran: it made another key, which does not open this.
    let ran = UnsealError::WrongPin;
    assert_eq!(why(&|_| {}), ran);
    assert_eq!(why(&|k| k.passes = ARGON2_MAX.1), ran);
    assert_eq!(
        why(&|k| (k.memory_kib, k.lanes) = (8 * ARGON2_MAX.2, ARGON2_MAX.2)),
        ran
    );
    let refused: [&dyn Fn(&mut SealedKey); 12] = [
        &|k| k.memory_kib = ARGON2_MAX.0 + 1,
        &|k| k.memory_kib = u32::MAX,
        &|k| k.passes = ARGON2_MAX.1 + 1,
        &|k| k.passes = u32::MAX,
        &|k| (k.memory_kib, k.lanes) = (8 * ARGON2_MAX.2 + 8, ARGON2_MAX.2 + 1),
        &|k| k.lanes = u32::MAX,
        // Less than Argon2 is defined for.
        &|k| k.memory_kib = 7,
        &|k| k.passes = 0,
        &|k| k.lanes = 0,
        // What is no key of ours needs no Argon2 to be seen.
        &|k| k.salt = B64(vec![0; SALT + 1]),
        &|k| k.nonce = B64(vec![0; 23]),
        &|k| k.ciphertext.0.push(0),
    ];
    for (i, change) in refused.iter().enumerate() {
        assert_eq!(why(change), UnsealError::Damaged, "{i}");
    }
}

#[test]
fn w_8_a_key_file_that_no_simsync_wrote_is_refused_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("terminal.json");
    let (terminal, _) = Terminal::create("correct horse", &mut fresh_rng()).unwrap();
    let right = serde_json::to_value(&terminal).unwrap();
    let load = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Terminal::load(&path)
    };
    let with = |field: &str, value: serde_json::Value| {
        let mut changed = right.clone();
        changed[field] = value;
        load(&changed.to_string()).unwrap_err().to_string()
    };
    assert_eq!(load(&right.to_string()).unwrap(), Some(terminal));
    for (field, value, word) in [
        ("version", 0.into(), "version 0"),
        ("version", 2.into(), "update simsync"),
        ("version", (-1).into(), "not valid"),
        ("version", "1".into(), "not valid"),
        ("point", "04".into(), "not valid"),
        ("key", "".into(), "not valid"),
        ("more", 1.into(), "more"),
    ] {
        let error = with(field, value);
        assert!(error.contains(word), "{field}: {error}");
        assert!(error.contains("terminal.json"), "{error}");
    }
    let long = format!("{right}{}", " ".repeat(1 << 20));
    let error = load(&long).unwrap_err().to_string();
    assert!(error.contains("more than 1048576 bytes"), "{error}");
}

#[test]
fn m19_a_terminal_that_pairs_again_knows_what_it_knew_of_the_move() {
    let place = |address: &str| MovingTo {
        address: address.parse().unwrap(),
        ca_pin: Hash([5; 32]),
    };
    let point = SecretKey::from_bytes(&[3; 32]).unwrap().point();
    let card = |id| TrustedCard {
        id: CardId([id; 16]),
        keys: simsync_card::text::CardKeys {
            sig: point,
            kem: point,
        },
    };
    let pairing = |address: &str, with: u8| Pairing {
        subscriber: "alice".parse().unwrap(),
        card: card(with),
        label: None,
        server: address.to_owned(),
        ca_pin: Hash([5; 32]),
        server_id: ServerId([6; 16]),
        certificate: B64(Vec::new()),
        complete: false,
        leaving: false,
        known_cards: Vec::new(),
        next_server: None,
        told_cards: None,
    };
    let (old, new) = (place("a:1"), place("b:1"));
    let go_on = |before: &Pairing, address: &str, on_card: &MovingTo| {
        let mut after = pairing(address, 2);
        after.goes_on_from(before, on_card);
        let news = [1, 2, 3].map(|c| after.has_news_for(&CardId([c; 16])));
        (after, news)
    };
    // Nothing moved: what was agreed to waits on, and nobody is told anything.
    let mut before = pairing("a:1", 1);
    (before.complete, before.next_server) = (true, Some(new.clone()));
    let (after, news) = go_on(&before, "a:1", &old);
    assert!(after.complete && after.next_server == Some(new.clone()));
    assert_eq!(news, [false; 3]);
    // It was where the owner agreed to look, or the card said so: the others are told.
    let (after, news) = go_on(&before, "b:1", &old);
    assert_eq!((after.next_server, news), (None, [true; 3]));
    let (after, news) = go_on(&before, "b:1", &new);
    assert_eq!((after.next_server, news), (None, [true, false, true]));
    // The terminal knew of the move, and has told one card, or this one, or none since it was paired there.
    before = pairing("b:1", 1);
    before.told_cards = Some(vec![CardId([1; 16])]);
    assert_eq!(go_on(&before, "b:1", &old).1, [false, true, true]);
    assert_eq!(go_on(&before, "b:1", &new).1, [false, false, true]);
    before.told_cards = Some(vec![CardId([2; 16])]);
    assert_eq!(go_on(&before, "b:1", &old).1, [true, true, true]);
    before.told_cards = None;
    assert_eq!(go_on(&before, "b:1", &old).1, [true, true, true]);
    assert_eq!(go_on(&before, "b:1", &new).1, [false; 3]);
    // Another server has nothing to do with it.
    before.server_id = ServerId([7; 16]);
    before.told_cards = Some(Vec::new());
    assert_eq!(go_on(&before, "a:1", &old).1, [false; 3]);
}

#[test]
fn the_file_survives_and_a_newer_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("terminal.json");
    assert_eq!(Terminal::load(&path).unwrap(), None);
    let (terminal, _) = Terminal::create("correct horse", &mut fresh_rng()).unwrap();
    terminal.save(&path).unwrap();
    assert_eq!(Terminal::load(&path).unwrap(), Some(terminal));
    let text = std::fs::read_to_string(&path)
        .unwrap()
        .replace("\"version\": 1", "\"version\": 2");
    std::fs::write(&path, text).unwrap();
    assert!(
        Terminal::load(&path)
            .unwrap_err()
            .to_string()
            .contains("update simsync")
    );
}
