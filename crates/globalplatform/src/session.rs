//! Opening a secure channel with the issuer security domain, and commands within it.

use simsync_card::apdu::{Command, Response};
use simsync_card::transport::{Transport, TransportError, exchange};

use crate::channel::{self, Channel};
use crate::domain::{self, Domain};
use crate::error::GpError;
use crate::kdf::DiversificationData;
use crate::keys::{Diversification, KeySet, Scp};
use crate::scp02::{Scp02, Variant};
use crate::scp03::{self, Scp03};

pub use crate::secure_messaging::Level;

/// Which keys, and how the card's own are made from them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Key version number; 0 takes the card's first.
    pub key_version: u8,
    /// How the card's keys come from those given; none if they are the card's.
    pub diversification: Option<Diversification>,
    /// The variant of SCP02 that card recognition data tells; INITIALIZE UPDATE does not.
    pub scp02_variant: Option<u8>,
}

/// What opens a security domain: its keys, or the master keys that its keys are made from.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    /// Keys of the domain itself; master keys where `diversification` is set.
    pub keys: &'a KeySet,
    /// Key version number; 0 takes the card's first.
    pub key_version: u8,
    /// How the card's keys come from those given; none if they are the card's.
    pub diversification: Option<Diversification>,
}

/// Selects the issuer security domain and opens a session with it.
pub fn open_domain<T: Transport>(
    mut transport: T,
    access: &Access<'_>,
    host_challenge: &[u8; 8],
) -> Result<(Domain, Session<T>), GpError> {
    let domain = domain::select_issuer_domain(&mut transport)?;
    let session = open_selected(transport, &domain, access, host_challenge)?;
    Ok((domain, session))
}

/// Opens a session with the issuer security domain, which was selected just now.
pub(crate) fn open_selected<T: Transport>(
    transport: T,
    domain: &Domain,
    access: &Access<'_>,
    host_challenge: &[u8; 8],
) -> Result<Session<T>, GpError> {
    let options = Options {
        key_version: access.key_version,
        diversification: access.diversification,
        scp02_variant: domain.card_data.as_ref().and_then(|d| d.variant(2)),
    };
    Session::open(transport, access.keys, &options, host_challenge)
}

/// The card's answer to INITIALIZE UPDATE (GPCS E.5.1.6; Amd D 7.1.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Key diversification data.
    pub diversification_data: DiversificationData,
    /// Version of the keys that the card takes.
    pub key_version: u8,
    /// Number of the secure channel protocol.
    pub scp: u8,
    /// Its variant, for SCP03.
    pub i: Option<u8>,
    /// How often these keys opened a channel, where the card tells it.
    pub counter: Option<u32>,
    card_challenge: [u8; 8],
    cryptogram: [u8; 8],
}

impl Challenge {
    /// Reads it. Lengths: SCP01 and SCP02 28, SCP03 29, or 32 with a counter.
    fn parse(bytes: &[u8]) -> Result<Self, GpError> {
        let bad = || GpError::Answer {
            command: "INITIALIZE UPDATE",
            what: "it has a length that no protocol has",
        };
        let (diversification_data, rest) = bytes.split_first_chunk::<10>().ok_or_else(bad)?;
        let (&[key_version, scp], rest) = rest.split_first_chunk::<2>().ok_or_else(bad)?;
        let (i, rest) = if scp == 3 {
            let (i, rest) = rest.split_first().ok_or_else(bad)?;
            (Some(*i), rest)
        } else {
            (None, rest)
        };
        let challenge = Self {
            diversification_data: *diversification_data,
            key_version,
            scp,
            i,
            counter: None,
            card_challenge: [0; 8],
            cryptogram: [0; 8],
        };
        // The variants in S16 mode have more; they are refused for their variant, not for their length.
        if i.is_some_and(|i| scp03::level_of(i).is_none()) {
            return Ok(challenge);
        }
        let (card_challenge, rest) = rest.split_first_chunk::<8>().ok_or_else(bad)?;
        let (cryptogram, rest) = rest.split_first_chunk::<8>().ok_or_else(bad)?;
        let counter = match (scp, rest) {
            (2, []) => Some(u32::from(card_challenge[0]) << 8 | u32::from(card_challenge[1])),
            (_, []) => None,
            (3, &[a, b, c]) => Some(u32::from_be_bytes([0, a, b, c])),
            _ => return Err(bad()),
        };
        Ok(Self {
            counter,
            card_challenge: *card_challenge,
            cryptogram: *cryptogram,
            ..challenge
        })
    }
}

/// INITIALIZE UPDATE. It asks the card to prove that it knows the keys, and proves nothing to the card: no try is spent.
pub fn initialize_update<T: Transport + ?Sized>(
    transport: &mut T,
    key_version: u8,
    host_challenge: &[u8; 8],
) -> Result<Challenge, GpError> {
    const NAME: &str = "INITIALIZE UPDATE";
    let command = Command::new(0x80, 0x50, key_version, 0).expecting_any();
    let answer = domain::send(transport, NAME, command, host_challenge)?;
    match answer.sw {
        0x9000 => Challenge::parse(&answer.data),
        0x6983 => Err(GpError::Blocked),
        0x6A88 => Err(GpError::NoSuchKeys(key_version)),
        sw => Err(GpError::Refused { command: NAME, sw }),
    }
}

