//! PIN pads: readers with keys of their own, as PC/SC part 10 v2.02 describes them. The PIN is typed on the reader, which
//! puts it into the command itself: it never enters this computer.
//!
//! Only *direct* verification and modification are used, each one call that ends when the person has typed, pressed
//! cancel, or waited too long. It cannot be ended from here.

use zeroize::Zeroizing;

use crate::transport::TransportError;

/// Function code of CM_IOCTL_GET_FEATURE_REQUEST; the platform makes a control code of it.
pub const GET_FEATURE_REQUEST: u32 = 3400;
/// How long a reader waits for the first key, and again from the first key on, in seconds.
pub const TIMEOUT_SECONDS: u8 = 30;

/// Longest answer of a reader that is taken, in bytes: features and properties are far smaller.
pub const ANSWER_MAX: usize = 264;

const FEATURE_VERIFY_PIN_DIRECT: u8 = 0x06;
const FEATURE_MODIFY_PIN_DIRECT: u8 = 0x07;
const FEATURE_IFD_PIN_PROPERTIES: u8 = 0x0A;

/// bmFormatString: system units are bytes, the PIN begins at the first byte, left-justified, ASCII.
const FORMAT_ASCII_LEFT: u8 = 0x82;
/// bmPINBlockString: the PIN's length is not inserted; a block of 8 bytes.
const BLOCK: u8 = 0x08;
/// wPINMaxExtraDigit: 4 digits at least (high byte), 8 at most (low byte).
const DIGITS: u16 = 0x0408;
/// bEntryValidationCondition: the OK key ends an entry.
const OK_KEY: u8 = 0x02;
/// bConfirmPIN: the present PIN is asked for, and the new one twice.
const PRESENT_AND_TWICE: u8 = 0x03;
/// wLangId: English (United States).
const ENGLISH: u16 = 0x0409;
/// Where the new PIN goes, after the old one, in bytes.
const NEW_AT: u8 = 8;

/// VERIFY and CHANGE REFERENCE DATA as the reader completes them: the PIN's place holds padding.
const VERIFY: [u8; 13] = padded(0x20);
const CHANGE: [u8; 21] = padded(0x24);

const fn padded<const N: usize>(ins: u8) -> [u8; N] {
    let mut command = [0xFF; N];
    (command[0], command[1], command[2], command[3]) = (0x00, ins, 0x00, 0x81);
    command[4] = N.to_le_bytes()[0] - 5;
    command
}

/// A reader that takes control codes.
pub trait Control {
    /// Asks the reader for what PC/SC part 10 calls features, of at most [`ANSWER_MAX`] bytes.
    fn features(&mut self) -> Result<Vec<u8>, TransportError>;

    /// Has the reader do what this control code means. For a PIN it blocks until the person is done.
    fn control(&mut self, code: u32, data: &[u8]) -> Result<Vec<u8>, TransportError>;
}

impl<T: Control + ?Sized> Control for &mut T {
    fn features(&mut self) -> Result<Vec<u8>, TransportError> {
        (**self).features()
    }

    fn control(&mut self, code: u32, data: &[u8]) -> Result<Vec<u8>, TransportError> {
        (**self).control(code, data)
    }
}

/// A reader's PIN pad: what it can do, and by which control codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinPad {
    verify: u32,
    modify: Option<u32>,
    /// The reader says that it has no display.
    mute: bool,
}

impl PinPad {
    /// Asks the reader. None: it has no pad, or does not say so as it must; the next command tells of anything worse.
    pub fn find<T: Control + ?Sized>(reader: &mut T) -> Option<Self> {
        let features = Features::parse(&reader.features().ok()?)?;
        let mute = features.properties.is_some_and(|code| {
            let properties = reader.control(code, &[]).unwrap_or_default();
            // PIN_PROPERTIES_STRUCTURE begins with wLcdLayout: characters and lines.
            matches!(properties.as_slice(), [0, 0, ..])
        });
        Some(Self {
            verify: features.verify?,
            modify: features.modify,
            mute,
        })
    }

    /// Whether it takes a new PIN, too.
    pub fn can_modify(&self) -> bool {
        self.modify.is_some()
    }

    /// Has the person type the PIN, and the card check it. Answers the card's status word, or the reader's own.
    pub fn verify<T: Control + ?Sized>(&self, reader: &mut T) -> Result<u16, TransportError> {
        enter(reader, self.verify, &self.verify_structure())
    }

    /// Has the person type the PIN and a new one, twice, and the card change it. None: the pad cannot.
    pub fn modify<T: Control + ?Sized>(
        &self,
        reader: &mut T,
    ) -> Option<Result<u16, TransportError>> {
        self.modify
            .map(|code| enter(reader, code, &self.modify_structure()))
    }

