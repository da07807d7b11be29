//! Every APDU at -vv, without secrets.
//!
//! What is shown is listed; whatever is not listed shows its header and lengths. The applet's TERMINATE, which carries the
//! PUK, has the very header of the card manager's INITIALIZE UPDATE, so what counts is who is selected.

use std::fmt::Write;

use simsync_card::apdu::{Command, Response};
use simsync_card::client::APPLET_AID;
use simsync_card::pinpad::Control;
use simsync_card::transport::{Transport, TransportError};

/// A transport whose exchanges are shown.
pub struct Traced<T> {
    inner: T,
    state: State,
}

/// What decides about showing.
struct State {
    /// Our applet is selected, or may be.
    applet: bool,
    /// The answer before was shown, so its further pieces are.
    shown: bool,
}

const SELECT: u8 = 0xA4;
const GET_RESPONSE: u8 = 0xC0;
const EXTERNAL_AUTHENTICATE: u8 = 0x82;
/// The card manager's commands without secrets: INITIALIZE UPDATE, GET DATA, GET STATUS.
const OPEN_MANAGER: [u8; 3] = [0x50, 0xCA, 0xF2];
/// The applet's: READ KEYS, ADD TERMINAL, LIST, READ SESSIONS, REMOVE TERMINAL, GET CHALLENGE.
const OPEN_APPLET: [u8; 6] = [0x22, 0x30, 0x32, 0x34, 0x36, 0x84];

impl State {
    /// Until something else is selected, the applet may be: another program may have left it so.
    fn new() -> Self {
        Self {
            applet: true,
            shown: false,
        }
    }

    /// Whether this command and its answer may be shown.
    fn may_show(&mut self, command: &Command) -> bool {
        let [cla, ins, ..] = command.header();
        let shown = match (cla, ins) {
            (0x00, SELECT) => true,
            (0x00, GET_RESPONSE) => return self.shown,
            (0x84, EXTERNAL_AUTHENTICATE) => !self.applet,
            (0x80, ins) if self.applet => OPEN_APPLET.contains(&ins),
            (0x80, ins) => OPEN_MANAGER.contains(&ins),
            // Secure messaging (84), and whatever else there may be.
            _ => false,
        };
        self.shown = shown;
        shown
    }

    fn answered(&mut self, command: &Command, sw: u16) {
        let [cla, ins, ..] = command.header();
        if (cla, ins) != (0x00, SELECT) {
            return;
        }
        if command.data() == APPLET_AID {
            self.applet = true;
        } else if sw == 0x9000 || matches!(sw >> 8, 0x61..=0x63) {
            self.applet = false;
        }
    }
}

fn line(command: &Command, shown: bool) -> String {
    if !shown {
        return command.to_string();
    }
    hex::encode_upper(command.encode())
}

fn answer_line(answer: &Response, shown: bool) -> String {
    let mut text = String::new();
    if shown {
        text.push_str(&hex::encode_upper(&*answer.data));
        text.push(' ');
    } else if !answer.data.is_empty() {
        let _ = write!(text, "[{} bytes] ", answer.data.len());
    }
    let _ = write!(text, "{:04X}", answer.sw);
    text
}

impl<T> Traced<T> {
    /// Around this transport.
    pub fn new(inner: T) -> Self {
        Self {
            inner,
            state: State::new(),
        }
    }
}

impl<T: Transport> Transport for Traced<T> {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, TransportError> {
        // Never silently: what does not read as a command is of our own making.
        let Ok(command) = Command::decode(apdu) else {
            tracing::trace!(target: "apdu", "> {} bytes that are no short command", apdu.len());
            return self.inner.transmit(apdu);
        };
        let shown = self.state.may_show(&command);
        tracing::trace!(target: "apdu", "> {}", line(&command, shown));
        let result = self.inner.transmit(apdu);
        match &result {
            Ok(bytes) => match Response::decode(bytes) {
                Ok(answer) => {
                    self.state.answered(&command, answer.sw);
                    tracing::trace!(target: "apdu", "< {}", answer_line(&answer, shown));
                }
                Err(e) => tracing::trace!(target: "apdu", "< {e}"),
            },
            Err(e) => tracing::trace!(target: "apdu", "< {e}"),
        }
        result
    }
}

/// Orders to the reader show their code and lengths, and a status word: an order for a PIN holds none, but what a reader
/// answers is not known here.
impl<T: Control> Control for Traced<T> {
    fn features(&mut self) -> Result<Vec<u8>, TransportError> {
        self.inner.features()
    }

