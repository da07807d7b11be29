//! From a card in a reader to an open session (flow 4), and keeping it open.

use std::sync::Arc;

use simsync_card::ids::{CardId, TerminalId};
use simsync_card::status::Status;
use simsync_codes::Code;
use simsync_protocol::api::{COMMITS_PER_ANSWER, SessionAnswer};
use simsync_protocol::client::ClientError;
use simsync_protocol::problem::Code as ServerCode;
use simsync_vault::commit::Commit;
use simsync_vault::head::{Verdict, Witness};
use simsync_vault::keyobject::{KeyObject, Wrap};
use simsync_vault::keys::VaultKey;

use super::news::CardNews;
use crate::api::{PadPurpose, Reason};
use crate::database::Database;
use crate::engine::{Engine, EngineError, Session, key_ring};
use crate::engines::Engines;
use crate::events::Events;
use crate::identity::Identity;
use crate::link::ServerLink;
use crate::membership::{Epochs, Restorer, Slots};
use crate::notes::Notes;
use crate::person::{Person, asking};
use crate::reasons::{engine_failure, server_failure};
use crate::rules::{Event, OpenFailure};
use crate::session::card_ops::{Opened, SessionRequest};
use crate::session::{CardHead, CardPin, CardPins, CardSessions, Known, Prepared, witness_of};

/// How a session is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opens {
    /// With the card's PIN.
    WithPin,
    /// In the same power-up as the one before, without it.
    Again,
    /// With the PIN; and a record of the card that nobody can prove is ended.
    AndEnds,
}

/// What came of a session that the card opened.
pub enum Taken {
    /// The vault's keys are here.
    Open(Verdict),
    /// The server is not trusted: nothing is written.
    ReadOnly(Reason),
    /// Another terminal made a new epoch meanwhile: with the newest wrap, once more.
    KeysChanged,
}

/// Opens sessions on this terminal's cards.
pub struct Openings {
    pub(crate) identity: Arc<Identity>,
    pub(crate) person: Arc<Person>,
    pub(crate) sessions: Arc<CardSessions>,
    pub(crate) pins: Arc<CardPins>,
    pub(crate) head: Arc<CardHead>,
    pub(crate) link: Arc<ServerLink>,
    pub(crate) database: Arc<Database>,
    pub(crate) engines: Arc<Engines>,
    pub(crate) slots: Arc<Slots>,
    pub(crate) epochs: Arc<Epochs>,
    pub(crate) restoring: Arc<Restorer>,
    pub(crate) news: Arc<CardNews>,
    pub(crate) notes: Arc<Notes>,
    pub(crate) events: Events,
}

impl Openings {
    /// Opens a session and reports how it went.
    pub async fn open_session(self: Arc<Self>, reader: String, card: CardId, again: bool) {
        let how = if again { Opens::Again } else { Opens::WithPin };
        let asks = self.person.opening_asks();
        let opening = asking(asks.clone(), self.try_open(&reader, card, how));
        match opening.await {
            Ok(read_only) => self.events.emit(Event::Opened { reader, read_only }),
            Err(why) => {
                if let (OpenFailure::NotGiven(why), Some((of, at))) = (&why, asks.last()) {
                    let why = why.clone();
                    self.events.emit(Event::AskedInVain { of, at, why });
                }
                self.events.emit(Event::OpenFailed { reader, why });
            }
        }
    }