    /// PIN_VERIFY_STRUCTURE with VERIFY.
    fn verify_structure(&self) -> Vec<u8> {
        let mut out = Structure::new();
        out.bytes(&[FORMAT_ASCII_LEFT, BLOCK, 0]);
        out.word(DIGITS);
        out.bytes(&[OK_KEY, if self.mute { 0 } else { 1 }]);
        out.word(ENGLISH);
        // bMsgIndex, bTeoPrologue.
        out.bytes(&[0, 0, 0, 0]);
        out.command(&VERIFY)
    }

    /// PIN_MODIFY_STRUCTURE with CHANGE REFERENCE DATA.
    fn modify_structure(&self) -> Vec<u8> {
        let mut out = Structure::new();
        out.bytes(&[FORMAT_ASCII_LEFT, BLOCK, 0, 0, NEW_AT]);
        out.word(DIGITS);
        let messages = if self.mute { 0 } else { 3 };
        out.bytes(&[PRESENT_AND_TWICE, OK_KEY, messages]);
        out.word(ENGLISH);
        // bMsgIndex1 to 3 (the PIN, a new one, once more), bTeoPrologue.
        out.bytes(&[0, 1, 2, 0, 0, 0]);
        out.command(&CHANGE)
    }
}

fn enter<T: Control + ?Sized>(
    reader: &mut T,
    code: u32,
    structure: &[u8],
) -> Result<u16, TransportError> {
    // Two bytes are all that a reader has to say; whatever else it says is no business of ours.
    let answer = Zeroizing::new(reader.control(code, structure)?);
    match **answer {
        [sw1, sw2] => Ok(u16::from_be_bytes([sw1, sw2])),
        _ => Err(TransportError::NoAnswer(answer.len())),
    }
}

/// A structure as it is put together. Its numbers are little-endian, by part 10.
struct Structure(Vec<u8>);

impl Structure {
    fn new() -> Self {
        // bTimerOut, bTimerOut2.
        Self(vec![TIMEOUT_SECONDS, TIMEOUT_SECONDS])
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn word(&mut self, word: u16) {
        self.bytes(&word.to_le_bytes());
    }

    /// ulDataLength and abData.
    fn command<const N: usize>(mut self, command: &[u8; N]) -> Vec<u8> {
        let [low, high, ..] = N.to_le_bytes();
        self.bytes(&[low, high, 0, 0]);
        self.bytes(command);
        self.0
    }
}

/// Control codes of the features that matter here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Features {
    verify: Option<u32>,
    modify: Option<u32>,
    properties: Option<u32>,
}

impl Features {
    /// Reads the reader's list: tag, length (4), control code (big-endian, in a structure that else is not). None if it is
    /// anything else.
    fn parse(list: &[u8]) -> Option<Self> {
        let (entries, rest) = list.as_chunks::<6>();
        if !rest.is_empty() || list.len() > ANSWER_MAX {
            return None;
        }
        let mut features = Self::default();
        for [tag, length, code @ ..] in entries {
            if *length != 4 {
                return None;
            }
            let place = match *tag {
                FEATURE_VERIFY_PIN_DIRECT => &mut features.verify,
                FEATURE_MODIFY_PIN_DIRECT => &mut features.modify,
                FEATURE_IFD_PIN_PROPERTIES => &mut features.properties,
                _ => continue,
            };
            *place = Some(u32::from_be_bytes(*code));
        }
        Some(features)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAD: PinPad = PinPad {
        verify: 0x4233_0006,
        modify: Some(0x4233_0007),
        mute: false,
    };

    /// A reader that answers what it is told to, and keeps what it was asked.
    #[derive(Default)]
    struct Reader {
        features: Vec<u8>,
        properties: Vec<u8>,
        answer: Vec<u8>,
        asked: Vec<(u32, Vec<u8>)>,
    }

    impl Control for Reader {
        fn features(&mut self) -> Result<Vec<u8>, TransportError> {
            match self.features.as_slice() {
                [] => Err(TransportError::Unsupported),
                features => Ok(features.to_vec()),
            }
        }

        fn control(&mut self, code: u32, data: &[u8]) -> Result<Vec<u8>, TransportError> {
            self.asked.push((code, data.to_vec()));
            Ok(if code == 0x4233_000A {
                self.properties.clone()
            } else {
                self.answer.clone()
            })
        }
    }

    /// As the widespread driver for USB readers (CCID) answers: both features, properties, and TLV properties (12).
    const CCID: &str = "0604423300060704423300070a04 4233000a1204 42330012";

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        hex::decode(hexadecimal.replace(' ', "")).unwrap()
    }

