//! The applet's client: one method per command of docs/card.md.
//!
//! It keeps no state of its own, so it can be made anew for every PC/SC transaction. What the owner granted with a VERIFY
//! in one transaction another program may use up before the next: commands marked *direct* go right after
//! [`Applet::verify`], in the same transaction.

mod answers;
mod error;
mod fields;
mod format;
mod secrets;
mod types;

pub use error::CardError;
pub use format::{APPLET_AID, PACKAGE_AID, VERSION};
pub use secrets::{Pin, Puk, SecretError, Token, TransportSecret};
pub use types::{
    Added, HeadRecord, HeadWriter, Info, Lifecycle, ListedTerminal, OpenRequest, OpenedSession,
    Personalisation, PinState, Selected, SignDomain, SignedKeys, Slot, Slots, UnsettledSession,
};

use zeroize::Zeroizing;

use crate::apdu::Command;
use crate::ids::{CardId, Hash, Point, TerminalId};
use crate::pinpad::{Control, PinPad};
use crate::sign::Sig;
use crate::status::{Secret, Status};
use crate::transport::{Transport, TransportError, exchange};
use answers::{read_card_info, read_keys, read_opened_session, read_selected, read_slot};
use fields::Fields;
use format::{FLAG_CLOSED, ISO, LABEL_MAX, OWN, PIN_NUMBER, SERVER_MAX, TERMINAL_LABEL_MAX};

/// The applet behind a transport; select it first.
pub struct Applet<T> {
    transport: T,
}

/// Data of a command as it is put together; wiped when dropped.
struct Data(Zeroizing<Vec<u8>>);

impl Data {
    fn new() -> Self {
        // Room for any short command at once: a vector that grows leaves copies of secrets behind.
        Self(Zeroizing::new(Vec::with_capacity(crate::apdu::MAX_DATA)))
    }

