//! Random sequences of commands: what clients do, what they should not, and what nobody does.
//!
//! A step is small numbers only, so that a failing sequence shrinks to the steps that matter. What a step needs of the
//! card's answers (challenge, token, card ID) is filled in when it runs.

use proptest::prelude::*;
use simsync_card::apdu::{Command, MAX_DATA};
use simsync_card::client::APPLET_AID;
use simsync_card::ids::{CardId, Hash, TerminalId};
use simsync_card::sign::SecretKey;
use simsync_card::text;

use super::card::Protocol;

/// Every card's transport secret here.
pub const SECRET: [u8; 16] = [0x5A; 16];

/// What one of the two sides answered so far that later commands need.
#[derive(Default)]
pub struct Known {
    pub card: Option<CardId>,
    pub challenge: Option<[u8; 16]>,
    pub token: Option<[u8; 16]>,
}

#[derive(Debug, Clone)]
pub enum Step {
    Reset,
    Select,
    SelectOther,
    SelectNext,
    Challenge,
    Personalise {
        secret: u8,
        options: u8,
        pin: u8,
    },
    GenerateKeys {
        secret: u8,
    },
    Enrolled {
        secret: u8,
    },
    Verify {
        pin: u8,
    },
    AskPin,
    Change {
        old: u8,
        new: u8,
        puk: bool,
    },
    Unblock {
        puk: u8,
        pin: u8,
    },
    ReadInfo,
    ReadKeys,
    SetServer {
        len: u8,
    },
    Add {
        terminal: u8,
        label: u8,
    },
    /// VERIFY, and ADD TERMINAL or the like at once.
    Directly {
        pin: u8,
        then: Box<Step>,
    },
    /// VERIFY, GET CHALLENGE and OPEN SESSION as a terminal does it.
    Enter {
        terminal: u8,
    },
    List {
        slot: u8,
    },
    ReadSessions,
    Remove {
        terminal: u8,
    },
    Open {
        terminal: u8,
        how: u8,
    },
    Renew {
        token: u8,
    },
    PutHead {
        token: u8,
        head: Head,
        settle: u16,
    },
    Sign {
        domain: u8,
    },
    Terminate {
        puk: Option<u8>,
    },
    /// The step before in another shape: a byte changed, data cut or longer, without Le, or with another.
    Mutated {
        step: Box<Step>,
        at: u8,
        bits: u8,
        cut: u8,
        le: u8,
    },
    Raw {
        header: [u8; 4],
        data: Vec<u8>,
    },
    /// The power goes in the middle of the step's last command: at that write, when so many tenths of it are done.
    Cut {
        step: Box<Step>,
        write: u16,
        tenths: u8,
    },
}

#[derive(Debug, Clone)]
pub struct Head {
    epoch: u8,
    sequence: u64,
    list: u32,
    hash: u8,
}

const PINS: [[u8; 8]; 5] = [
    *b"1234\xff\xff\xff\xff",
    *b"0000\xff\xff\xff\xff",
    *b"Zz09abcd",
    *b"123\xff\xff\xff\xff\xff",
    *b"12 4\xff\xff\xff\xff",
];
const PUKS: [[u8; 8]; 3] = [*b"abcd5678", *b"ABCDEFGH", *b"abcd567\xff"];

/// An AID that no applet has.
const NOBODY: &[u8] = b"\xF1nobody here";

/// SELECT by other names, in other ways or on other channels is the platform's, not the applet's: it answers an empty one by
/// itself, and knows prefixes and next occurrences.
pub fn is_the_platforms(command: &Command) -> bool {
    let [cla, ins, p1, p2] = command.header();
    let known = command.data() == APPLET_AID || command.data() == NOBODY;
    (ins, p1) == (0xA4, 0x04) && !(cla == 0 && (p2 == 0 || p2 == 2) && known)
}

fn choose<T: Copy>(from: &[T], n: u8) -> T {
    from[usize::from(n) % from.len()]
}

fn secret(n: u8) -> [u8; 16] {
    if n == 0 { [0; 16] } else { SECRET }
}

fn put_lv(to: &mut Vec<u8>, value: &[u8]) {
    to.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
    to.extend_from_slice(value);
}

fn key(byte: u8) -> SecretKey {
    // Any 32 equal bytes of these are a scalar of the curve.
    match SecretKey::from_bytes(&[byte; 32]) {
        Ok(key) => key,
        Err(_) => unreachable!("{byte} is no key"),
    }
}

/// The terminal's own key, and the private half of its HPKE point.
pub fn terminal(n: u8) -> (SecretKey, SecretKey) {
    (key(1 + n), key(101 + n))
}