    #[test]
    fn features_are_found() {
        let mut reader = Reader {
            features: bytes(CCID),
            properties: bytes("1002 0700"),
            ..Reader::default()
        };
        assert_eq!(PinPad::find(&mut reader), Some(PAD));
        assert_eq!(reader.asked, [(0x4233_000A, vec![])]);
        reader.properties = bytes("0000 0700");
        let mute = PinPad { mute: true, ..PAD };
        assert_eq!(PinPad::find(&mut reader), Some(mute));
        // Without a word on its display it may have one.
        reader.properties.clear();
        assert_eq!(PinPad::find(&mut reader), Some(PAD));
    }

    #[test]
    fn a_reader_without_a_pad_has_none() {
        // Modifying alone, properties alone, none at all, not supported.
        for features in ["070442330007", "0a044233000a", "120442330012", ""] {
            let mut reader = Reader {
                features: bytes(features),
                ..Reader::default()
            };
            assert_eq!(PinPad::find(&mut reader), None, "{features}");
        }
        let pad = Features::parse(&bytes("060442330006")).unwrap();
        assert_eq!((pad.verify, pad.modify), (Some(0x4233_0006), None));
    }

    #[test]
    fn lists_that_are_none_are_refused() {
        for list in ["06", "0604", "0604423300", "060342330006", "06044233000607"] {
            assert_eq!(Features::parse(&bytes(list)), None, "{list}");
        }
        let longest = bytes("060442330006").repeat(ANSWER_MAX / 6);
        assert_eq!(longest.len(), ANSWER_MAX);
        assert!(Features::parse(&longest).is_some());
        let long = bytes("060442330006").repeat(ANSWER_MAX / 6 + 1);
        assert_eq!(Features::parse(&long), None);
        assert_eq!(Features::parse(&[]), Some(Features::default()));
    }

    /// Byte by byte (PIN_VERIFY_STRUCTURE): what a reader is given for VERIFY.
    #[test]
    fn the_structure_for_verify() {
        let golden = "1e 1e 82 08 00 0804 02 01 0904 00 000000 0d000000 \
                      00200081 08 ffffffffffffffff";
        assert_eq!(PAD.verify_structure(), bytes(golden));
        let mute = PinPad { mute: true, ..PAD };
        let golden = "1e 1e 82 08 00 0804 02 00 0904 00 000000 0d000000 \
                      00200081 08 ffffffffffffffff";
        assert_eq!(mute.verify_structure(), bytes(golden));
    }

    /// PIN_MODIFY_STRUCTURE: what it is given for CHANGE REFERENCE DATA.
    #[test]
    fn the_structure_for_change() {
        let golden = "1e 1e 82 08 00 00 08 0804 03 02 03 0904 00 01 02 000000 15000000 \
                      00240081 10 ffffffffffffffff ffffffffffffffff";
        assert_eq!(PAD.modify_structure(), bytes(golden));
        let mute = PinPad { mute: true, ..PAD };
        let golden = "1e 1e 82 08 00 00 08 0804 03 02 00 0904 00 01 02 000000 15000000 \
                      00240081 10 ffffffffffffffff ffffffffffffffff";
        assert_eq!(mute.modify_structure(), bytes(golden));
    }

    #[test]
    fn an_entry_answers_a_status_word_and_nothing_else() {
        let mut reader = Reader {
            answer: bytes("63c2"),
            ..Reader::default()
        };
        assert_eq!(PAD.verify(&mut reader).unwrap(), 0x63C2);
        assert_eq!(PAD.modify(&mut reader).unwrap().unwrap(), 0x63C2);
        let codes: Vec<u32> = reader.asked.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, [0x4233_0006, 0x4233_0007]);
        let verify_only = PinPad {
            modify: None,
            ..PAD
        };
        assert!(!verify_only.can_modify() && verify_only.modify(&mut reader).is_none());
        for answer in ["", "90", "313233349000"] {
            reader.answer = bytes(answer);
            assert!(matches!(
                PAD.verify(&mut reader),
                Err(TransportError::NoAnswer(n)) if n == answer.len() / 2
            ));
        }
    }

    proptest! {
        #[test]
        fn any_list_is_read_or_refused(list in proptest::collection::vec(any::<u8>(), 0..400)) {
            let parsed = Features::parse(&list);
            prop_assert!(parsed.is_none() || list.len() % 6 == 0 && list.len() <= ANSWER_MAX);
        }
    }
}