    fn put(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn put_lv(
        self,
        what: &'static str,
        value: &[u8],
        least: usize,
        most: usize,
    ) -> Result<Self, CardError> {
        match u8::try_from(value.len()) {
            Ok(length) if (least..=most).contains(&value.len()) => {
                Ok(self.put(&[length]).put(value))
            }
            _ => Err(CardError::Length {
                what,
                least,
                most,
                length: value.len(),
            }),
        }
    }
}

/// A command's name for people, and the secret that it asks for.
struct Name(&'static str, Secret);

/// To SELECT the card answers in the applet's place, and means another thing by 6A81: a card that is locked (GlobalPlatform,
/// life cycle CARD_LOCKED) selects no application.
fn nothing_to_select(error: CardError) -> CardError {
    match error {
        CardError::Refused {
            command,
            status: Status::Unusable,
        } => CardError::Refused {
            command,
            status: Status::NotFound,
        },
        error => error,
    }
}

impl<T: Transport> Applet<T> {
    /// Nothing is sent yet.
    pub fn new(transport: T) -> Self {
        Self { transport }
    }

    /// The transport back.
    pub fn into_inner(self) -> T {
        self.transport
    }

    fn run(&mut self, name: &Name, command: &Command) -> Result<Zeroizing<Vec<u8>>, CardError> {
        let Name(command_name, secret) = *name;
        let response =
            exchange(&mut self.transport, command).map_err(|source| CardError::Transport {
                command: command_name,
                source,
            })?;
        if response.sw != 0x9000 {
            return Err(CardError::Refused {
                command: command_name,
                status: Status::of(response.sw, secret),
            });
        }
        Ok(response.data)
    }

    /// Sends a command and requires an empty answer.
    fn tell(&mut self, name: Name, command: Command, data: Data) -> Result<(), CardError> {
        let command = with_data(&name, command, &data)?;
        let answer = self.run(&name, &command)?;
        Fields::new(name.0, &answer).end()
    }

    /// Sends a command and lets `read` take the whole answer apart.
    fn ask<R>(
        &mut self,
        name: Name,
        command: Command,
        data: Data,
        read: impl FnOnce(&mut Fields<'_>) -> Result<R, CardError>,
    ) -> Result<R, CardError> {
        let command = with_data(&name, command, &data)?.expecting_any();
        let answer = self.run(&name, &command)?;
        let mut fields = Fields::new(name.0, &answer);
        let result = read(&mut fields)?;
        fields.end()?;
        Ok(result)
    }

    /// SELECT: begins anew. PIN state, token and challenge of before are gone.
    pub fn select(&mut self) -> Result<Selected, CardError> {
        let name = Name("SELECT", Secret::Pin);
        let selected = self
            .ask(
                name,
                Command::new(ISO, 0xA4, 4, 0),
                Data::new().put(&APPLET_AID),
                read_selected,
            )
            .map_err(nothing_to_select)?;
        let (major, minor) = selected.version;
        if major != VERSION {
            return Err(CardError::Version { major, minor });
        }
        Ok(selected)
    }

    /// GET CHALLENGE: a new challenge; PIN state and token stay. In mid-session this goes before a VERIFY, in the same
    /// transaction: if it fails, another program has selected its own applet, and the PIN would burn its tries.
    pub fn get_challenge(&mut self) -> Result<[u8; 16], CardError> {
        let name = Name("GET CHALLENGE", Secret::Pin);
        self.ask(name, Command::new(OWN, 0x84, 0, 0), Data::new(), |answer| {
            answer.array()
        })
    }

    /// PERSONALISE: may be repeated until [`Self::enrolled`]; the card ID stays.
    pub fn personalise(
        &mut self,
        secret: &TransportSecret,
        values: &Personalisation,
    ) -> Result<CardId, CardError> {
        let options = u8::from(values.contactless) | u8::from(values.pin_due) << 1;
        let data = Data::new()
            .put(secret.as_bytes())
            .put_lv(
                "the subscriber ID",
                values.subscriber.as_str().as_bytes(),
                1,
                32,
            )?
            .put_lv("the card's label", values.label.as_bytes(), 0, LABEL_MAX)?
            .put_lv(
                "the server's address",
                values.server.as_bytes(),
                1,
                SERVER_MAX,
            )?
            .put(values.ca_pin.as_bytes())
            .put(values.pin.bytes())
            .put(values.puk.bytes())
            .put(&[options]);
        let name = Name("PERSONALISE", Secret::Transport);
        self.ask(name, Command::new(OWN, 0x10, 0, 0), data, |answer| {
            Ok(CardId(answer.array()?))
        })
    }

    /// GENERATE KEYS: makes the keys once, then answers the same ones. See [`SignedKeys::enrolled_by`].
    pub fn generate_keys(
        &mut self,
        secret: &TransportSecret,
        callers: &[u8; 32],
    ) -> Result<SignedKeys, CardError> {
        let data = Data::new().put(secret.as_bytes()).put(callers);
        let name = Name("GENERATE KEYS", Secret::Transport);
        self.ask(name, Command::new(OWN, 0x12, 0, 0), data, read_keys)
    }

    /// ENROLLED: ends personalisation for good.
    pub fn enrolled(&mut self, secret: &TransportSecret) -> Result<(), CardError> {
        let name = Name("ENROLLED", Secret::Transport);
        let data = Data::new().put(secret.as_bytes());
        self.tell(name, Command::new(OWN, 0x14, 0, 0), data)
    }

    /// VERIFY. A PIN that is due for change is verified too, but opens nothing but a change.
    pub fn verify(&mut self, pin: &Pin) -> Result<(), CardError> {
        let name = Name("VERIFY", Secret::Pin);
        let data = Data::new().put(pin.bytes());
        self.tell(name, Command::new(ISO, 0x20, 0, PIN_NUMBER), data)
    }

    /// VERIFY without data: asks and changes nothing (but *direct* ends, as with every command).
    pub fn pin_state(&mut self) -> Result<PinState, CardError> {
        let name = Name("VERIFY", Secret::Pin);
        let asked = self.tell(name, Command::new(ISO, 0x20, 0, PIN_NUMBER), Data::new());
        match asked {
            Ok(()) => Ok(PinState::Verified),
            Err(error) => match error.status() {
                Some(Status::Wrong { tries_left, .. }) => Ok(PinState::NotVerified { tries_left }),
                Some(Status::Blocked(_)) => Ok(PinState::Blocked),
                _ => Err(error),
            },
        }
    }

    /// CHANGE REFERENCE DATA, for a PIN that is not due: leaves the new PIN verified.
    pub fn change_pin(&mut self, old: &Pin, new: &Pin) -> Result<(), CardError> {
        let name = Name("CHANGE REFERENCE DATA", Secret::Pin);
        let data = Data::new().put(old.bytes()).put(new.bytes());
        self.tell(name, Command::new(ISO, 0x24, 0, PIN_NUMBER), data)
    }

    /// CHANGE REFERENCE DATA, for a PIN that is due ([`Selected::pin_due`]): sets PIN and PUK together.
    pub fn change_first_pin(
        &mut self,
        old: &Pin,
        new: &Pin,
        new_puk: &Puk,
    ) -> Result<(), CardError> {
        let name = Name("CHANGE REFERENCE DATA", Secret::Pin);
        let data = Data::new()
            .put(old.bytes())
            .put(new.bytes())
            .put(new_puk.bytes());
        self.tell(name, Command::new(ISO, 0x24, 0, PIN_NUMBER), data)
    }

    /// RESET RETRY COUNTER: a new PIN for the PUK; it is not verified then.
    pub fn unblock(&mut self, puk: &Puk, new_pin: &Pin) -> Result<(), CardError> {
        let name = Name("RESET RETRY COUNTER", Secret::Puk);
        let data = Data::new().put(puk.bytes()).put(new_pin.bytes());
        self.tell(name, Command::new(ISO, 0x2C, 0, PIN_NUMBER), data)
    }

    /// READ INFO. Needs the PIN.
    pub fn read_info(&mut self) -> Result<Info, CardError> {
        let name = Name("READ INFO", Secret::Pin);
        self.ask(
            name,
            Command::new(OWN, 0x20, 0, 0),
            Data::new(),
            read_card_info,
        )
    }

    /// READ KEYS. Needs the PIN. See [`SignedKeys::of`].
    pub fn read_keys(&mut self, nonce: &[u8; 32]) -> Result<SignedKeys, CardError> {
        let name = Name("READ KEYS", Secret::Pin);
        let data = Data::new().put(nonce);
        self.ask(name, Command::new(OWN, 0x22, 0, 0), data, read_keys)
    }

    /// SET SERVER. Direct.
    pub fn set_server(&mut self, server: &str, ca_pin: &Hash) -> Result<(), CardError> {
        let name = Name("SET SERVER", Secret::Pin);
        let data = Data::new()
            .put_lv("the server's address", server.as_bytes(), 1, SERVER_MAX)?
            .put(ca_pin.as_bytes());
        self.tell(name, Command::new(OWN, 0x24, 0, 0), data)
    }

    /// ADD TERMINAL. Direct. The same point takes the same slot again. The label has at most 24 bytes.
    pub fn add_terminal(
        &mut self,
        point: &Point,
        label: &str,
        binding: &Hash,
    ) -> Result<Added, CardError> {
        let name = Name("ADD TERMINAL", Secret::Pin);
        let data = Data::new()
            .put(point.as_bytes())
            .put_lv(
                "the terminal's label",
                label.as_bytes(),
                0,
                TERMINAL_LABEL_MAX,
            )?
            .put(binding.as_bytes());
        self.ask(name, Command::new(OWN, 0x30, 0, 0), data, |answer| {
            Ok(Added {
                slot: read_slot(answer)?,
                sig: answer.signature()?,
            })
        })
    }

    /// LIST, one slot. Needs the PIN. None if the slot is empty.
    pub fn terminal(&mut self, slot: Slot) -> Result<Option<ListedTerminal>, CardError> {
        let name = Name("LIST", Secret::Pin);
        let command = Command::new(OWN, 0x32, slot.number(), 0);
        let listed = self.ask(name, command, Data::new(), |answer| {
            let terminal = TerminalId(answer.array()?);
            let label = answer.text(TERMINAL_LABEL_MAX)?;
            let n = answer.u32()?;
            Ok(ListedTerminal {
                slot,
                terminal,
                label,
                unsettled: (n != 0).then_some(n),
            })
        });
        match listed {
            Err(error) if error.status() == Some(Status::NotFound) => Ok(None),
            other => other.map(Some),
        }
    }

    /// LIST, all slots that are taken.
    pub fn terminals(&mut self) -> Result<Vec<ListedTerminal>, CardError> {
        Slot::all()
            .filter_map(|slot| self.terminal(slot).transpose())
            .collect()
    }

    /// READ SESSIONS. Needs the PIN.
    pub fn unsettled_sessions(&mut self) -> Result<Vec<UnsettledSession>, CardError> {
        let name = Name("READ SESSIONS", Secret::Pin);
        self.ask(name, Command::new(OWN, 0x34, 0, 0), Data::new(), |answer| {
            let mut sessions = Vec::new();
            while !answer.is_empty() {
                if sessions.len() == usize::from(Slot::COUNT) {
                    return Err(answer.malformed("it names more sessions than there are slots"));
                }
                sessions.push(UnsettledSession {
                    slot: read_slot(answer)?,
                    terminal: answer.array()?,
                    n: answer.u32()?,
                });
            }
            Ok(sessions)
        })
    }

    /// REMOVE TERMINAL. Direct. A session that it has open ends.
    pub fn remove_terminal(&mut self, terminal: &TerminalId) -> Result<(), CardError> {
        let name = Name("REMOVE TERMINAL", Secret::Pin);
        let data = Data::new().put(terminal.as_bytes());
        self.tell(name, Command::new(OWN, 0x36, 0, 0), data)
    }

    /// OPEN SESSION. Needs the PIN. The challenge is used up, whatever the outcome.
    pub fn open_session(&mut self, request: &OpenRequest<'_>) -> Result<OpenedSession, CardError> {
        let name = Name("OPEN SESSION", Secret::Pin);
        let data = Data::new()
            .put(request.terminal.as_bytes())
            .put(request.binding.as_bytes())
            .put(request.hpke.as_bytes())
            .put(request.sig.as_der());
        self.ask(
            name,
            Command::new(OWN, 0x40, 0, 0),
            data,
            read_opened_session,
        )
    }

    /// RENEW: a signature over the session's number, its terminal and a new binding; see [`crate::text::renew`].
    pub fn renew(&mut self, token: &Token, binding: &Hash) -> Result<Sig, CardError> {
        let name = Name("RENEW", Secret::Pin);
        let data = Data::new().put(token.bytes()).put(binding.as_bytes());
        self.ask(name, Command::new(OWN, 0x42, 0, 0), data, |answer| {
            answer.signature()
        })
    }

    /// PUT HEAD: stores the record and settles the slots.
    pub fn put_head(
        &mut self,
        token: &Token,
        head: &HeadRecord,
        settle: Slots,
    ) -> Result<(), CardError> {
        let name = Name("PUT HEAD", Secret::Pin);
        let data = Data::new()
            .put(token.bytes())
            .put(&head.epoch.to_be_bytes())
            .put(&head.sequence.to_be_bytes())
            .put(head.head.as_bytes())
            .put(&head.list_number.to_be_bytes())
            .put(head.list_hash.as_bytes())
            .put(&[u8::from(head.closed) * FLAG_CLOSED])
            .put(&settle.0.to_be_bytes());
        self.tell(name, Command::new(OWN, 0x44, 0, 0), data)
    }

    /// SIGN. Direct. The card builds the text from domain, its ID and the hash.
    pub fn sign(&mut self, domain: SignDomain, hash: &Hash) -> Result<Sig, CardError> {
        let name = Name("SIGN", Secret::Pin);
        let command = Command::new(OWN, 0x46, domain.p1(), 0);
        self.ask(name, command, Data::new().put(hash.as_bytes()), |answer| {
            answer.signature()
        })
    }

    /// TERMINATE: wipes the card for good. Without a PUK only when the PUK is blocked.
    pub fn terminate(&mut self, puk: Option<&Puk>) -> Result<(), CardError> {
        let name = Name("TERMINATE", Secret::Puk);
        let data = Data::new().put(puk.map_or(&[], Puk::bytes));
        self.tell(name, Command::new(OWN, 0x50, 0, 0), data)
    }
}

/// With the PIN typed on the reader's own keys. *Direct* holds for these too: the card sees the same commands.
impl<T: Control> Applet<T> {
    /// The PIN pad of the card's reader. The card is told nothing.
    pub fn pin_pad(&mut self) -> Option<PinPad> {
        PinPad::find(&mut self.transport)
    }

    /// VERIFY. Blocks until the person is done, or the reader gives up.
    pub fn verify_on_pad(&mut self, pad: &PinPad) -> Result<(), CardError> {
        let sw = pad.verify(&mut self.transport);
        told_by_pad("VERIFY", sw)
    }

    /// CHANGE REFERENCE DATA, for a PIN that is not due (the new PUK of the first change cannot be typed there). None: the
    /// pad takes no new PINs.
    pub fn change_pin_on_pad(&mut self, pad: &PinPad) -> Option<Result<(), CardError>> {
        let sw = pad.modify(&mut self.transport)?;
        Some(told_by_pad("CHANGE REFERENCE DATA", sw))
    }
}

fn told_by_pad(command: &'static str, sw: Result<u16, TransportError>) -> Result<(), CardError> {
    match sw {
        Ok(0x9000) => Ok(()),
        Ok(sw) => Err(CardError::Refused {
            command,
            status: Status::of_pad(sw),
        }),
        Err(source) => Err(CardError::Transport { command, source }),
    }
}

fn with_data(name: &Name, command: Command, data: &Data) -> Result<Command, CardError> {
    command
        .with_data(&data.0)
        .map_err(|error| CardError::Transport {
            command: name.0,
            source: error.into(),
        })
}

#[cfg(test)]
mod tests;