impl Step {
    /// The steps that this one is made of; itself, if it is but one.
    pub fn parts(&self) -> Vec<Self> {
        match self {
            Self::Directly { pin, then } => vec![Self::Verify { pin: *pin }, (**then).clone()],
            Self::Enter { terminal } => vec![
                Self::Verify { pin: 0 },
                Self::Challenge,
                Self::Open {
                    terminal: *terminal,
                    how: 0,
                },
            ],
            step => vec![step.clone()],
        }
    }

    /// The command of a step of one part; [`Step::Reset`] and [`Step::Cut`] have none of their own.
    pub fn command(&self, known: &Known) -> Command {
        let own = |ins: u8, p1: u8, data: &[u8]| command([0x80, ins, p1, 0], data);
        let iso = |ins: u8, data: &[u8]| command([0x00, ins, 0, 0x81], data);
        match self {
            Self::Select
            | Self::Reset
            | Self::Directly { .. }
            | Self::Enter { .. }
            | Self::Cut { .. } => command([0x00, 0xA4, 4, 0], &APPLET_AID),
            Self::SelectOther => command([0x00, 0xA4, 4, 0], NOBODY),
            Self::SelectNext => command([0x00, 0xA4, 4, 2], &APPLET_AID),
            Self::Challenge => own(0x84, 0, &[]),
            Self::Personalise {
                secret: s,
                options,
                pin,
            } => {
                let mut data = secret(*s).to_vec();
                for field in [&b"subscriber-17"[..], b"Blue card", b"old.example.org:8443"] {
                    put_lv(&mut data, field);
                }
                data.extend_from_slice(&[0xCA; 32]);
                data.extend_from_slice(&choose(&PINS, *pin));
                data.extend_from_slice(&PUKS[0]);
                data.push(*options);
                own(0x10, 0, &data)
            }
            Self::GenerateKeys { secret: s } => own(0x12, 0, &[&secret(*s)[..], &[7; 32]].concat()),
            Self::Enrolled { secret: s } => own(0x14, 0, &secret(*s)),
            Self::Verify { pin } => iso(0x20, &choose(&PINS, *pin)),
            Self::AskPin => iso(0x20, &[]),
            Self::Change { old, new, puk } => {
                let mut data = [choose(&PINS, *old), choose(&PINS, *new)].concat();
                if *puk {
                    data.extend_from_slice(&PUKS[1]);
                }
                iso(0x24, &data)
            }
            Self::Unblock { puk, pin } => {
                iso(0x2C, &[choose(&PUKS, *puk), choose(&PINS, *pin)].concat())
            }
            Self::ReadInfo => own(0x20, 0, &[]),
            Self::ReadKeys => own(0x22, 0, &[9; 32]),
            Self::SetServer { len } => {
                let mut data = Vec::new();
                put_lv(&mut data, &vec![b's'; usize::from(*len)]);
                data.extend_from_slice(&[0xCB; 32]);
                own(0x24, 0, &data)
            }
            Self::Add { terminal: n, label } => {
                let mut data = terminal(*n).0.point().0.to_vec();
                put_lv(&mut data, &vec![b'l'; usize::from(*label)]);
                data.extend_from_slice(&[3; 32]);
                own(0x30, 0, &data)
            }
            Self::List { slot } => own(0x32, *slot, &[]),
            Self::ReadSessions => own(0x34, 0, &[]),
            Self::Remove { terminal: n } => {
                own(0x36, 0, &TerminalId::of(&terminal(*n).0.point()).0)
            }
            Self::Open { terminal: n, how } => own(0x40, 0, &open(known, *n, *how)),
            Self::Renew { token } => {
                own(0x42, 0, &[&token_of(known, *token)[..], &[4; 32]].concat())
            }
            Self::PutHead {
                token,
                head,
                settle,
            } => {
                let mut data = token_of(known, *token).to_vec();
                data.extend_from_slice(&u32::from(head.epoch).to_be_bytes());
                data.extend_from_slice(&head.sequence.to_be_bytes());
                data.extend_from_slice(&[head.hash; 32]);
                data.extend_from_slice(&head.list.to_be_bytes());
                data.extend_from_slice(&[head.hash / 2; 32]);
                // Now and then a flag that is none.
                data.push(head.hash & 1 | u8::from(settle.count_ones() > 11) << 1);
                data.extend_from_slice(&settle.to_be_bytes());
                own(0x44, 0, &data)
            }
            Self::Sign { domain } => own(0x46, *domain, &[5; 32]),
            Self::Terminate { puk } => {
                let data = puk.map(|n| choose(&PUKS, n).to_vec()).unwrap_or_default();
                own(0x50, 0, &data)
            }
            Self::Mutated {
                step,
                at,
                bits,
                cut,
                le,
            } => mutated(&step.command(known), *at, *bits, *cut, *le),
            Self::Raw { header, data } => command(*header, data),
        }
    }