    fn control(&mut self, code: u32, data: &[u8]) -> Result<Vec<u8>, TransportError> {
        tracing::trace!(target: "apdu", "> to the reader: {code:08X} [{} bytes]", data.len());
        let result = self.inner.control(code, data);
        match &result {
            Ok(answer) => match answer.as_slice() {
                word @ [_, _] => {
                    tracing::trace!(target: "apdu", "< from the reader: {}", hex::encode_upper(word));
                }
                other => {
                    tracing::trace!(target: "apdu", "< from the reader: [{} bytes]", other.len());
                }
            },
            Err(e) => tracing::trace!(target: "apdu", "< {e}"),
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would be shown of a command and its answer.
    fn shown(state: &mut State, command: &[u8], answer: &[u8]) -> String {
        let command = Command::decode(command).unwrap();
        let answer = Response::decode(answer).unwrap();
        let may = state.may_show(&command);
        state.answered(&command, answer.sw);
        format!("{} | {}", line(&command, may), answer_line(&answer, may))
    }

    fn selected(aid: &[u8]) -> State {
        let mut state = State::new();
        let select = [&[0, SELECT, 4, 0, aid.len().to_le_bytes()[0]][..], aid].concat();
        shown(&mut state, &select, &[0x90, 0]);
        state
    }

    const ISD: [u8; 8] = [0xA0, 0, 0, 1, 0x51, 0, 0, 0];
    /// Stands for a secret of 16 bytes; looked for in what is shown.
    const SECRET: [u8; 16] = [0x5E; 16];

    fn with_secret(header: [u8; 4], length: usize) -> Vec<u8> {
        let mut bytes = header.to_vec();
        bytes.push(length.to_le_bytes()[0]);
        bytes.extend(SECRET.iter().cycle().take(length));
        bytes
    }

    #[test]
    fn secrets_of_the_applet_are_never_shown() {
        for (header, length) in [
            ([0x80, 0x10, 0, 0], 100), // PERSONALISE
            ([0x80, 0x12, 0, 0], 48),  // GENERATE KEYS
            ([0x80, 0x14, 0, 0], 16),  // ENROLLED
            ([0x00, 0x20, 0, 0x81], 8),
            ([0x00, 0x24, 0, 0x81], 24),
            ([0x00, 0x2C, 0, 0x81], 16),
            ([0x80, 0x42, 0, 0], 48), // RENEW
            ([0x80, 0x44, 0, 0], 99), // PUT HEAD
            ([0x80, 0x50, 0, 0], 8),  // TERMINATE
        ] {
            for state in [&mut State::new(), &mut selected(&APPLET_AID)] {
                let text = shown(state, &with_secret(header, length), &[0x90, 0]);
                assert!(!text.contains("5E5E"), "{text}");
                assert!(text.contains(&format!("[{length} bytes]")), "{text}");
            }
        }
        // The ECDH result and the token, also when they come in pieces.
        let mut state = selected(&APPLET_AID);
        let answer = [&SECRET[..], &[0x61, 0x10]].concat();
        let text = shown(&mut state, &with_secret([0x80, 0x40, 0, 0], 200), &answer);
        assert!(!text.contains("5E5E"), "{text}");
        let rest = [&SECRET[..], &[0x90, 0x00]].concat();
        let text = shown(&mut state, &[0x00, GET_RESPONSE, 0, 0, 16], &rest);
        assert!(!text.contains("5E5E"), "{text}");
    }

    #[test]
    fn secrets_of_the_card_manager_are_never_shown() {
        for header in [
            [0x80, 0xE6, 0x0C, 0],    // INSTALL with C9, even outside a channel
            [0x80, 0xD8, 0x00, 0x81], // PUT KEY
            [0x80, 0xE2, 0x80, 0],    // STORE DATA
            [0x84, 0xE6, 0x0C, 0],    // and all of them within one
            [0x84, 0xD8, 0x00, 0x81],
            [0x84, 0xF2, 0x40, 0],
            [0x04, 0xA4, 0x04, 0],
        ] {
            let answer = [&SECRET[..], &[0x90, 0x00]].concat();
            let text = shown(&mut selected(&ISD), &with_secret(header, 24), &answer);
            assert!(!text.contains("5E5E"), "{text}");
            assert!(text.ends_with("[24 bytes] | [16 bytes] 9000"), "{text}");
        }
    }

    #[test]
    fn what_is_public_is_shown() {
        let text = shown(
            &mut selected(&ISD),
            &[0x80, 0x50, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0],
            &[0xAB, 0x90, 0x00],
        );
        assert_eq!(
            text,
            "80500000080102030405060708 00 | AB 9000".replacen("08 00", "0800", 1)
        );
        let text = shown(
            &mut selected(&ISD),
            &[0x80, 0xCA, 0, 0x66, 0],
            &[0x6A, 0x88],
        );
        assert_eq!(text, "80CA006600 |  6A88");
        let text = shown(
            &mut selected(&APPLET_AID),
            &[0x80, 0x32, 0, 0, 0],
            &[7, 0x90, 0],
        );
        assert_eq!(text, "8032000000 | 07 9000");
    }

    #[test]
    fn a_select_that_failed_changes_nothing_but_toward_hiding() {
        let mut state = selected(&ISD);
        // The applet could not be selected: from now on it counts as if it were.
        let select = [&[0, SELECT, 4, 0, 9][..], &APPLET_AID].concat();
        shown(&mut state, &select, &[0x6A, 0x82]);
        assert!(
            !shown(&mut state, &with_secret([0x80, 0x50, 0, 0], 8), &[0x90, 0]).contains("5E5E")
        );
        let mut state = selected(&APPLET_AID);
        let select = [&[0, SELECT, 4, 0, 8][..], &ISD].concat();
        shown(&mut state, &select, &[0x6A, 0x82]);
        assert!(
            !shown(&mut state, &with_secret([0x80, 0x50, 0, 0], 8), &[0x90, 0]).contains("5E5E")
        );
    }
}
