//! The way to a card: one trait, the handling of `61XX` and `6CXX` in one place, and recorded exchanges.

use zeroize::Zeroizing;

use crate::apdu::{ApduError, Command, MAX_ANSWER, Response};
use crate::modem::ModemError;

/// Longest answer put together from `61XX` pieces; no command of ours comes near it.
const MAX_CHAINED: usize = 8192;

const GET_RESPONSE: u8 = 0xC0;

/// Why no answer came from the card.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The card was taken out, or there is none.
    #[error("there is no card in the reader; put it in")]
    RemovedCard,
    /// The reader was unplugged, or there never was one of this name.
    #[error("the card reader is gone; plug it in again")]
    ReaderGone,
    /// pcscd ended or does not run; contexts and handles made before are of no use any more.
    #[error("the smart card service (pcscd) does not answer; is it running?")]
    ServiceGone,
    /// Another program reset the card: everything that a SELECT or VERIFY opened is lost.
    #[error("another program reset the card; the session on it is lost")]
    ResetByOther,
    /// Another program has the card for itself.
    #[error("another program uses the card exclusively; close it and try again")]
    SharingViolation,
    /// An exchange broke off; the card may be out, which the next call tells.
    #[error("the exchange with the card broke off; check that the card is fully in")]
    BrokenOff,
    /// The card does not answer to power or reset.
    #[error("the card does not respond; clean its contacts or try another reader")]
    Unresponsive,
    /// Fewer than the two bytes of a status word: readers in virtual machines say so when a card is pulled.
    #[error("the reader gave {0} bytes instead of an answer; the card may have been taken out")]
    NoAnswer(usize),
    /// A chain of `61XX` answers that does not end.
    #[error("the card's answer is longer than {MAX_CHAINED} bytes")]
    AnswerTooLong,
    /// What should be sent is no short APDU.
    #[error("the command cannot be sent")]
    Apdu(#[from] ApduError),
    /// The modem that the card is in said no, or nothing.
    #[error(transparent)]
    Modem(#[from] ModemError),
    /// A replayed transcript has another command here.
    #[error("the transcript has no such command at this place: {0}")]
    NotInTranscript(String),
    /// The reader or its driver cannot do what it was asked for.
    #[error("the card reader cannot do this; use another one")]
    Unsupported,
    /// Anything else; the source says what.
    #[error("the card reader reports an error")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Something that carries APDUs to a card and answers back.
pub trait Transport {
    /// Sends the bytes of one APDU; answers data and status word as they came, at least 2 bytes.
    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, TransportError>;
}

impl<T: Transport + ?Sized> Transport for &mut T {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, TransportError> {
        (**self).transmit(apdu)
    }
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, TransportError> {
        (**self).transmit(apdu)
    }
}

/// Sends a command and answers the whole response: pieces announced by `61XX` are fetched, `6CXX` repeats the command
/// with the length that the card asks for, once. The status word is the last one.
pub fn exchange<T: Transport + ?Sized>(
    transport: &mut T,
    command: &Command,
) -> Result<Response, TransportError> {
    let mut response = send(transport, command)?;
    if let [0x6C, length] = response.sw.to_be_bytes() {
        let repeated = command.clone().expecting(length_of(length))?;
        response = send(transport, &repeated)?;
    }
    while let [0x61, length] = response.sw.to_be_bytes() {
        let fetch = Command::new(0x00, GET_RESPONSE, 0, 0).expecting(length_of(length))?;
        let piece = send(transport, &fetch)?;
        let total = response.data.len() + piece.data.len();
        // A piece without data that announces another one, of whatever length, could go on for ever.
        let stalls = piece.data.is_empty() && piece.sw >> 8 == 0x61;
        if total > MAX_CHAINED || stalls {
            return Err(TransportError::AnswerTooLong);
        }
        let mut joined = Zeroizing::new(Vec::with_capacity(total));
        joined.extend_from_slice(&response.data);
        joined.extend_from_slice(&piece.data);
        response = Response {
            data: joined,
            sw: piece.sw,
        };
    }
    tracing::trace!(%command, sw = format_args!("{:04X}", response.sw), length = response.data.len(), "apdu");
    Ok(response)
}

fn length_of(byte: u8) -> u16 {
    if byte == 0 { MAX_ANSWER } else { byte.into() }
}

fn send<T: Transport + ?Sized>(
    transport: &mut T,
    command: &Command,
) -> Result<Response, TransportError> {
    let raw = Zeroizing::new(transport.transmit(&command.encode())?);
    Response::decode(&raw).map_err(|_| TransportError::NoAnswer(raw.len()))
}

/// One command and its answer, as bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Exchange {
    /// What was sent.
    pub command: Vec<u8>,
    /// What came back.
    pub answer: Vec<u8>,
}

/// Everything said to a card and by it. For tests only: it holds PINs and secrets in the clear.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Transcript {
    /// The exchanges, first one first.
    pub exchanges: Vec<Exchange>,
}