    /// The private half of the HPKE point that it sends, if any.
    pub fn hpke(&self) -> Option<SecretKey> {
        match self {
            Self::Open { terminal: n, how } if *how != 3 => Some(terminal(*n).1),
            _ => None,
        }
    }
}

fn command(header: [u8; 4], data: &[u8]) -> Command {
    let [cla, ins, p1, p2] = header;
    let command = Command::new(cla, ins, p1, p2);
    let most = data.get(..MAX_DATA).unwrap_or(data);
    match command.clone().with_data(most) {
        Ok(command) => command.expecting_any(),
        Err(_) => command,
    }
}

fn token_of(known: &Known, n: u8) -> [u8; 16] {
    match known.token {
        Some(token) if n > 0 => token,
        _ => [0x77; 16],
    }
}

/// 0: as it must be; 1: another binding; 2: signed by another; 3: a point off the curve; 4: no DER.
fn open(known: &Known, n: u8, how: u8) -> Vec<u8> {
    let (own, hpke) = terminal(n);
    let binding = Hash([0xB1; 32]);
    let mut point = hpke.point();
    if how == 3 {
        point.0[40] ^= 1;
    }
    let signer = if how == 2 {
        terminal(n ^ 1).0
    } else {
        terminal(n).0
    };
    let card = known.card.unwrap_or(CardId([0; 16]));
    let challenge = known.challenge.unwrap_or([0; 16]);
    let sig = signer.sign(&text::terminal(&card, &challenge, &binding, &point));
    let mut der = sig.as_der().to_vec();
    if how == 4 {
        der.fill(0x30);
    }
    let sent = if how == 1 { [0xB2; 32] } else { binding.0 };
    [&TerminalId::of(&own.point()).0[..], &sent, &point.0, &der].concat()
}

fn mutated(command_: &Command, at: u8, bits: u8, cut: u8, le: u8) -> Command {
    let mut bytes = [&command_.header()[..], command_.data()].concat();
    let at = usize::from(at) % bytes.len();
    bytes[at] ^= bits;
    match cut {
        0..=99 => {}
        100..=180 => bytes.truncate(bytes.len() - usize::from(cut - 100).min(bytes.len() - 4)),
        _ => bytes.resize(
            (bytes.len() + usize::from(cut - 180)).min(4 + MAX_DATA),
            cut,
        ),
    }
    let any = command([bytes[0], bytes[1], bytes[2], bytes[3]], &bytes[4..]);
    // All four cases: also without Le where there is an answer, and with one that does not fit.
    let [cla, ins, p1, p2] = any.header();
    let bare = || Command::new(cla, ins, p1, p2).with_data(any.data());
    let length = u16::from(bits) + 1;
    let shaped = match le {
        0 => bare(),
        1 => bare().and_then(|c| c.expecting(length)),
        _ => return any,
    };
    shaped.unwrap_or(any)
}

