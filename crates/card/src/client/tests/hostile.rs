//! Every command against answers that are none: cut short, too long, those of other commands, bare status words, noise.
//! Each gives an error with a sentence; none panics, and none lets the card feed the client for ever.

use std::collections::{BTreeSet, VecDeque};

use super::*;
use proptest::prelude::*;

/// Most APDUs that one command may cost: 8192 bytes in pieces of one byte, and a little.
const EXCHANGES_MAX: usize = 8200;

/// Answers whatever is sent with these bytes in turn, again and again, and counts.
struct Loop {
    answers: Vec<Vec<u8>>,
    sent: usize,
    given: usize,
}

impl Loop {
    fn of(answers: Vec<Vec<u8>>) -> Applet<Self> {
        Applet::new(Self {
            answers,
            sent: 0,
            given: 0,
        })
    }
}

impl Transport for Loop {
    fn transmit(&mut self, _: &[u8]) -> Result<Vec<u8>, TransportError> {
        assert!(self.sent < EXCHANGES_MAX, "the card keeps the client busy");
        let answer = self.answers[self.sent % self.answers.len()].clone();
        self.sent += 1;
        self.given += answer.len();
        Ok(answer)
    }
}

/// Answers these and is taken out then.
struct Once(VecDeque<Vec<u8>>);

impl Transport for Once {
    fn transmit(&mut self, _: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.0.pop_front().ok_or(TransportError::RemovedCard)
    }
}

/// A raw answer, the status word with it.
fn raw(answer: &[u8]) -> Applet<Scripted> {
    Applet::new(Scripted {
        answer: answer.to_vec(),
        last: Vec::new(),
    })
}

/// A sentence for people, of this command, and not the answer itself.
fn is_clear(error: &CardError, command: &str, tried: &str) {
    let sentence = error.to_string();
    let names = sentence.contains(command) || matches!(error, CardError::Version { .. });
    assert!(names && sentence.len() < 200, "{tried}: {sentence}");
    let mut cause = std::error::Error::source(error);
    while let Some(why) = cause {
        let why_text = why.to_string();
        assert!((10..200).contains(&why_text.len()), "{tried}: {why_text}");
        cause = why.source();
    }
}

/// READ SESSIONS is a list: none, or a shorter one, is a good answer too.
fn may_be_cut_to(name: &str, length: usize) -> bool {
    name == "READ SESSIONS" && length.is_multiple_of(13)
}

#[test]
fn m19_answers_cut_anywhere_are_refused() {
    for (name, run, answer) in commands() {
        assert!(run(&mut applet(&answer, 0x9000)).is_ok(), "{name}");
        for cut in (0..answer.len()).filter(|cut| !may_be_cut_to(name, *cut)) {
            let error = run(&mut applet(&answer[..cut], 0x9000)).unwrap_err();
            let tried = format!("{name} cut to {cut} bytes");
            assert!(
                matches!(error, CardError::Answer { command, .. } if command == name),
                "{tried}: {error}"
            );
            is_clear(&error, name, &tried);
        }
        // Cut with its status word: what is left ends in bytes that mean something else, or nothing.
        let whole = [&answer[..], &[0x90, 0x00]].concat();
        for cut in 0..whole.len() {
            let error = run(&mut raw(&whole[..cut])).unwrap_err();
            is_clear(&error, name, &format!("{name} broken off after {cut}"));
            if cut < 2 {
                let none = error.transport();
                assert!(
                    matches!(none, Some(TransportError::NoAnswer(n)) if *n == cut),
                    "{name}: {error}"
                );
            }
        }
    }
}

#[test]
fn m19_answers_that_are_too_long_are_refused() {
    for (name, run, answer) in commands() {
        for more in [1, 12, 255, 256, 4096, 1 << 20] {
            let longer = [&answer[..], &vec![0; more]].concat();
            let error = run(&mut applet(&longer, 0x9000)).unwrap_err();
            let tried = format!("{name} with {more} bytes too many");
            assert!(matches!(error, CardError::Answer { .. }), "{tried}");
            is_clear(&error, name, &tried);
        }
    }
    // The same in pieces, of which the first is whole.
    for (name, run, answer) in commands() {
        let first = [&answer[..], &[0x61, 0x05]].concat();
        let rest = vec![1, 2, 3, 4, 5, 0x90, 0x00];
        let told = run(&mut Applet::new(Once([first, rest].into())));
        assert!(matches!(told, Err(CardError::Answer { .. })), "{name}");
    }
    // One session for each slot, and not one more.
    let session = [&[2][..], &[0xAB; 8], &[0, 0, 1, 0]].concat();
    let read = |n: usize| applet(&session.repeat(n), 0x9000).unsettled_sessions();
    assert_eq!(read(16).unwrap().len(), 16);
    assert!(matches!(read(17), Err(CardError::Answer { .. })));
}

/// Kinds of answers that have the same form; nobody can tell them apart by it. What they are good for is settled by
/// signatures, which their users check.
fn form(name: &str) -> &str {
    match name {
        "GET CHALLENGE" | "PERSONALISE" => "16 bytes",
        "GENERATE KEYS" | "READ KEYS" => "two points and a signature",
        "RENEW" | "SIGN" => "a signature",
        "ENROLLED"
        | "VERIFY"
        | "CHANGE REFERENCE DATA"
        | "RESET RETRY COUNTER"
        | "SET SERVER"
        | "REMOVE TERMINAL"
        | "PUT HEAD"
        | "TERMINATE" => "nothing",
        other => other,
    }
}

