//! Whole handshakes and wrapped commands as other implementations and their cards exchanged them.

use super::*;
use crate::keys::Key;
use crate::session::published::{GPSHELL_55, SCP03};
use simsync_card::transport::{Replay, Transcript};

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text.replace(' ', "")).unwrap()
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn keys(enc: &str, mac: &str, dek: &str) -> KeySet {
    KeySet::new(key(enc), key(mac), key(dek)).unwrap()
}

fn replay(text: &str) -> Replay {
    Replay::new(Transcript::parse(text).unwrap())
}

fn command(text: &str) -> Command {
    Command::decode(&unhex(text)).unwrap()
}

const GET_EID: &str = "80e2910006bf3e035c015a00";
const EID: &str = "bf3e125a1089882119900000000000000000000005";
const FOUR_CASES: [&str; 4] = [
    "80F22002",
    "80ca006600",
    "80F220020a4f0212345c054f9f70c5",
    "80f28002024f0000",
];

/// The keys of those: 00…, 10…, 20…, the first 16 bytes again from the start where they are longer.
fn published_keys(length: usize) -> KeySet {
    let one = |first: u8| {
        let bytes: Vec<u8> = (0..16).map(|n| first + n).cycle().take(length).collect();
        Key::new(&bytes).unwrap()
    };
    KeySet::new(one(0x00), one(0x10), one(0x20)).unwrap()
}

fn eight(text: &str) -> [u8; 8] {
    unhex(text).try_into().unwrap()
}

#[test]
fn scp03_as_other_tools_and_cards_speak_it() {
    for p in &SCP03 {
        let challenge = Challenge::parse(&unhex(p.initialize_update)).unwrap();
        assert_eq!((challenge.scp, challenge.i), (3, Some(0x70)));
        let mut host = Scp03::new(
            &published_keys(p.key_bytes),
            &eight(p.host_challenge),
            &challenge.card_challenge,
            &challenge.cryptogram,
            Level::new(p.level),
        )
        .unwrap()
        .expect("the card's cryptogram");
        let check = |wrapped: Command, published: &str| {
            assert_eq!(hex::encode(wrapped.encode()), published);
        };
        check(
            host.external_authenticate().unwrap(),
            p.external_authenticate,
        );
        check(host.wrap(&command(GET_EID)).unwrap(), p.get_eid);
        let answer = Response {
            data: unhex(p.get_eid_answer).into(),
            sw: 0x9000,
        };
        let plain = host.unwrap(answer).unwrap().expect("the answer's MAC");
        assert_eq!(hex::encode(&*plain.data), EID);
        for (text, published) in FOUR_CASES.iter().zip(p.four_cases) {
            check(host.wrap(&command(text)).unwrap(), published);
        }
    }
}

#[test]
fn a_whole_session_by_scp03_replays() {
    for p in SCP03.iter().filter(|p| p.level == 0x33) {
        let version = &p.initialize_update[20..22];
        let transcript = format!(
            "> 8050{version}0008{}00\n< {}9000\n> {}\n< 9000\n> {}\n< {}9000",
            p.host_challenge,
            p.initialize_update,
            p.external_authenticate,
            p.get_eid,
            p.get_eid_answer
        );
        let options = Options {
            key_version: u8::from_str_radix(version, 16).unwrap(),
            ..Options::default()
        };
        let host_challenge = eight(p.host_challenge);
        let keys = published_keys(p.key_bytes);
        let mut session =
            Session::open(replay(&transcript), &keys, &options, &host_challenge).unwrap();
        assert_eq!(session.level().byte(), 0x33);
        let get_eid = Command::new(0x80, 0xE2, 0x91, 0).expecting_any();
        let answer = session
            .send("STORE DATA", get_eid, &unhex("bf3e035c015a"))
            .unwrap();
        assert_eq!(hex::encode(&*answer.data), EID);
        assert!(session.close().is_finished());
    }
}