    /// Opens a session. Answers why it is for reading only, if it is.
    pub async fn try_open(
        &self,
        reader: &str,
        card: CardId,
        how: Opens,
    ) -> Result<Option<Reason>, OpenFailure> {
        let (terminal, pairing) = self.identity.pairing().map_err(OpenFailure::Refused)?;
        let key = self
            .person
            .unsealed_key(&self.identity, &terminal)
            .await
            .map_err(OpenFailure::NotGiven)?;
        // The connection is made and the nonce fetched while the PIN is typed.
        let (prepared, pin) = if how == Opens::Again {
            (self.link.prepare(&pairing).await, None)
        } else {
            let ask = async {
                let pin = self.pins.card_pin(None, false, reader);
                let pin = pin.await.map_err(OpenFailure::NotGiven)?;
                if let CardPin::Typed(_) = pin {
                    self.notes.mark("pin");
                }
                Ok::<_, OpenFailure>(pin)
            };
            // Without a PIN there is nothing to wait for the network for; before it is typed on the reader, there is.
            let prepare = async { Ok(self.link.prepare(&pairing).await) };
            let (prepared, pin) = tokio::try_join!(prepare, ask)?;
            (prepared, Some(pin))
        };
        let mut prepared = match prepared {
            Ok(prepared) => prepared,
            Err(e) => self.prepare_by_card(reader, pin.as_ref(), &card, e).await?,
        };
        let (_, pairing) = self.identity.pairing().map_err(OpenFailure::Refused)?;
        let engine = self.engines.side_engine().ok_or(OpenFailure::Gone)?;
        if self
            .database
            .stored(|s| s.key_objects())
            .map_err(engine_failure)?
            .is_empty()
        {
            let conn = prepared.conn.clone();
            let objects = conn.key_objects(0).await.map_err(|e| server_failure(&e))?;
            let newest = conn.key_object().await.map_err(|e| server_failure(&e))?;
            engine
                .accept_key_objects(&pairing.card, &objects.key_objects, &newest.wraps)
                .map_err(engine_failure)?;
        }
        let card = self
            .slots
            .trusted(&pairing, &card)
            .map_err(engine_failure)?;
        let mut pin = pin;
        let (mut typed, mut enlisted) = (None, false);
        for _ in 0..3 {
            let (object, wrap) = self.newest_wrap(&card.id)?;
            let opening = SessionRequest {
                card: card.id,
                key: key.clone(),
                binding: prepared.binding,
                hpke: wrap.enc,
            };
            let mut opening_result = self.open_on_card(reader, &mut pin, opening.clone()).await;
            if let (Err(why), Some(mut given)) = (&opening_result, pin.clone())
                && is_unknown_there(why)
                && self.slots.is_new_here(&pairing, &card.id)
            {
                enlisted = true;
                self.slots
                    .enlist(reader, &mut given, &pairing, &card, &prepared.conn)
                    .await?;
                opening_result = self.open_on_card(reader, &mut pin, opening).await;
            }
            let (opened, used_pin) = opening_result?;
            typed = typed.or(used_pin);
            let introduced = self.sessions.introduce(
                &prepared,
                TerminalId::of(&key.point()),
                card,
                &opened,
                Known::Stored,
            );
            let (session, answer) = match introduced.await {
                Ok(introduced) => introduced,
                Err(EngineError::Server(e)) => {
                    // A spare card that took this terminal in, and the server never heard of it.
                    let unheard = e.code() == Some(ServerCode::NotPaired)
                        && self.slots.is_new_here(&pairing, &card.id)
                        && !std::mem::replace(&mut enlisted, true);
                    let (true, Some(mut given)) = (unheard, typed.clone()) else {
                        return Err(server_failure(&e));
                    };
                    self.slots
                        .enlist(reader, &mut given, &pairing, &card, &prepared.conn)
                        .await?;
                    let again = self.link.prepare(&pairing).await;
                    prepared = again.map_err(|e| server_failure(&e))?;
                    continue;
                }
                Err(e) => return Err(engine_failure(e)),
            };
            self.link.keep(prepared.conn.clone());
            let used = (&object, &wrap);
            let taken = self
                .take_over(reader, session, &answer, opened, used, how)
                .await?;
            match taken {
                Taken::Open(verdict) if how == Opens::AndEnds => {
                    self.restoring
                        .end_record(reader, typed.clone(), &verdict)
                        .await
                        .map_err(|f| OpenFailure::Refused(Reason::new(f.code, f.sentence)))?;
                    return Ok(None);
                }
                Taken::Open(_)
                    if answer.rekey_required
                        || self.database.is_rekey_flagged().map_err(engine_failure)? =>
                {
                    self.epochs
                        .rekey(reader, typed.clone())
                        .await
                        .map_err(|f| OpenFailure::Refused(Reason::new(f.code, f.sentence)))?;
                    self.news.tell_card(reader, &card.id, typed.as_ref()).await;
                    return Ok(None);
                }
                Taken::Open(_) => {
                    self.news.tell_card(reader, &card.id, typed.as_ref()).await;
                    self.slots
                        .tidy_slots(reader, &card.id, typed.as_ref())
                        .await;
                    return Ok(None);
                }
                Taken::ReadOnly(reason) => return Ok(Some(reason)),
                // Without the PIN.
                Taken::KeysChanged => {
                    prepared = self
                        .link
                        .prepare(&pairing)
                        .await
                        .map_err(|e| server_failure(&e))?
                }
            }
        }
        Err(OpenFailure::Offline(Reason::new(
            Code::Busy,
            "the vault's keys change too often just now",
        )))
    }

