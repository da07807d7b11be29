//! What is done with the card in one transaction.

use std::time::Duration;

use simsync_card::client::{
    Applet, CardError as AppletError, HeadRecord, Info, OpenRequest, OpenedSession, Pin, Selected,
    SignDomain, SignedKeys, Slots, Token, UnsettledSession,
};
use simsync_card::connection::Taken;
use simsync_card::ids::{CardId, Hash, Point, TerminalId};
use simsync_card::pinpad::PinPad;
use simsync_card::sign::{SecretKey, Sig};
use simsync_card::status::Status;
use simsync_card::text;
use simsync_card::transport::TransportError;
use simsync_vault::keyobject::TerminalEntry;

use super::pin::CardPin;
use crate::card::{CardError, OpenCard};

/// How long a card may take for one of our transactions, another program's included.
pub const CARD_DEADLINE: Duration = Duration::from_secs(30);

/// Begins a transaction; a reset by another program is over then.
pub fn transaction<'a>(card: &'a mut OpenCard<'_>) -> Result<Applet<Taken<'a>>, CardError> {
    Ok(Applet::new(card.begin()?))
}

/// Whether what we opened on the card is still there, and a challenge: another program may have reset the card or
/// selected its own applet, which would take our PIN for a wrong one of its own.
fn still_ours<T: simsync_card::transport::Transport>(
    applet: &mut Applet<T>,
) -> Result<Option<[u8; 16]>, CardError> {
    match applet.get_challenge() {
        Ok(challenge) => Ok(Some(challenge)),
        Err(e)
            if e.transport()
                .is_some_and(|t| !matches!(t, TransportError::ResetByOther)) =>
        {
            Err(e.into())
        }
        Err(_) => Ok(None),
    }
}

/// Begins a transaction in which our applet is selected: a PIN given now burns no tries of another's.
pub fn ours<'a>(card: &'a mut OpenCard<'_>) -> Result<Applet<Taken<'a>>, CardError> {
    let mut applet = transaction(card)?;
    if still_ours(&mut applet)?.is_none() {
        applet.select()?;
    }
    Ok(applet)
}

/// SELECT, for a first look. None: no applet of ours.
pub fn probe(card: &mut OpenCard<'_>) -> Result<Option<Selected>, CardError> {
    let note_pad = card.note_pad();
    select(&mut transaction(card)?, note_pad)
}

/// The number of a SIM without our applet. None: no SIM, or one that does not tell.
pub fn read_sim(card: &mut OpenCard<'_>) -> Result<Option<String>, CardError> {
    let sim = simsync_card::sim::read(&mut card.begin()?)?;
    Ok(sim.and_then(|s| s.iccid.digits().map(str::to_owned)))
}