fn simple() -> impl Strategy<Value = Step> {
    let sequence = prop_oneof![8 => Just(0u64), 1 => Just(1), 1 => Just(1 << 32)];
    let head =
        (0u8..3, 0u64..3, sequence, 0u32..3, 0u8..3).prop_map(|(epoch, s, more, l, hash)| {
            Head {
                epoch,
                // Small steps, ones at the limit, and what a first record may not have.
                sequence: s * 1_024 + more,
                list: l * 16 + u32::from(hash),
                hash,
            }
        });
    // The first PIN and the right secret are the usual ones.
    let pin = || prop_oneof![6 => Just(0u8), 1 => 1u8..5];
    let right = || prop_oneof![5 => Just(1u8), 1 => Just(0u8)];
    let who = || 0u8..18;
    prop_oneof![
        2 => Just(Step::Select),
        1 => Just(Step::SelectOther),
        1 => Just(Step::SelectNext),
        1 => Just(Step::Reset),
        3 => Just(Step::Challenge),
        1 => (right(), prop_oneof![6 => 0u8..2, 2 => 2u8..4, 1 => 4u8..], pin())
            .prop_map(|(secret, options, pin)| Step::Personalise { secret, options, pin }),
        1 => right().prop_map(|secret| Step::GenerateKeys { secret }),
        1 => right().prop_map(|secret| Step::Enrolled { secret }),
        4 => pin().prop_map(|pin| Step::Verify { pin }),
        1 => Just(Step::AskPin),
        1 => (pin(), pin(), any::<bool>())
            .prop_map(|(old, new, puk)| Step::Change { old, new, puk }),
        2 => (prop_oneof![4 => Just(0u8), 1 => 1u8..3], pin())
            .prop_map(|(puk, pin)| Step::Unblock { puk, pin }),
        1 => Just(Step::ReadInfo),
        1 => Just(Step::ReadKeys),
        1 => (0u8..66).prop_map(|len| Step::SetServer { len }),
        2 => (who(), 0u8..26).prop_map(|(terminal, label)| Step::Add { terminal, label }),
        2 => (0u8..17).prop_map(|slot| Step::List { slot }),
        2 => Just(Step::ReadSessions),
        1 => who().prop_map(|terminal| Step::Remove { terminal }),
        4 => (0u8..3, prop_oneof![6 => Just(0u8), 1 => 1u8..5])
            .prop_map(|(terminal, how)| Step::Open { terminal, how }),
        2 => right().prop_map(|token| Step::Renew { token }),
        4 => (right(), head, any::<u16>())
            .prop_map(|(token, head, settle)| Step::PutHead { token, head, settle }),
        1 => (0u8..5).prop_map(|domain| Step::Sign { domain }),
    ]
}

fn directly() -> impl Strategy<Value = Step> {
    (prop_oneof![6 => Just(0u8), 1 => 1u8..5], simple()).prop_map(|(pin, then)| Step::Directly {
        pin,
        then: Box::new(then),
    })
}

fn terminate() -> impl Strategy<Value = Step> {
    prop_oneof![2 => Just(None), 1 => (0u8..3).prop_map(Some)]
        .prop_map(|puk| Step::Terminate { puk })
}

/// Steps whose last command writes, if it is not refused.
fn writing() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => directly(),
        20 => simple(),
        20 => (0u8..3).prop_map(|terminal| Step::Enter { terminal }),
        10 => (0u8..5).prop_map(|pin| Step::Verify { pin }),
        10 => (0u8..18, 0u8..25).prop_map(|(terminal, label)| Step::Directly {
            pin: 0,
            then: Box::new(Step::Add { terminal, label }),
        }),
        1 => terminate(),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => simple(),
        20 => directly(),
        20 => (0u8..3).prop_map(|terminal| Step::Enter { terminal }),
        20 => (simple(), any::<u8>(), prop_oneof![Just(0u8), any::<u8>()], any::<u8>(), 0u8..4)
            .prop_map(|(step, at, bits, cut, le)| Step::Mutated { step: Box::new(step), at, bits, cut, le }),
        5 => (prop_oneof![Just(0u8), Just(0x80u8), any::<u8>()], any::<u8>(), any::<u8>(), any::<u8>(),
              proptest::collection::vec(any::<u8>(), 0..60))
            .prop_map(|(cla, ins, p1, p2, data)| Step::Raw { header: [cla, ins, p1, p2], data }),
        1 => terminate(),
        // Most commands write little; a wipe writes often.
        30 => (writing(), prop_oneof![8 => 0u16..5, 1 => 5u16..60], 0u8..10)
            .prop_map(|(step, write, tenths)| Step::Cut { step: Box::new(step), write, tenths }),
    ]
}

/// A card's life: sequences, each after a reset. Most begin with a card that its owner uses.
pub fn lives() -> impl Strategy<Value = (Protocol, Vec<Vec<Step>>)> {
    let begin = prop_oneof![
        1 => Just(Vec::new()),
        9 => (0u8..2, 0u8..3).prop_map(|(options, terminals)| {
            let mut steps = vec![
                Step::Personalise { secret: 1, options, pin: 0 },
                Step::GenerateKeys { secret: 1 },
                Step::Enrolled { secret: 1 },
                Step::Select,
            ];
            for terminal in 0..terminals {
                let then = Box::new(Step::Add { terminal, label: 4 });
                steps.push(Step::Directly { pin: 0, then });
            }
            steps
        }),
    ];
    let sequence = proptest::collection::vec(any_step(), 1..14);
    let protocol = prop_oneof![1 => Just(Protocol::T0), 3 => Just(Protocol::T1)];
    (protocol, begin, proptest::collection::vec(sequence, 1..24)).prop_map(
        |(protocol, begin, mut life)| {
            life.insert(0, begin);
            (protocol, life)
        },
    )
}