#[test]
fn a_whole_session_by_scp02_replays() {
    let transcript = GPSHELL_55.replace(" 9000", "9000");
    let options = Options {
        key_version: 0x2A,
        scp02_variant: Some(0x55),
        ..Options::default()
    };
    let host_challenge = eight("C453FA25E5281272");
    let keys = KeySet::public_test_keys();
    let mut session = Session::open(replay(&transcript), &keys, &options, &host_challenge).unwrap();
    assert_eq!((session.scp(), session.level().byte()), (Scp::Scp02, 0x03));
    assert_eq!(session.challenge().counter, Some(0x1C));
    let get_status = Command::new(0x80, 0xF2, 0x20, 0x00).expecting_any();
    let answer = session
        .send("GET STATUS", get_status, &[0x4F, 0x00])
        .unwrap();
    assert_eq!(answer.data.len(), 53);
    let delete = Command::new(0x80, 0xE4, 0x00, 0x80).expecting_any();
    let answer = session
        .send("DELETE", delete, &unhex("4F0AA00000006203010C0101"))
        .unwrap();
    assert_eq!(answer.sw, 0x6A88);
    assert!(session.close().is_finished());
}

/// What a tool wrapped at level 01: master keys, host challenge, INITIALIZE UPDATE's answer, what followed.
struct MacOnly {
    keys: KeySet,
    diversification: Option<Diversification>,
    host_challenge: &'static str,
    initialize_update: &'static str,
    external_authenticate: &'static str,
    commands: &'static [(&'static str, &'static str)],
}

#[test]
fn scp02_as_other_tools_and_cards_speak_it() {
    let published = [
        // pySim, test_globalplatform.py.
        MacOnly {
            keys: keys(
                "100102030405060708090a0b0c0d0e0f",
                "101102030405060708090a0b0c0d0e0f",
                "102102030405060708090a0b0c0d0e0f",
            ),
            diversification: None,
            host_challenge: "40A62C37FA6304F8",
            initialize_update: "00000000000000000000700200016B4524ABEE7CF32EA3838BC148F3",
            external_authenticate: "8482010010BA6961667737C5BCEBECE14C7D6A4376",
            commands: &[
                ("80F22002", "84F220020814DB34FA4341DCA8"),
                ("80ca006600", "84CA00660855ED7C5FF069512B00"),
                (
                    "80F220020a4f0212345c054f9f70c5",
                    "84F22002124F0212345C054F9F70C58FC1B380C4228AF8",
                ),
                ("80f28002024f0000", "84F280020A4F003B95F09317DE6A4E00"),
            ],
        },
        // GPShell with a JCOP 31 (Oracle's Java Card forum, thread 1752066), i=15.
        MacOnly {
            keys: KeySet::public_test_keys(),
            diversification: None,
            host_challenge: "11D03CEEB05ED334",
            initialize_update: "00007115001731911702FF020003AD669A479C52DD1284247BEC64ED",
            external_authenticate: "8482010010F82A9987D172FB7A6CDD05CB5E928AF3",
            commands: &[
                (
                    "80E400800C4F0AA00000006203010C010100",
                    "84E40080144F0AA00000006203010C0101B37CC15990CDB33600",
                ),
                (
                    "80E400800B4F09A00000006203010C0100",
                    "84E40080134F09A00000006203010C014688AF21D63AA08A00",
                ),
            ],
        },
        // GPShell with a Sm@rtCafe Expert 3.2, i=15, keys diversified by EMV CPS 1.1 (muscle list, 2012-10-31).
        MacOnly {
            keys: KeySet::public_test_keys(),
            diversification: Some(Diversification::Emv),
            host_challenge: "1CEA81CACBFF859F",
            initialize_update: "0000017695008D0F97270102001058FAE6F7D0E3485ABC93FBEAC740",
            external_authenticate: "8482010010C255066E7B12B6A3219691B3F4F21DB2",
            commands: &[(
                "80E602001805A00000000108A0000000030000000006EF04C60238B00000",
                "84E602002005A00000000108A0000000030000000006EF04C60238B00093961105E2EDAE4B00",
            )],
        },
    ];
    for p in published {
        let challenge = Challenge::parse(&unhex(p.initialize_update)).unwrap();
        let own = p.diversification.map_or(p.keys.clone(), |d| {
            d.diversify(&p.keys, Scp::Scp02, &challenge.diversification_data)
                .unwrap()
        });
        let host = Scp02::new(
            &own,
            &eight(p.host_challenge),
            &challenge.card_challenge,
            &challenge.cryptogram,
            Variant::of(Some(0x15)).unwrap(),
        );
        let mut host = host.unwrap().expect("the card's cryptogram").at(0x01);
        let upper = |c: Command| hex::encode_upper(c.encode());
        assert_eq!(
            upper(host.external_authenticate().unwrap()),
            p.external_authenticate
        );
        for (plain, wrapped) in p.commands {
            assert_eq!(upper(host.wrap(&command(plain)).unwrap()), *wrapped);
        }
    }
}