/// An open secure channel. Another SELECT on the card ends it.
pub struct Session<T: Transport> {
    transport: T,
    channel: Channel,
    challenge: Challenge,
    usable: bool,
}

impl<T: Transport> Session<T> {
    /// Opens one with the security domain that is selected, at the highest level that the card has.
    ///
    /// The card's cryptogram is verified first: if it is wrong, nothing more is sent ([`GpError::WrongKeys`]). Else
    /// EXTERNAL AUTHENTICATE is sent, once, whatever the answer. `host_challenge` must be random.
    pub fn open(
        mut transport: T,
        keys: &KeySet,
        options: &Options,
        host_challenge: &[u8; 8],
    ) -> Result<Self, GpError> {
        let challenge = initialize_update(&mut transport, options.key_version, host_challenge)?;
        let mut channel = channel_for(keys, options, &challenge, host_challenge)?;
        authenticate(&mut transport, &mut channel)?;
        tracing::info!(
            protocol = %channel.scp(),
            level = %channel.level(),
            key_version = format_args!("{:02X}", challenge.key_version),
            "secure channel open"
        );
        Ok(Self {
            transport,
            channel,
            challenge,
            usable: true,
        })
    }

    /// What the card answered to INITIALIZE UPDATE.
    pub fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    /// The protocol spoken.
    pub fn scp(&self) -> Scp {
        self.channel.scp()
    }

    /// The level in effect: the one that EXTERNAL AUTHENTICATE named and the card accepted.
    pub fn level(&self) -> Level {
        self.channel.level()
    }

    /// The most data that one command takes.
    pub fn max_data(&self) -> usize {
        channel::max_data(self.scp(), self.level())
    }

    /// Sends a command within the channel; answers whatever status word came.
    pub fn send(
        &mut self,
        name: &'static str,
        command: Command,
        data: &[u8],
    ) -> Result<Response, GpError> {
        if !self.usable {
            return Err(GpError::Unprotected(name));
        }
        let failed = |source| GpError::Transport {
            command: name,
            source,
        };
        let command = command.with_data(data).map_err(|e| failed(e.into()))?;
        let wrapped = self.channel.wrap(name, &command)?;
        let response = exchange(&mut self.transport, &wrapped).map_err(failed)?;
        match self.channel.unwrap(response)? {
            Some(response) => Ok(response),
            None => {
                self.usable = false;
                Err(GpError::Altered { command: name })
            }
        }
    }

    /// Ends this side of the channel and gives the transport back. The card ends its side at the next SELECT.
    pub fn close(self) -> T {
        self.transport
    }
}

/// Session keys, with the card's cryptogram verified; nothing is sent.
fn channel_for(
    keys: &KeySet,
    options: &Options,
    challenge: &Challenge,
    host_challenge: &[u8; 8],
) -> Result<Channel, GpError> {
    let unsupported = |i| GpError::Unsupported {
        scp: challenge.scp,
        i,
    };
    let scp = match challenge.scp {
        2 => Scp::Scp02,
        3 => Scp::Scp03,
        _ => return Err(unsupported(None)),
    };
    if scp == Scp::Scp02 && keys.key_length() != 16 {
        return Err(GpError::KeyLength {
            scp,
            length: keys.key_length(),
        });
    }
    let own;
    let keys = match options.diversification {
        Some(scheme) => {
            own = scheme.diversify(keys, scp, &challenge.diversification_data)?;
            &own
        }
        None => keys,
    };
    let opened = match scp {
        Scp::Scp02 => {
            let variant = Variant::of(options.scp02_variant)
                .ok_or_else(|| unsupported(options.scp02_variant))?;
            Scp02::new(
                keys,
                host_challenge,
                &challenge.card_challenge,
                &challenge.cryptogram,
                variant,
            )?
            .map(Channel::Scp02)
        }
        Scp::Scp03 => {
            let level = challenge
                .i
                .and_then(scp03::level_of)
                .ok_or_else(|| unsupported(challenge.i))?;
            Scp03::new(
                keys,
                host_challenge,
                &challenge.card_challenge,
                &challenge.cryptogram,
                level,
            )?
            .map(Channel::Scp03)
        }
    };
    opened.ok_or(GpError::WrongKeys {
        key_version: challenge.key_version,
    })
}

/// EXTERNAL AUTHENTICATE: the one place where a try can be spent.
fn authenticate<T: Transport>(transport: &mut T, channel: &mut Channel) -> Result<(), GpError> {
    const NAME: &str = "EXTERNAL AUTHENTICATE";
    let command = channel.external_authenticate()?;
    let failed = |source| GpError::Transport {
        command: NAME,
        source,
    };
    // Not by `exchange`, which repeats a command that 6CXX answers.
    let raw = transport.transmit(&command.encode()).map_err(failed)?;
    let answer = Response::decode(&raw).map_err(|_| failed(TransportError::NoAnswer(raw.len())))?;
    match answer.sw {
        0x9000 => Ok(()),
        0x6983 => Err(GpError::Blocked),
        sw => Err(GpError::AuthenticationRefused { sw }),
    }
}

#[cfg(test)]
mod published;
#[cfg(test)]
pub(crate) mod tests;