    /// The server could not be reached: once more where the card says that it is.
    async fn prepare_by_card(
        &self,
        reader: &str,
        pin: Option<&CardPin>,
        card: &CardId,
        e: ClientError,
    ) -> Result<Prepared, OpenFailure> {
        let (_, pairing) = self.identity.pairing().map_err(OpenFailure::Refused)?;
        let trusted = self.slots.trusted(&pairing, card);
        // Nobody types on a reader only to hear that the network is down.
        let given = pin.filter(|p| matches!(p, CardPin::Typed(_)));
        let (Some(pin), Ok(card), true) = (given, trusted, e.is_transient()) else {
            return Err(server_failure(&e));
        };
        let found = self
            .news
            .connect_where_the_card_says(reader, pin, &pairing, &card)
            .await;
        let Some(conn) = found else {
            return Err(server_failure(&e));
        };
        self.link.keep(conn);
        let (_, pairing) = self.identity.pairing().map_err(OpenFailure::Refused)?;
        self.link
            .prepare(&pairing)
            .await
            .map_err(|e| server_failure(&e))
    }

    fn newest_wrap(&self, card: &CardId) -> Result<(KeyObject, Wrap), OpenFailure> {
        let not_in_vault = || engine_failure(EngineError::NotInVault);
        let objects = self
            .database
            .stored(|s| s.key_objects())
            .map_err(engine_failure)?;
        let object = objects.last().cloned().ok_or_else(not_in_vault)?;
        let wrap = self
            .database
            .stored(|s| s.wrap(card))
            .map_err(engine_failure)?;
        let wrap = wrap.filter(|w| object.names(w)).ok_or_else(not_in_vault)?;
        Ok((object, wrap))
    }

    /// VERIFY and OPEN SESSION; a wrong PIN is asked for again while the card has tries. Answers the right one, too, for
    /// what else this opening needs it for.
    async fn open_on_card(
        &self,
        reader: &str,
        pin: &mut Option<CardPin>,
        opening: SessionRequest,
    ) -> Result<(Opened, Option<CardPin>), OpenFailure> {
        loop {
            let opened = self
                .pins
                .open(reader, pin.as_mut(), PadPurpose::Open, opening.clone());
            let error = match opened.await {
                Ok(opened) => {
                    // The PIN was verified; a repetition in this power-up needs it no more.
                    return Ok((opened, pin.take().map(CardPin::proven)));
                }
                Err(e) => e,
            };
            let (tries, retry) = match error.status() {
                Some(Status::Wrong {
                    tries_left: 1.., ..
                }) if pin.is_some() => (error.tries_left(), true),
                // Another program reset the card: the PIN has to be typed once more.
                Some(Status::RightMissing) if pin.is_none() => {
                    self.events.emit(Event::CardForgot(reader.to_owned()));
                    (None, false)
                }
                _ => return Err(error.into()),
            };
            let asked = self.pins.card_pin(tries, retry, reader).await;
            *pin = Some(asked.map_err(OpenFailure::NotGiven)?);
        }
    }

