//! The card and the session that is open on it: what the card gave, the vault's keys, and their end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use simsync_card::client::{HeadRecord, OpenedSession, Slot, Slots, Token, UnsettledSession};
use simsync_card::ids::CardId;
use simsync_codes::Code;
use simsync_protocol::api::Narrow;
use simsync_protocol::client::Connection;
use simsync_vault::commit::SessionRef;
use simsync_vault::statement::SessionStatement;
use tokio::sync::OwnedMutexGuard;

use super::card_ops::{self, CARD_DEADLINE, GoOn, Opened};
use crate::api::{Failure, Reason};
use crate::card::{CardEvent, CardHandle};
use crate::database::Database;
use crate::engine::{KeyCell, Session};
use crate::notes::Notes;
use crate::reasons::card_reason;
use crate::rules::Event;
use crate::store::StoreError;

/// How long a tail waits for the server to hear of the removal first.
const NARROW_DEADLINE: Duration = Duration::from_secs(5);

/// The open session: its card, and what card and server said when it was opened.
#[derive(Clone)]
pub struct OpenSession {
    /// The card's reader.
    pub reader: String,
    /// What engines need of it: statement, connection, and keys of the card.
    pub session: Session,
    /// The card's token for RENEW and PUT HEAD.
    pub token: Token,
    /// The card's head record.
    pub record: Option<HeadRecord>,
    /// Sessions that were unsettled on the card before this one.
    pub unsettled: Vec<UnsettledSession>,
    /// When the card's head record was last brought up to date.
    pub head_put: Option<Instant>,
    /// The newest commit that the card knows of, and the list.
    pub head_known: (u64, u32),
    /// This terminal's slot on the card, once it was asked for: the session is closed by it.
    own_slot: Option<Slot>,
}

/// The cards in the readers, and the one session that may be open on one of them.
pub struct CardSessions {
    card: CardHandle,
    keys: KeyCell,
    database: Arc<Database>,
    notes: Arc<Notes>,
    live: Mutex<Option<OpenSession>>,
    /// The session that the card opened last and that is not over, whatever came of it. After a restart there is none: the card's
    /// power or our connection is gone.
    begun: Mutex<Option<SessionRef>>,
    /// A first look that holds the card in this reader, and the way to go on with it.
    held: Mutex<Option<(String, Sender<GoOn>)>>,
    /// Readers with a card in.
    readers: Mutex<BTreeSet<String>>,
    /// Held while the server is told of a removal, and while tails are delivered.
    delivering: Arc<tokio::sync::Mutex<()>>,
}

/// The failure of what needs a session.
fn locked() -> Failure {
    Failure::new(Code::Locked, "no session is open; run `simsync unlock`")
}

impl CardSessions {
    /// None is open. `keys` is the cell that the engines borrow the vault's keys from.
    pub fn new(
        card: CardHandle,
        keys: KeyCell,
        database: Arc<Database>,
        notes: Arc<Notes>,
    ) -> Self {
        Self {
            card,
            keys,
            database,
            notes,
            live: Mutex::default(),
            begun: Mutex::default(),
            held: Mutex::default(),
            readers: Mutex::default(),
            delivering: Arc::default(),
        }
    }

    /// The way to the cards.
    pub fn card(&self) -> &CardHandle {
        &self.card
    }

    /// The vault's keys while a session is open.
    pub fn keys(&self) -> &KeyCell {
        &self.keys
    }

    /// Follows cards as they come and go.
    pub fn note(&self, event: &Event) {
        match event {
            Event::Card(CardEvent::CardInserted(reader)) => {
                self.readers.lock().insert(reader.clone());
            }
            Event::Card(CardEvent::CardRemoved(reader)) => {
                self.readers.lock().remove(reader);
            }
            _ => {}
        }
    }

    /// Names of the readers with a card in, whoever's card it is, in byte order.
    pub fn card_readers(&self) -> Vec<String> {
        self.readers.lock().iter().cloned().collect()
    }

    /// The reader of the session's card, or the first with any card.
    pub fn any_card(&self) -> Result<String, Failure> {
        if let Some(live) = &*self.live.lock() {
            return Ok(live.reader.clone());
        }
        self.card_readers()
            .into_iter()
            .next()
            .ok_or_else(|| Failure::new(Code::NoCard, "no card is in; put it in"))
    }

    /// The open session, as it is now.
    pub fn live(&self) -> Option<OpenSession> {
        self.live.lock().clone()
    }

    /// The same, for a command that needs one.
    pub fn needed(&self) -> Result<OpenSession, Failure> {
        self.live().ok_or_else(locked)
    }

    /// Whether a session is open.
    pub fn is_open(&self) -> bool {
        self.live.lock().is_some()
    }

    /// The open session, for the engine.
    pub fn session(&self) -> Option<Session> {
        self.live.lock().as_ref().map(|l| l.session.clone())
    }

    /// The reader and card of the open session.
    pub fn session_card(&self) -> Result<(String, CardId), Failure> {
        let live = self.live.lock();
        let of = |l: &OpenSession| (l.reader.clone(), l.session.card.id);
        live.as_ref().map(of).ok_or_else(locked)
    }