impl Transcript {
    /// Reads lines `> hex` (command) and `< hex` (answer) by turns; empty lines and lines with `#` are skipped.
    /// None if a line is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut exchanges = Vec::new();
        let mut command = None;
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bytes = hex::decode(line.get(1..)?.trim()).ok()?;
            match (line.get(..1)?, command.take()) {
                (">", None) => command = Some(bytes),
                ("<", Some(command)) => exchanges.push(Exchange {
                    command,
                    answer: bytes,
                }),
                _ => return None,
            }
        }
        command.is_none().then_some(Self { exchanges })
    }
}

impl std::fmt::Display for Transcript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.exchanges.iter().try_for_each(|exchange| {
            writeln!(f, "> {}", hex::encode(&exchange.command))?;
            writeln!(f, "< {}", hex::encode(&exchange.answer))
        })
    }
}

/// Passes everything on and keeps it.
pub struct Recorder<T> {
    inner: T,
    transcript: Transcript,
}

impl<T: Transport> Recorder<T> {
    /// Records what goes through `inner`.
    pub fn new(inner: T) -> Self {
        Self {
            inner,
            transcript: Transcript::default(),
        }
    }

    /// What was recorded; exchanges that failed are not in it.
    pub fn into_transcript(self) -> Transcript {
        self.transcript
    }
}

impl<T: Transport> Transport for Recorder<T> {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, TransportError> {
        let answer = self.inner.transmit(apdu)?;
        self.transcript.exchanges.push(Exchange {
            command: apdu.to_vec(),
            answer: answer.clone(),
        });
        Ok(answer)
    }
}

/// A card that knows one conversation: it answers the commands of a transcript, in its order, and nothing else.
pub struct Replay {
    rest: std::collections::VecDeque<Exchange>,
}

impl Replay {
    /// Answers from this transcript.
    pub fn new(transcript: Transcript) -> Self {
        Self {
            rest: transcript.exchanges.into(),
        }
    }

    /// Whether everything in the transcript was asked for.
    pub fn is_finished(&self) -> bool {
        self.rest.is_empty()
    }
}