    /// Checks everything that the server said, opens the vault's keys and keeps the session.
    async fn take_over(
        &self,
        reader: &str,
        session: Session,
        answer: &SessionAnswer,
        opened: Opened,
        used: (&KeyObject, &Wrap),
        how: Opens,
    ) -> Result<Taken, OpenFailure> {
        let fail = |e: EngineError| engine_failure(e);
        let engine = self.engines.side_engine().ok_or(OpenFailure::Gone)?;
        let card_record = witness_of(opened.session.head.as_ref());
        let checked = engine
            .accept_key_objects(&session.card, &answer.key_objects, &answer.wraps)
            .and_then(|()| engine.verify_commits(&answer.commits));
        let verdict = match checked {
            Ok(mut commits) => {
                // A terminal that was away for long gets the rest in pieces before it judges.
                let mut got = commits.len();
                while got == COMMITS_PER_ANSWER {
                    for c in &commits {
                        engine.keep_commit(c).map_err(fail)?;
                    }
                    let after = self
                        .database
                        .stored(|s| s.witness())
                        .map_err(|e| fail(e.into()))?
                        .sequence;
                    let more = session
                        .conn
                        .commits(after)
                        .await
                        .map_err(|e| server_failure(&e))?;
                    commits = engine.verify_commits(&more.commits).map_err(fail)?;
                    got = commits.len();
                }
                match self.judge(&engine, &card_record, answer, &commits, how) {
                    Ok(verdict) | Err(EngineError::Head(verdict)) => verdict,
                    Err(e) => return Err(fail(e)),
                }
            }
            Err(EngineError::Head(verdict)) => verdict,
            Err(e) => return Err(fail(e)),
        };
        let reason = match &verdict {
            verdict if verdict.may_write() => None,
            Verdict::Unproven { .. } if how == Opens::AndEnds => None,
            Verdict::Unproven { .. } => {
                Some(self.restoring.unproven(&verdict, opened.session.writer))
            }
            other => Some(crate::reasons::engine_reason(&EngineError::Head(
                other.clone(),
            ))),
        };
        if let Some(reason) = reason {
            self.sessions.keep(reader, session, opened);
            return Ok(Taken::ReadOnly(reason));
        }
        let objects = self
            .database
            .stored(|s| s.key_objects())
            .map_err(|e| fail(e.into()))?;
        let newest = objects
            .last()
            .ok_or_else(|| fail(EngineError::NotInVault))?;
        if newest.body.terminal(&session.statement.terminal).is_none() {
            return Err(fail(EngineError::NotInVault));
        }
        if newest.body.epoch != used.0.body.epoch {
            return Ok(Taken::KeysChanged);
        }
        let vk = VaultKey::unwrap_with_card(used.0, used.1, &opened.session.secret)
            .map_err(|e| fail(e.into()))?;
        let ring = key_ring(vk, &objects).map_err(|e| fail(e.into()))?;
        self.sessions
            .keys()
            .put(ring, opened.generation)
            .map_err(|_| OpenFailure::Gone)?;
        self.sessions.keep(reader, session, opened);
        Ok(Taken::Open(verdict))
    }

    fn judge(
        &self,
        engine: &Engine,
        card: &Witness,
        answer: &SessionAnswer,
        commits: &[Commit],
        how: Opens,
    ) -> Result<Verdict, EngineError> {
        let verdict = engine.judge_card(card, commits)?;
        let ends = how == Opens::AndEnds && matches!(verdict, Verdict::Unproven { .. });
        if verdict.may_write() || ends {
            for commit in commits {
                engine.keep_commit(commit)?;
            }
            engine.check_head(answer.head.map(|h| (h.sequence, h.hash)))?;
        }
        Ok(verdict)
    }
}

/// Whether the card does not know this terminal.
fn is_unknown_there(why: &OpenFailure) -> bool {
    matches!(why, OpenFailure::Refused(reason) if reason.code == Code::TerminalNotOnCard)
}