    /// Whether the open session is on the card in this reader. A SELECT would end there what the session opened.
    pub fn is_in_session(&self, reader: &str) -> bool {
        self.live
            .lock()
            .as_ref()
            .is_some_and(|l| l.reader == reader)
    }

    /// The card opened a session: from here on it waits for a closing commit or a tail, whatever the network does.
    pub fn begins(&self, statement: &SessionStatement) -> Result<(), StoreError> {
        let session = SessionRef {
            card: statement.card,
            n: statement.n,
        };
        *self.begun.lock() = Some(session);
        self.database.stored(|s| s.add_session(statement))
    }

    /// The newest commit and the newest key object that this terminal knows.
    pub fn known(&self) -> Result<(u64, u32), StoreError> {
        let witness = self.database.stored(|s| s.witness())?;
        Ok((witness.sequence, witness.list_number))
    }

    /// The session that is not over.
    pub fn begun(&self) -> Option<SessionRef> {
        *self.begun.lock()
    }

    /// Keeps a session that card and server opened.
    pub fn keep(&self, reader: &str, session: Session, opened: Opened) {
        let OpenedSession { token, head, .. } = opened.session;
        *self.live.lock() = Some(OpenSession {
            reader: reader.to_owned(),
            session,
            token,
            record: head,
            unsettled: opened.unsettled,
            own_slot: None,
            head_put: None,
            head_known: head.map_or((0, 0), |h| (h.sequence, h.list_number)),
        });
    }

    /// The grant is on another connection now.
    pub fn is_on(&self, conn: Connection) {
        if let Some(live) = &mut *self.live.lock() {
            live.session.conn = conn;
        }
    }

    /// The card carries this record now, and settled these slots.
    pub fn head_is_put(&self, record: HeadRecord, settled: Slots) {
        if let Some(live) = &mut *self.live.lock() {
            live.record = Some(record);
            live.head_put = Some(Instant::now());
            live.head_known = (record.sequence, record.list_number);
            live.unsettled.retain(|u| !settled.contains(u.slot));
        }
    }

    /// Before a PIN is typed for something else in the middle of a session: the card tells the slot, which the session is closed
    /// by, only while the PIN is verified. A wrong PIN ends that, and so does a new one.
    pub async fn note_own_slot(&self, reader: &str) {
        let statement = self.session().map(|s| s.statement);
        if let Some(statement) = statement.filter(|_| self.is_in_session(reader))
            && let Err(why) = self.own_slot(reader, &statement).await
        {
            tracing::info!(code = %why.code, "{}", why.sentence);
        }
    }

    /// The slot of this session on its card, if it has one.
    pub async fn own_slot(
        &self,
        reader: &str,
        statement: &SessionStatement,
    ) -> Result<Option<Slot>, Reason> {
        if let Some(known) = self.live.lock().as_ref().and_then(|l| l.own_slot) {
            return Ok(Some(known));
        }
        let own = self
            .card
            .run(reader, CARD_DEADLINE, move |card| {
                let mut applet = card_ops::transaction(card)?;
                Ok(applet.unsettled_sessions()?)
            })
            .await
            .map_err(|e| card_reason(&e))?;
        let own = own
            .iter()
            .find(|u| u.terminal == statement.terminal.0[..8] && u.n <= statement.n)
            .map(|u| u.slot);
        if let Some(live) = &mut *self.live.lock()
            && live.session.statement == *statement
        {
            live.own_slot = own;
        }
        Ok(own)
    }

    /// Notes that a first look holds the card in this reader.
    pub fn hold(&self, reader: &str, go_on: Sender<GoOn>) {
        *self.held.lock() = Some((reader.to_owned(), go_on));
    }

    /// The hold on this reader's card, if there may be one still.
    pub fn take_hold(&self, reader: &str) -> Option<Sender<GoOn>> {
        self.held
            .lock()
            .take()
            .filter(|(r, _)| r == reader)
            .map(|(_, go_on)| go_on)
    }

    /// The session is over: keys first, then the card's token, then the server is told.
    pub fn wipe(&self) {
        self.keys.wipe();
        self.notes.mark("wiped");
        *self.begun.lock() = None;
        let Some(live) = self.live.lock().take() else {
            return;
        };
        self.card.disconnect(&live.reader);
        let conn = live.session.conn;
        // The tail goes over the same connection, where a grant that was narrowed would be in its way.
        let first = self.delivering.clone().try_lock_owned();
        tokio::spawn(async move {
            let told = conn.narrow(Narrow::Removed);
            let told = tokio::time::timeout(NARROW_DEADLINE, told).await;
            conn.set_grant(None);
            drop(first);
            if !matches!(told, Ok(Ok(()))) {
                tracing::info!("the server was not told of the removal; the grant ends by itself");
            }
        });
    }

    /// Waits until tails may be delivered: by one at a time, and after the server heard of a removal.
    pub async fn delivery_turn(&self) -> OwnedMutexGuard<()> {
        self.delivering.clone().lock_owned().await
    }
}
