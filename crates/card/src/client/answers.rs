//! Takes the longer answers apart, field by field as docs/card.md lists them.

use zeroize::Zeroizing;

use super::error::CardError;
use super::fields::Fields;
use super::format::{FLAG_CLOSED, LABEL_MAX, SERVER_MAX, VERSION};
use super::secrets::Token;
use super::types::{
    HeadRecord, HeadWriter, Info, Lifecycle, OpenedSession, Selected, SignedKeys, Slot, Slots,
};
use crate::ids::{CardId, Hash, Point};
use crate::text::CardKeys;

pub(super) fn read_selected(answer: &mut Fields<'_>) -> Result<Selected, CardError> {
    let version = (answer.u8()?, answer.u8()?);
    if version.0 != VERSION {
        return Err(CardError::Version {
            major: version.0,
            minor: version.1,
        });
    }
    let lifecycle = match answer.u8()? {
        0x01 => Lifecycle::Installed,
        0x03 => Lifecycle::Personalised,
        0x07 => Lifecycle::Enrolled,
        0x7F => Lifecycle::Terminated,
        _ => return Err(answer.malformed("it names an unknown lifecycle")),
    };
    let pin_tries = answer.u8()?;
    let puk_tries = answer.u8()?;
    let state = answer.u8()?;
    Ok(Selected {
        version,
        lifecycle,
        pin_tries,
        puk_tries,
        pin_set: state & 1 != 0,
        pin_due: state & 2 != 0,
        challenge: answer.array()?,
        pseudonym: answer.array()?,
    })
}

pub(super) fn read_keys(answer: &mut Fields<'_>) -> Result<SignedKeys, CardError> {
    let keys = CardKeys {
        sig: Point(answer.array()?),
        kem: Point(answer.array()?),
    };
    Ok(SignedKeys::new(keys, answer.signature()?))
}

pub(super) fn read_card_info(answer: &mut Fields<'_>) -> Result<Info, CardError> {
    let card = CardId(answer.array()?);
    let subscriber = answer.text(32)?;
    let subscriber = subscriber
        .parse()
        .map_err(|_| answer.malformed("the subscriber ID in it is none"))?;
    Ok(Info {
        card,
        subscriber,
        label: answer.text(LABEL_MAX)?,
        server: answer.text(SERVER_MAX)?,
        ca_pin: Hash(answer.array()?),
    })
}

pub(super) fn read_slot(answer: &mut Fields<'_>) -> Result<Slot, CardError> {
    Slot::new(answer.u8()?).ok_or_else(|| answer.malformed("it names a slot above 15"))
}

/// OPEN SESSION's answer: there is a head record.
const HEAD_IS_SET: u8 = 1;
/// The same: its writer is told. Version 1.0 of the applet does not.
const HEAD_HAS_WRITER: u8 = 2;

pub(super) fn read_opened_session(answer: &mut Fields<'_>) -> Result<OpenedSession, CardError> {
    let n = answer.u32()?;
    let sig = answer.signature()?;
    let secret = Zeroizing::new(answer.take(32)?.to_vec());
    let about = answer.u8()?;
    if about & !(HEAD_IS_SET | HEAD_HAS_WRITER) != 0 {
        return Err(answer.malformed("it does not say whether the head record is set"));
    }
    let is_set = about & HEAD_IS_SET != 0;
    let head = HeadRecord {
        epoch: answer.u32()?,
        sequence: answer.u64()?,
        head: Hash(answer.array()?),
        list_number: answer.u32()?,
        list_hash: Hash(answer.array()?),
        closed: answer.u8()? & FLAG_CLOSED != 0,
    };
    let writer = if about & HEAD_HAS_WRITER != 0 {
        Some(HeadWriter {
            terminal: answer.array()?,
            n: answer.u32()?,
        })
    } else {
        None
    };
    Ok(OpenedSession {
        n,
        sig,
        secret,
        head: is_set.then_some(head),
        writer: writer.filter(|_| is_set),
        unsettled: Slots(answer.u16()?),
        token: Token::new(answer.array()?),
    })
}