#[test]
fn m19_answers_of_other_commands_are_refused() {
    let mut taken = BTreeSet::new();
    for (name, run, _) in commands() {
        for (other, _, answer) in commands::<Scripted>() {
            match run(&mut applet(&answer, 0x9000)) {
                Ok(()) if form(name) == form(other) => {}
                Ok(()) => {
                    taken.insert((name, form(other)));
                }
                Err(error) => {
                    assert_ne!(form(name), form(other), "{name}: {error}");
                    is_clear(&error, name, &format!("{name} answered with {other}'s"));
                }
            }
        }
    }
    assert_eq!(taken, BTreeSet::from([("READ SESSIONS", "nothing")]));
}

/// Status words that are an answer, and no refusal, to a command: what it asks for is just that.
fn is_an_answer(name: &str, sw: u16) -> bool {
    match name {
        // VERIFY without data, which shares its name with the one that has some.
        "VERIFY" => matches!(sw, 0x63C0..=0x63CF | 0x6983),
        "LIST" => sw == 0x6A82,
        _ => false,
    }
}

#[test]
fn m19_bare_status_words_are_refused_by_name() {
    for (name, run, answer) in commands() {
        for sw in 0..=u16::MAX {
            let tried = format!("{name} answered with {sw:04X}");
            match run(&mut applet(&[], sw)) {
                Ok(()) => {
                    let nothing = answer.is_empty() || may_be_cut_to(name, 0);
                    let good = (sw == 0x9000 && nothing) || is_an_answer(name, sw);
                    assert!(good, "{tried}");
                }
                Err(error @ CardError::Answer { .. }) => {
                    assert_eq!(sw, 0x9000, "{tried}");
                    is_clear(&error, name, &tried);
                }
                Err(error) => {
                    is_clear(&error, name, &tried);
                    // 61XX is followed by GET RESPONSE, which is answered with 6F00.
                    let last = if sw >> 8 == 0x61 { 0x6F00 } else { sw };
                    let told = error.status().expect("a status word");
                    if let Status::Unexpected(told) | Status::NotUnderstood(told) = told {
                        assert_eq!(told, last, "{tried}");
                    }
                }
            }
        }
    }
}

#[test]
fn m19_data_beside_a_refusal_is_not_used() {
    for (name, run, answer) in commands() {
        // Warnings, errors, and 9000's neighbours, with the answer that would fit.
        for sw in [
            0x6200, 0x6282, 0x6300, 0x6982, 0x6985, 0x6F00, 0x9001, 0x9100, 0x0000, 0xFFFF,
        ] {
            let error = run(&mut applet(&answer, sw)).unwrap_err();
            assert!(error.status().is_some(), "{name} {sw:04X}: {error}");
            is_clear(&error, name, &format!("{name} {sw:04X}"));
        }
    }
}

#[test]
fn m19_no_chain_of_pieces_feeds_the_client_for_ever() {
    let piece = |length: usize, sw: u16| [&vec![0; length][..], &sw.to_be_bytes()].concat();
    let chains = [
        vec![piece(0, 0x6100)],
        vec![piece(0, 0x6101), piece(0, 0x6102)],
        vec![piece(1, 0x6101)],
        vec![piece(1, 0x6101), piece(0, 0x6101)],
        vec![piece(255, 0x61FF)],
        vec![piece(256, 0x6100)],
        vec![piece(1 << 20, 0x6100)],
        vec![piece(0, 0x6C01), piece(0, 0x6C02)],
        vec![piece(0, 0x6C01), piece(0, 0x6101)],
    ];
    for chain in &chains {
        for (name, run, _) in commands() {
            let mut card = Loop::of(chain.clone());
            let error = run(&mut card).unwrap_err();
            is_clear(&error, name, &format!("{name} fed with {chain:x?}"));
            let card = card.into_inner();
            // No more than one piece above the limit is ever taken.
            let most = 3 * 8192 + 2 * chain[0].len();
            assert!(card.given <= most, "{name}: {} bytes", card.given);
        }
    }
}

/// What a raw answer may look like: noise, or noise before a status word that something is done about.
fn an_answer() -> impl Strategy<Value = Vec<u8>> {
    let sw = prop_oneof![
        Just(0x9000),
        0x6100u16..=0x61FF,
        0x6C00u16..=0x6CFF,
        0x63C0u16..=0x63CF,
        any::<u16>(),
    ];
    let noise = proptest::collection::vec(any::<u8>(), 0..300);
    let with_status = (proptest::collection::vec(any::<u8>(), 0..260), sw)
        .prop_map(|(data, sw)| [data, sw.to_be_bytes().to_vec()].concat());
    prop_oneof![noise, with_status]
}

proptest! {
    #[test]
    fn m19_no_answer_panics(answers in proptest::collection::vec(an_answer(), 0..6)) {
        for (name, run, _) in commands() {
            if let Err(error) = run(&mut Applet::new(Once(answers.clone().into()))) {
                is_clear(&error, name, name);
            }
        }
        let _ = Applet::new(Once(answers.into())).terminals();
    }

    #[test]
    fn m19_no_answer_goes_on_for_ever(answers in proptest::collection::vec(an_answer(), 1..4)) {
        for (_, run, _) in commands() {
            // The loop itself counts.
            let _ = run(&mut Loop::of(answers.clone()));
        }
    }

    #[test]
    fn m19_no_data_panics(data in proptest::collection::vec(any::<u8>(), 0..256)) {
        for (name, run, _) in commands() {
            if let Err(error) = run(&mut applet(&data, 0x9000)) {
                is_clear(&error, name, name);
            }
        }
    }
}