/// The reader of a card of ours is asked for its PIN pad, too.
fn select(
    applet: &mut Applet<Taken<'_>>,
    note_pad: &dyn Fn(Option<PinPad>),
) -> Result<Option<Selected>, CardError> {
    match applet.select() {
        Ok(selected) => {
            note_pad(applet.pin_pad());
            Ok(Some(selected))
        }
        Err(AppletError::Refused { .. } | AppletError::Answer { .. }) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// What a first look that holds the card is told to go on with.
pub struct GoOn {
    /// What was typed.
    pub pin: Pin,
    /// Whatever opening needs.
    pub opening: SessionRequest,
    /// Where the outcome goes.
    pub reply: tokio::sync::oneshot::Sender<Result<Opened, CardError>>,
}

/// How long a first look keeps the card to itself while the PIN may be at hand already.
const HOLD: std::time::Duration = std::time::Duration::from_millis(700);

/// SELECT, and in the same transaction VERIFY and OPEN SESSION if the PIN comes at once: nobody can have selected another
/// applet meanwhile, so it needs no GET CHALLENGE to be sure.
pub fn probe_and_hold(
    card: &mut OpenCard<'_>,
    probed: tokio::sync::oneshot::Sender<Result<Option<Selected>, CardError>>,
    go_on: &std::sync::mpsc::Receiver<GoOn>,
) -> Result<(), CardError> {
    let (wanted, note_pad) = (card.wanted(), card.note_pad());
    let mut applet = transaction(card)?;
    let selected = select(&mut applet, note_pad);
    let challenge = selected
        .as_ref()
        .ok()
        .and_then(|s| s.as_ref().map(|s| s.challenge));
    // No PIN opens it now: whoever unblocks it or changes its PIN is not kept waiting.
    let is_stuck = matches!(&selected, Ok(Some(s)) if s.pin_tries == 0 || s.pin_due);
    let heard = probed.send(selected).is_ok();
    let (Some(challenge), true) = (challenge, heard) else {
        return Ok(());
    };
    if is_stuck {
        return Ok(());
    }
    if let Ok(GoOn {
        pin,
        opening,
        reply,
    }) = go_on.recv_timeout(HOLD)
    {
        let opened = open_selected(
            &mut applet,
            challenge,
            Some((&pin.into(), wanted)),
            &opening,
        );
        // If nobody waits for it any longer, the card is out.
        let _ = reply.send(opened);
    }
    Ok(())
}

/// What a terminal needs to open a session.
#[derive(Clone)]
pub struct SessionRequest {
    /// The card that is expected.
    pub card: CardId,
    /// The terminal's key.
    pub key: std::sync::Arc<SecretKey>,
    /// Binding of the connection.
    pub binding: Hash,
    /// Point of the card's wrap.
    pub hpke: Point,
}

/// What opening gave.
pub struct Opened {
    /// The card's answer.
    pub session: OpenedSession,
    /// Sessions that were unsettled before, if there were any.
    pub unsettled: Vec<UnsettledSession>,
    /// Which generation of keys there was when this began: a removal since then means that none are put in.
    pub generation: u64,
}

/// VERIFY (unless the PIN is none: then it was verified before) and OPEN SESSION.
///
/// Without a PIN, and with the PIN state lost, the answer is [`simsync_card::status::Status::RightMissing`].
pub fn open(
    card: &mut OpenCard<'_>,
    pin: Option<&CardPin>,
    o: &SessionRequest,
) -> Result<Opened, CardError> {
    let wanted = card.wanted();
    let pin = pin.map(|pin| (pin, wanted));
    let mut applet = transaction(card)?;
    let challenge = match still_ours(&mut applet)? {
        Some(challenge) => challenge,
        None => applet.select()?.challenge,
    };
    match open_selected(&mut applet, challenge, pin, o) {
        // Reset in the middle all the same: pcscd does that when it tidies up after a program that died. No try was spent.
        Err(CardError::Client(e))
            if pin.is_some() && matches!(e.status(), Some(Status::NotUnderstood(_))) =>
        {
            let challenge = applet.select()?.challenge;
            open_selected(&mut applet, challenge, pin, o)
        }
        other => other,
    }
}

fn open_selected(
    applet: &mut Applet<Taken<'_>>,
    mut challenge: [u8; 16],
    pin: Option<(&CardPin, &dyn Fn() -> bool)>,
    o: &SessionRequest,
) -> Result<Opened, CardError> {
    if let Some((pin, wanted)) = pin {
        pin.verify(applet, wanted)?;
    }
    let terminal = TerminalId::of(&o.key.point());
    let mut attempt = 0;
    let session = loop {
        let sig = o
            .key
            .sign(&text::terminal(&o.card, &challenge, &o.binding, &o.hpke));
        let request = OpenRequest {
            terminal,
            binding: o.binding,
            hpke: o.hpke,
            sig: &sig,
        };
        match applet.open_session(&request) {
            Ok(session) => break session,
            // A challenge that somebody else used up: one more.
            Err(e) if attempt == 0 && e.status() == Some(simsync_card::status::Status::NotNow) => {
                attempt += 1;
                challenge = applet.get_challenge()?;
            }
            Err(e) => return Err(e.into()),
        }
    };
    let unsettled = if session.unsettled.0 == 0 {
        Vec::new()
    } else {
        applet.unsettled_sessions()?
    };
    Ok(Opened {
        session,
        unsettled,
        generation: 0,
    })
}

/// VERIFY and SIGN in one transaction.
pub fn sign(
    card: &mut OpenCard<'_>,
    pin: &CardPin,
    domain: SignDomain,
    hash: &Hash,
) -> Result<Sig, CardError> {
    let wanted = card.wanted();
    let mut applet = ours(card)?;
    pin.verify(&mut applet, wanted)?;
    Ok(applet.sign(domain, hash)?)
}

/// VERIFY, READ INFO, READ KEYS.
pub fn read(
    card: &mut OpenCard<'_>,
    pin: &CardPin,
    nonce: &[u8; 32],
) -> Result<(Info, SignedKeys), CardError> {
    let wanted = card.wanted();
    let mut applet = ours(card)?;
    pin.verify(&mut applet, wanted)?;
    Ok((applet.read_info()?, applet.read_keys(nonce)?))
}

/// VERIFY and SET SERVER.
pub fn set_server(
    card: &mut OpenCard<'_>,
    pin: &CardPin,
    server: &str,
    ca_pin: &Hash,
) -> Result<(), CardError> {
    let wanted = card.wanted();
    let mut applet = ours(card)?;
    pin.verify(&mut applet, wanted)?;
    Ok(applet.set_server(server, ca_pin)?)
}

/// VERIFY and ADD TERMINAL for each; a card without room for more has taken in the first ones.
pub fn take_in(
    card: &mut OpenCard<'_>,
    pin: &CardPin,
    terminals: &[TerminalEntry],
    binding: &Hash,
) -> Result<Vec<(TerminalId, Sig)>, CardError> {
    let wanted = card.wanted();
    let mut applet = ours(card)?;
    let mut taken = Vec::new();
    for terminal in terminals {
        pin.verify(&mut applet, wanted)?;
        match applet.add_terminal(&terminal.key, &terminal.label, binding) {
            Ok(added) => taken.push((terminal.id(), added.sig)),
            Err(e) if e.status() == Some(Status::Full) && !taken.is_empty() => {
                tracing::warn!(
                    taken = taken.len(),
                    "the card has no room for more terminals"
                );
                break;
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(taken)
}

/// VERIFY and REMOVE TERMINAL.
pub fn remove_terminal(
    card: &mut OpenCard<'_>,
    pin: &CardPin,
    terminal: &TerminalId,
) -> Result<(), CardError> {
    let wanted = card.wanted();
    let mut applet = ours(card)?;
    pin.verify(&mut applet, wanted)?;
    Ok(applet.remove_terminal(terminal)?)
}

/// RENEW: a signature that the open session goes on over another connection.
pub fn renew(card: &mut OpenCard<'_>, token: &Token, binding: &Hash) -> Result<Sig, CardError> {
    let mut applet = transaction(card)?;
    Ok(applet.renew(token, binding)?)
}

/// PUT HEAD: first the records that lead a card up which is far behind, then the newest.
pub fn put_head(
    card: &mut OpenCard<'_>,
    token: &Token,
    steps: &[HeadRecord],
    record: &HeadRecord,
    settle: Slots,
) -> Result<(), CardError> {
    let mut applet = transaction(card)?;
    for step in steps {
        applet.put_head(token, step, Slots::EMPTY)?;
    }
    Ok(applet.put_head(token, record, settle)?)
}
