//! SIMs and USIMs: what they tell of themselves. Presence and identity only; neither can be trusted with a key.
//!
//! UICCs speak class 00 (ETSI TS 102 221, 3GPP TS 31.102), older SIMs class A0 (GSM 11.11, 3GPP TS 51.011). Nothing is
//! written and no PIN is given: what the PIN protects is told to be locked.

use crate::apdu::{Command, Response};
use crate::transport::{Transport, TransportError, exchange};

const MF: [u8; 2] = [0x3F, 0x00];
const EF_ICCID: [u8; 2] = [0x2F, 0xE2];
const EF_DIR: [u8; 2] = [0x2F, 0x00];
const DF_GSM: [u8; 2] = [0x7F, 0x20];
const EF_IMSI: [u8; 2] = [0x6F, 0x07];
/// First bytes of every USIM's AID (3GPP TS 31.110).
const USIM: [u8; 7] = [0xA0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x02];
const ICCID_LENGTH: u16 = 10;
const IMSI_LENGTH: u16 = 9;
/// Records of EF_DIR that are looked at.
const RECORDS: u8 = 16;

/// Which kind of card it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A SIM by GSM 11.11.
    Sim,
    /// A UICC with a USIM.
    Usim,
    /// A UICC without one.
    Uicc,
}

impl Kind {
    /// The kind for people and for JSON: `SIM`, `USIM` or `UICC`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sim => "SIM",
            Self::Usim => "USIM",
            Self::Uicc => "UICC",
        }
    }
}

/// A file's content, as far as it can be read without a PIN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The number that the file holds, decimal digits only.
    Digits(String),
    /// The PIN (CHV1) is needed.
    Locked,
    /// There is none, or it holds no digits.
    Absent,
}

impl Read {
    /// The digits, if they could be read.
    pub fn digits(&self) -> Option<&str> {
        match self {
            Self::Digits(digits) => Some(digits),
            Self::Locked | Self::Absent => None,
        }
    }
}

/// State of the PIN: CHV1, or PIN1 of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chv {
    /// Whether it is asked for at all, if the card tells.
    pub enabled: Option<bool>,
    /// Tries left, if the card tells.
    pub tries: Option<u8>,
}

/// What a SIM told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sim {
    /// Which application told it.
    pub kind: Kind,
    /// ICCID, up to 20 digits.
    pub iccid: Read,
    /// IMSI, up to 15 digits.
    pub imsi: Read,
    /// How its PIN stands.
    pub chv: Chv,
}

/// Asks the card what it is; none if it is neither a UICC nor a SIM.
pub fn read<T: Transport + ?Sized>(card: &mut T) -> Result<Option<Sim>, TransportError> {
    let master = select(card, &MF)?;
    if master.sw == 0x9000 && master.data.first() == Some(&0x62) {
        return uicc(card).map(Some);
    }
    match gsm_select(card, MF)? {
        Some(_) => gsm(card).map(Some),
        None => Ok(None),
    }
}

// UICC, class 00.

/// SELECT by file ID, or by name where it is longer; answers the file control parameters.
fn select<T: Transport + ?Sized>(card: &mut T, id: &[u8]) -> Result<Response, TransportError> {
    let p1 = if id.len() == 2 { 0x00 } else { 0x04 };
    let command = Command::new(0x00, 0xA4, p1, 0x04);
    exchange(card, &command.with_data(id)?.expecting_any())
}

fn uicc<T: Transport + ?Sized>(card: &mut T) -> Result<Sim, TransportError> {
    let iccid = if select(card, &EF_ICCID)?.sw == 0x9000 {
        binary(card, 0x00, ICCID_LENGTH, iccid_digits)?
    } else {
        Read::Absent
    };
    let application = usim_aid(card)?;
    let mut sim = Sim {
        kind: Kind::Uicc,
        iccid,
        imsi: Read::Absent,
        chv: Chv::default(),
    };
    let Some(aid) = application else {
        return Ok(sim);
    };
    let parameters = select(card, &aid)?;
    if parameters.sw != 0x9000 {
        return Ok(sim);
    }
    sim.kind = Kind::Usim;
    sim.chv.enabled = pin_enabled(&parameters.data);
    // VERIFY without data asks for the state of PIN1 (TS 102 221, 11.1.9).
    let asked = exchange(card, &Command::new(0x00, 0x20, 0x00, 0x01))?;
    sim.chv.tries = match asked.sw {
        sw @ 0x63C0..=0x63CF => Some((sw & 0x0F) as u8),
        0x6983 => Some(0),
        _ => None,
    };
    if select(card, &EF_IMSI)?.sw == 0x9000 {
        sim.imsi = binary(card, 0x00, IMSI_LENGTH, imsi_digits)?;
    }
    Ok(sim)
}

/// The AID of the first USIM that EF_DIR lists.
fn usim_aid<T: Transport + ?Sized>(card: &mut T) -> Result<Option<Vec<u8>>, TransportError> {
    select(card, &MF)?;
    if select(card, &EF_DIR)?.sw != 0x9000 {
        return Ok(None);
    }
    for record in 1..=RECORDS {
        let command = Command::new(0x00, 0xB2, record, 0x04).expecting_any();
        let answer = exchange(card, &command)?;
        if answer.sw != 0x9000 {
            break;
        }
        if let Some(aid) = application_template(&answer.data)
            && aid.starts_with(&USIM)
        {
            return Ok(Some(aid.to_vec()));
        }
    }
    Ok(None)
}