#[test]
fn wrong_keys_send_nothing_that_costs_a_try() {
    // Were EXTERNAL AUTHENTICATE sent, the transcript would not have it.
    for (line, options) in [
        (
            GPSHELL_55.lines().take(2).collect::<Vec<_>>().join("\n"),
            0x2A,
        ),
        (
            format!(
                "> 8050300008C453FA25E528127200\n< {}9000",
                SCP03[0].initialize_update
            ),
            0x30,
        ),
    ] {
        let options = Options {
            key_version: options,
            ..Options::default()
        };
        let mut card = replay(&line);
        let wrong = KeySet::same(key("000102030405060708090a0b0c0d0e0f"));
        let error = Session::open(&mut card, &wrong, &options, &eight("C453FA25E5281272"));
        assert!(matches!(error, Err(GpError::WrongKeys { .. })));
        assert!(card.is_finished());
    }
}

fn opened(status: &str) -> Result<(), GpError> {
    let transcript = format!(
        "{}\n< {status}",
        GPSHELL_55.lines().take(3).collect::<Vec<_>>().join("\n")
    );
    let options = Options {
        key_version: 0x2A,
        ..Options::default()
    };
    let mut card = replay(&transcript);
    let keys = KeySet::public_test_keys();
    let result = Session::open(&mut card, &keys, &options, &eight("C453FA25E5281272")).map(drop);
    assert!(card.is_finished());
    result
}

#[test]
fn a_refused_authentication_is_told_and_never_repeated() {
    assert!(opened("9000").is_ok());
    // 6C00 too, which is elsewhere answered by repeating the command.
    for sw in ["6300", "6982", "6985", "63C2", "6C00", "6F00"] {
        let error = opened(sw).unwrap_err();
        assert!(
            matches!(error, GpError::AuthenticationRefused { .. }),
            "{sw}"
        );
        assert!(error.to_string().contains(sw), "{error}");
    }
    assert!(matches!(opened("6983"), Err(GpError::Blocked)));
}

fn initialized(answer: &str) -> GpError {
    let mut card =
        replay(&format!("> 80500000080102030405060708 00\n< {answer}").replace("08 00", "0800"));
    let host_challenge = [1, 2, 3, 4, 5, 6, 7, 8];
    let keys = KeySet::public_test_keys();
    let result = Session::open(&mut card, &keys, &Options::default(), &host_challenge);
    result.map(drop).unwrap_err()
}

#[test]
fn what_initialize_update_may_answer_instead() {
    assert!(matches!(initialized("6983"), GpError::Blocked));
    assert!(matches!(initialized("6A88"), GpError::NoSuchKeys(0)));
    assert!(matches!(
        initialized("6982"),
        GpError::Refused { sw: 0x6982, .. }
    ));
    assert!(matches!(initialized("9000"), GpError::Answer { .. }));
    let rest = "00".repeat(16);
    let scp01 = format!("{}0101{rest}9000", "00".repeat(10));
    assert!(initialized(&scp01).to_string().contains("SCP01"));
    let s16 = format!("{}010371{rest}{rest}9000", "00".repeat(10));
    assert!(initialized(&s16).to_string().contains("SCP03 i=71"));
    let long = format!("{}0102{rest}009000", "00".repeat(10));
    assert!(matches!(initialized(&long), GpError::Answer { .. }));
}

#[test]
fn an_unsupported_variant_of_scp02_is_refused() {
    let transcript = GPSHELL_55.lines().take(2).collect::<Vec<_>>().join("\n");
    let options = Options {
        key_version: 0x2A,
        scp02_variant: Some(0x1A),
        ..Options::default()
    };
    let mut card = replay(&transcript);
    let keys = KeySet::public_test_keys();
    let error = Session::open(&mut card, &keys, &options, &eight("C453FA25E5281272"));
    assert!(
        error
            .map(drop)
            .unwrap_err()
            .to_string()
            .contains("SCP02 i=1A")
    );
}