impl Transport for Replay {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, TransportError> {
        match self.rest.pop_front() {
            Some(exchange) if exchange.command == apdu => Ok(exchange.answer),
            _ => Err(TransportError::NotInTranscript(
                Command::decode(apdu)
                    .map_or_else(|error| error.to_string(), |command| command.to_string()),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(text: &str) -> Replay {
        Replay::new(Transcript::parse(text).unwrap())
    }

    fn command() -> Command {
        Command::new(0x80, 0x22, 0, 0)
            .with_data(&[1])
            .unwrap()
            .expecting_any()
    }

    #[test]
    fn plain_answers_pass() {
        let mut card = replay("> 8022000001 01 00\n< 0a0b9000".replace(' ', "").as_str());
        let response = exchange(&mut card, &command()).unwrap();
        assert_eq!(*response.data, [0x0A, 0x0B]);
        assert_eq!(response.sw, 0x9000);
    }

    #[test]
    fn pieces_are_fetched_and_joined() {
        let mut card =
            replay(">80220000010100\n<01026103\n>00c0000003\n<0304056100\n>00c0000000\n<069000");
        let response = exchange(&mut card, &command()).unwrap();
        assert_eq!(*response.data, [1, 2, 3, 4, 5, 6]);
        assert_eq!(response.sw, 0x9000);
        assert!(card.is_finished());
    }

    #[test]
    fn a_piece_may_end_in_an_error() {
        let mut card = replay(">80220000010100\n<6103\n>00c0000003\n<6f00");
        assert_eq!(exchange(&mut card, &command()).unwrap().sw, 0x6F00);
    }

    #[test]
    fn a_wrong_expectation_is_corrected_once() {
        let mut card = replay(">80220000010100\n<6c02\n>80220000010102\n<01029000");
        let response = exchange(&mut card, &command()).unwrap();
        assert_eq!(*response.data, [1, 2]);
        let mut card = replay(">80220000010100\n<6c02\n>80220000010102\n<6c03");
        assert_eq!(exchange(&mut card, &command()).unwrap().sw, 0x6C03);
    }

    #[test]
    fn a_chain_without_end_is_cut() {
        struct Endless(usize);
        impl Transport for Endless {
            fn transmit(&mut self, _: &[u8]) -> Result<Vec<u8>, TransportError> {
                let mut answer = vec![0; self.0];
                answer.extend_from_slice(&[0x61, 0x00]);
                Ok(answer)
            }
        }
        for piece in [0, 1, 256] {
            assert!(matches!(
                exchange(&mut Endless(piece), &command()),
                Err(TransportError::AnswerTooLong)
            ));
        }
    }

    #[test]
    fn a_chain_that_announces_and_never_gives_is_cut() {
        // Each piece announces another length than the one before.
        let mut card = replay(">80220000010100\n<6101\n>00c0000001\n<6102\n>00c0000002\n<019000");
        assert!(matches!(
            exchange(&mut card, &command()),
            Err(TransportError::AnswerTooLong)
        ));
        assert!(!card.is_finished());
    }

    #[test]
    fn fewer_than_two_bytes_are_no_answer() {
        for answer in ["", "90"] {
            let mut card = replay(&format!(">80220000010100\n<{answer}"));
            assert!(matches!(
                exchange(&mut card, &command()),
                Err(TransportError::NoAnswer(n)) if n == answer.len() / 2
            ));
        }
    }

    #[test]
    fn a_recording_replays() {
        let text = "> 80220000010100\n< 019000\n";
        let mut recorder = Recorder::new(replay(text));
        exchange(&mut recorder, &command()).unwrap();
        assert!(exchange(&mut recorder, &command()).is_err());
        let transcript = recorder.into_transcript();
        assert_eq!(transcript.to_string(), text);
        assert!(Transcript::parse(text).unwrap() == transcript);
    }

    #[test]
    fn transcripts_that_are_none_are_refused() {
        for text in [
            "> 00",
            "< 00",
            "> 00\n> 00",
            "> 0",
            "> zz\n< 00",
            "00",
            "é",
            "> 00\n< 00\n<00",
        ] {
            assert!(Transcript::parse(text).is_none(), "{text}");
        }
        assert!(
            Transcript::parse("# nothing\n\n")
                .unwrap()
                .exchanges
                .is_empty()
        );
    }

    #[test]
    fn a_replay_tells_other_commands_without_their_data() {
        let mut card = replay(">80220000010100\n<9000");
        let other = Command::new(0x00, 0x20, 0, 0x81)
            .with_data(b"12345678")
            .unwrap();
        let error = exchange(&mut card, &other).unwrap_err().to_string();
        assert!(error.contains("00 20 00 81 [8 bytes]") && !error.contains("3132"));
    }
}