/// The AID (4F) of an application template (61); TS 102 221, 13.1.
fn application_template(record: &[u8]) -> Option<&[u8]> {
    tlv(tlv(record, 0x61)?, 0x4F).filter(|aid| (5..=16).contains(&aid.len()))
}

/// Whether PIN1 is enabled, by the PIN status template (C6) of file control parameters (62); TS 102 221, 11.1.1.4.10.
fn pin_enabled(parameters: &[u8]) -> Option<bool> {
    let status = tlv(tlv(parameters, 0x62)?, 0xC6)?;
    let states = *tlv(status, 0x90)?.first()?;
    // One bit a key reference, in their order; PIN1 of an application is 01 to 08.
    let mut rest = status;
    let mut bit = 0x80;
    while let Some((tag, value, after)) = next(rest) {
        if tag == 0x83 {
            if value.first().is_some_and(|r| (0x01..=0x08).contains(r)) {
                return Some(states & bit != 0);
            }
            bit >>= 1;
        }
        rest = after;
    }
    None
}

/// The value of the first object with a tag.
fn tlv(bytes: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut rest = bytes;
    while let Some((tag, value, after)) = next(rest) {
        if tag == wanted {
            return Some(value);
        }
        rest = after;
    }
    None
}

/// One object with a tag of one byte and a length of one, or two from 128 on: tag, value, what follows.
fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (length, rest) = match rest.split_first()? {
        (0x81, rest) => rest.split_first()?,
        other => other,
    };
    let (value, after) = rest.split_at_checked(usize::from(*length))?;
    Some((*tag, value, after))
}

// SIM, class A0.

/// SELECT by file ID; answers what GET RESPONSE tells of it, or none if there is no such file or class.
fn gsm_select<T: Transport + ?Sized>(
    card: &mut T,
    id: [u8; 2],
) -> Result<Option<Vec<u8>>, TransportError> {
    let answer = exchange(card, &Command::new(0xA0, 0xA4, 0, 0).with_data(&id)?)?;
    let [0x9F, length] = answer.sw.to_be_bytes() else {
        return Ok(None);
    };
    let fetch = Command::new(0xA0, 0xC0, 0, 0).expecting(u16::from(length))?;
    let told = exchange(card, &fetch)?;
    Ok((told.sw == 0x9000).then(|| told.data.to_vec()))
}

fn gsm<T: Transport + ?Sized>(card: &mut T) -> Result<Sim, TransportError> {
    let mut sim = Sim {
        kind: Kind::Sim,
        iccid: Read::Absent,
        imsi: Read::Absent,
        chv: Chv::default(),
    };
    if gsm_select(card, EF_ICCID)?.is_some() {
        sim.iccid = binary(card, 0xA0, ICCID_LENGTH, iccid_digits)?;
    }
    let Some(directory) = gsm_select(card, DF_GSM)? else {
        return Ok(sim);
    };
    // Byte 14, bit 8: CHV1 is disabled. Byte 19: its state; GSM 11.11, 9.2.1.
    sim.chv.enabled = directory.get(13).map(|flags| flags & 0x80 == 0);
    sim.chv.tries = directory
        .get(18)
        .filter(|state| *state & 0x80 != 0)
        .map(|state| state & 0x0F);
    if gsm_select(card, EF_IMSI)?.is_some() {
        sim.imsi = binary(card, 0xA0, IMSI_LENGTH, imsi_digits)?;
    }
    Ok(sim)
}

// Both.

/// READ BINARY of the selected file.
fn binary<T: Transport + ?Sized>(
    card: &mut T,
    class: u8,
    length: u16,
    digits: fn(&[u8]) -> Option<String>,
) -> Result<Read, TransportError> {
    let command = Command::new(class, 0xB0, 0, 0).expecting(length)?;
    let answer = exchange(card, &command)?;
    Ok(match answer.sw {
        0x9000 => digits(&answer.data).map_or(Read::Absent, Read::Digits),
        // GSM: access condition not fulfilled, blocked; ISO: security status not satisfied, blocked.
        0x9804 | 0x9840 | 0x6982 | 0x6983 => Read::Locked,
        _ => Read::Absent,
    })
}

/// Digits in BCD, the low half of each byte first, up to the filler F; none if anything else is among them.
fn bcd(bytes: &[u8]) -> Option<String> {
    let halves: Vec<u8> = bytes.iter().flat_map(|b| [b & 0x0F, b >> 4]).collect();
    let end = halves
        .iter()
        .position(|h| *h == 0x0F)
        .unwrap_or(halves.len());
    let (digits, filler) = halves.split_at(end);
    let right = digits.iter().all(|d| *d < 10) && filler.iter().all(|f| *f == 0x0F);
    (right && !digits.is_empty()).then(|| digits.iter().map(|d| char::from(b'0' + d)).collect())
}

fn iccid_digits(bytes: &[u8]) -> Option<String> {
    bcd(bytes).filter(|digits| is_iccid(digits))
}

/// Whether a text can be an ICCID: 18 to 20 digits (ITU-T E.118 with its check digit, and what is in use beyond it).
pub fn is_iccid(text: &str) -> bool {
    (18..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// Length, then the digits; the first half byte is parity and type (3GPP TS 31.102, 4.2.2).
fn imsi_digits(bytes: &[u8]) -> Option<String> {
    let (length, rest) = bytes.split_first()?;
    let digits = bcd(rest.get(..usize::from(*length))?.get(..)?)?;
    let imsi = digits.get(1..)?;
    (6..=15).contains(&imsi.len()).then(|| imsi.to_owned())
}

#[cfg(test)]
mod tests;