#[test]
fn long_keys_are_not_tried_with_scp02() {
    let transcript = GPSHELL_55.lines().take(2).collect::<Vec<_>>().join("\n");
    let options = Options {
        key_version: 0x2A,
        ..Options::default()
    };
    let keys = KeySet::same(Key::new(&[1; 32]).unwrap());
    let error = Session::open(
        replay(&transcript),
        &keys,
        &options,
        &eight("C453FA25E5281272"),
    );
    assert!(matches!(
        error.map(drop),
        Err(GpError::KeyLength { length: 32, .. })
    ));
}

#[test]
fn an_altered_answer_ends_the_channel() {
    let p = &SCP03[2];
    let good = unhex(&format!("{}9000", p.get_eid_answer));
    // All but the status word: another one is an error, whose data is dropped.
    for at in 0..good.len() - 2 {
        let mut altered = good.clone();
        altered[at] ^= 1;
        let transcript = format!(
            "> 8050300008{}00\n< {}9000\n> {}\n< 9000\n> {}\n< {}",
            p.host_challenge,
            p.initialize_update,
            p.external_authenticate,
            p.get_eid,
            hex::encode(altered)
        );
        let options = Options {
            key_version: 0x30,
            ..Options::default()
        };
        let keys = published_keys(16);
        let mut session = Session::open(
            replay(&transcript),
            &keys,
            &options,
            &eight(p.host_challenge),
        )
        .unwrap();
        let get_eid = || Command::new(0x80, 0xE2, 0x91, 0).expecting_any();
        let data = unhex("bf3e035c015a");
        let error = session.send("STORE DATA", get_eid(), &data);
        assert!(matches!(error, Err(GpError::Altered { .. })), "byte {at}");
        let error = session.send("STORE DATA", get_eid(), &data);
        assert!(matches!(error, Err(GpError::Unprotected(_))));
    }
}

#[test]
fn an_answer_without_its_mac_is_altered() {
    let p = &SCP03[2];
    let challenge = Challenge::parse(&unhex(p.initialize_update)).unwrap();
    let mut host = Scp03::new(
        &published_keys(16),
        &eight(p.host_challenge),
        &challenge.card_challenge,
        &challenge.cryptogram,
        Level::new(0x33),
    )
    .unwrap()
    .unwrap();
    let mut answer = |data: &str, sw| {
        let data = unhex(data).into();
        host.unwrap(Response { data, sw }).unwrap()
    };
    for sw in [0x9000, 0x6310, 0x6283] {
        assert!(answer("", sw).is_none());
        assert!(answer("00112233445566", sw).is_none());
    }
    // An error has none, and its data counts for nothing.
    assert!(answer("", 0x6A88).unwrap().data.is_empty());
    assert!(answer("0102", 0x6A88).unwrap().data.is_empty());
}

#[test]
fn what_does_not_fit_is_not_sent() {
    let transcript = GPSHELL_55.lines().take(4).collect::<Vec<_>>().join("\n");
    let options = Options {
        key_version: 0x2A,
        ..Options::default()
    };
    let keys = KeySet::public_test_keys();
    let mut session = Session::open(
        replay(&transcript),
        &keys,
        &options,
        &eight("C453FA25E5281272"),
    )
    .unwrap();
    let load = Command::new(0x80, 0xE8, 0, 0);
    let error = session.send("LOAD", load, &vec![0; session.max_data() + 1]);
    assert!(matches!(
        error,
        Err(GpError::TooLong {
            most: 239,
            length: 240,
            ..
        })
    ));
}

/// A session whose commands carry a MAC and are not encrypted: pySim's, whose card answers nothing more.
pub(crate) fn session_at_level_1() -> Session<Replay> {
    let answer = "00000000000000000000700200016B4524ABEE7CF32EA3838BC148F3";
    let challenge = Challenge::parse(&unhex(answer)).unwrap();
    let keys = keys(
        "100102030405060708090a0b0c0d0e0f",
        "101102030405060708090a0b0c0d0e0f",
        "102102030405060708090a0b0c0d0e0f",
    );
    let host = Scp02::new(
        &keys,
        &eight("40A62C37FA6304F8"),
        &challenge.card_challenge,
        &challenge.cryptogram,
        Variant::of(None).unwrap(),
    );
    Session {
        transport: replay(""),
        channel: Channel::Scp02(host.unwrap().unwrap().at(0x01)),
        challenge,
        usable: true,
    }
}
