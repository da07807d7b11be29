//! What a terminal does: sessions, syncs, tails, as the daemon does them.

use simsync_card::client::{OpenedSession, Slot, UnsettledSession};
use simsync_failpoint as failpoint;
use simsync_protocol::api::{
    COMMITS_PER_ANSWER, Narrow, OpenSessionRequest, RenewRequest, SessionAnswer,
};
use simsync_protocol::client::ClientError;
use simsync_vault::commit::SessionRef;
use simsync_vault::keyobject::Wrap;
use simsync_vault::keys::{KeyRing, VaultKey};
use simsync_vault::statement::SessionStatement;
use simsyncd::engine::{Answer, Engine, EngineError, Session, SyncOptions, SyncReport, key_ring};
use simsyncd::session::witness_of;

use crate::check::{self, Broken};
use crate::ops::Work;
use crate::world::World;

/// How some work ended.
pub enum Ended<T> {
    /// It came to its end, with this.
    Done(T),
    /// It said why it did not go on.
    Failed(EngineError),
    /// Its daemon was killed.
    Killed,
}

/// Runs work of an engine on a thread of its own.
pub async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Ended<T> {
    let result = tokio::task::spawn_blocking(work).await;
    match result {
        _ if failpoint::is_dead("daemon") => Ended::Killed,
        Ok(Ok(done)) => Ended::Done(done),
        Ok(Err(error)) => Ended::Failed(error),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// What may fail only where something is in the way.
fn judge<T>(ended: Ended<T>, is_disturbed: bool, what: &str) -> Result<Option<T>, Broken> {
    match ended {
        Ended::Done(done) => Ok(Some(done)),
        Ended::Failed(error) if !is_disturbed => Err(Broken::new(format!("{what}: {error:?}"))),
        Ended::Failed(_) | Ended::Killed => Ok(None),
    }
}

/// Checks everything that the server said, as the daemon does, and opens the vault's keys with what the card made of a wrap.
fn take_over(
    engine: &Engine,
    session: &Session,
    answer: &SessionAnswer,
    given: &OpenedSession,
    wrap: &Wrap,
) -> Result<Box<KeyRing>, EngineError> {
    engine.accept_key_objects(&session.card, &answer.key_objects, &answer.wraps)?;
    let mut commits = engine.verify_commits(&answer.commits)?;
    let mut got = commits.len();
    while got == COMMITS_PER_ANSWER {
        for commit in &commits {
            engine.keep_commit(commit)?;
        }
        let after = engine.store.witness()?.sequence;
        let more = engine.runtime.block_on(session.conn.commits(after))?;
        commits = engine.verify_commits(&more.commits)?;
        got = commits.len();
    }
    let verdict = engine.judge_card(&witness_of(given.head.as_ref()), &commits)?;
    if !verdict.may_write() {
        return Err(EngineError::Head(verdict));
    }
    for commit in &commits {
        engine.keep_commit(commit)?;
    }
    engine.check_head(answer.head.map(|h| (h.sequence, h.hash)))?;
    let objects = engine.store.key_objects()?;
    let newest = objects.last().ok_or(EngineError::NotInVault)?;
    let key = VaultKey::unwrap_with_card(newest, wrap, &given.secret)?;
    Ok(key_ring(key, &objects)?)
}

impl World {
    /// A terminal works; `is_disturbed`: it may fail.
    pub async fn work(&mut self, at: u8, work: Work, is_disturbed: bool) -> Result<(), Broken> {
        match work {
            Work::Insert => self.insert(at, is_disturbed).await,
            Work::Sync => self.sync(at, false, is_disturbed).await.map(drop),
            Work::Eject => self.sync(at, true, is_disturbed).await.map(drop),
            Work::Yank => self.pulled(at, is_disturbed).await,
            Work::Deliver => self.deliver(at, is_disturbed).await,
        }
    }

    /// There is one card: whoever wants it here takes it out elsewhere.
    pub async fn take_card_from_others(&mut self, to: u8) -> Result<(), Broken> {
        for other in 0..crate::ops::TERMINALS {
            if other != to && self.at(other).session.is_some() {
                self.pulled(other, true).await?;
            }
        }
        Ok(())
    }

    /// The card is put in and the PIN typed.
    pub async fn insert(&mut self, at: u8, is_disturbed: bool) -> Result<(), Broken> {
        if self.at(at).session.is_some() {
            return self.renew(at).await;
        }
        self.take_card_from_others(at).await?;
        match self.opened(at).await {
            Ended::Done(session) => {
                let place = self.at_mut(at);
                place.session = Some(session);
                place.is_stale = false;
                Ok(())
            }
            Ended::Killed => Ok(()),
            failed @ Ended::Failed(_) => {
                // The card counts a session that nobody has: whoever takes it out ends it.
                self.pulled(at, true).await?;
                judge(failed, is_disturbed, "the card does not open a session").map(drop)
            }
        }
    }

    /// A session, as the daemon opens it.
    pub async fn opened(&mut self, at: u8) -> Ended<Session> {
        match self.try_open(at).await {
            Ok(ended) => ended,
            Err(error) => {
                self.at_mut(at).link = None;
                Ended::Failed(error.into())
            }
        }
    }

    /// On the connection that is kept, or on a new one.
    async fn try_open(&mut self, at: u8) -> Result<Ended<Session>, ClientError> {
        let link = match self.at(at).link.clone().filter(|c| !c.is_closed()) {
            Some(link) => link,
            None => self.at(at).terminal.soft.connect(&self.client(at)).await?,
        };
        self.at_mut(at).link = Some(link.clone());
        let card = self.person.trusted();
        let engine = self.at(at).terminal.engine.clone();
        if engine.store.key_objects().unwrap().is_empty() {
            let objects = link.key_objects(0).await?.key_objects;
            let wraps = link.key_object().await?.wraps;
            let engine = engine.clone();
            let accepts = move || engine.accept_key_objects(&card, &objects, &wraps);
            match on_thread(accepts).await {
                Ended::Done(()) => {}
                Ended::Failed(error) => return Ok(Ended::Failed(error)),
                Ended::Killed => return Ok(Ended::Killed),
            }
        }
        let wrap = engine.store.wrap(&card.id).unwrap().unwrap();
        let n = usize::from(at) % self.places.len();
        let soft = &self.places[n].terminal.soft;
        let (nonce, binding) = soft.binding(&link).await?;
        let generation = engine.keys.generation();
        let given = self.card.open(soft, binding, wrap.enc);
        let statement = SessionStatement {
            card: card.id,
            n: given.n,
            terminal: soft.id(),
            binding,
            sig: given.sig.clone(),
        };
        // It is noted first: the card waits for its end, whatever the network does.
        let (store, noted) = (engine.store.clone(), statement.clone());
        match on_thread(move || Ok(store.add_session(&noted)?)).await {
            Ended::Done(()) => {}
            Ended::Failed(error) => return Ok(Ended::Failed(error)),
            Ended::Killed => return Ok(Ended::Killed),
        }
        let seen = engine.store.witness().unwrap();
        let request = OpenSessionRequest {
            statement: statement.clone(),
            nonce,
            known_sequence: seen.sequence,
            known_list: seen.list_number,
        };
        let answer = link.open_session(&request).await?;
        let session = Session {
            statement,
            conn: link,
            card,
        };
        let takes = move || {
            let keys = take_over(&engine, &session, &answer, &given, &wrap)?;
            engine.keys.put(keys, generation)?;
            Ok(session)
        };
        Ok(on_thread(takes).await)
    }

    /// The card carries the newest head on; with `closes`, its session ends in good order.
    pub fn tell_card(&mut self, at: u8, closes: bool) {
        let n = usize::from(at) % self.places.len();
        let (places, card) = (&self.places, self.person.card.id);
        if places[n].session.is_none() || failpoint::is_dead("daemon") {
            return;
        }
        let (engine, own) = (&places[n].terminal.engine, places[n].terminal.soft.id());
        let is_closed = |u: &UnsettledSession| {
            let mut all = places.iter().map(|p| p.terminal.soft.id());
            let of = all.find(|t| t.0.starts_with(&u.terminal) && *t != own);
            let session = SessionRef { card, n: u.n };
            of.is_some_and(|t| engine.is_closed(&session, &t).unwrap())
        };
        let slot = u8::try_from(n).ok().and_then(Slot::new);
        self.card
            .put_head(&engine.store, is_closed, slot.filter(|_| closes));
    }

    /// The grant is renewed on a new connection, if the old one is gone. If that cannot be, the session is over.
    async fn renew(&mut self, at: u8) -> Result<(), Broken> {
        let place = self.at(at);
        if !place.is_stale || place.wire.is_cut() {
            return Ok(());
        }
        let Some(session) = &place.session else {
            return Ok(());
        };
        let session = SessionRef {
            card: session.statement.card,
            n: session.statement.n,
        };
        let client = self.client(at);
        let renewed: Result<_, ClientError> = async {
            let soft = &self.places[usize::from(at) % self.places.len()]
                .terminal
                .soft;
            let connection = soft.connect(&client).await?;
            let (nonce, binding) = soft.binding(&connection).await?;
            let request = RenewRequest {
                session,
                nonce,
                signature: self.card.renew(&binding).unwrap(),
                known_sequence: 0,
                known_list: 0,
            };
            connection.renew(&request).await?;
            Ok(connection)
        }
        .await;
        match renewed {
            Ok(connection) => {
                let place = self.at_mut(at);
                place.link = Some(connection.clone());
                if let Some(session) = &mut place.session {
                    session.conn = connection;
                }
                place.is_stale = false;
                Ok(())
            }
            Err(_) => self.pulled(at, true).await,
        }
    }

    /// How many commits the server has.
    pub async fn head(&self) -> u64 {
        let (app, subscriber) = (self.person.server.app(), self.person.subscriber.clone());
        let head = app.chain().head(subscriber).await.unwrap();
        head.map_or(0, |h| h.sequence)
    }

    /// A sync, with the card put in before if need be. Answers what it did, if it was finished.
    pub async fn sync(
        &mut self,
        at: u8,
        closing: bool,
        is_disturbed: bool,
    ) -> Result<Option<SyncReport>, Broken> {
        self.insert(at, is_disturbed).await?;
        let mut options = SyncOptions {
            closing,
            ..SyncOptions::default()
        };
        // A question about much that is gone is answered with yes: people here delete on purpose.
        for _ in 0..4 {
            let Some(session) = self.at(at).session.clone() else {
                return Ok(None);
            };
            if failpoint::is_dead("daemon") {
                return Ok(None);
            }
            let before = self.head().await;
            let engine = self.at(at).terminal.engine.clone();
            let now = options.clone();
            let ended = on_thread(move || engine.sync(&session, now, None)).await;
            let Some(report) = judge(ended, is_disturbed, "a sync ends")? else {
                self.is_unheard |= self.head().await > before;
                return Ok(None);
            };
            let place = self.at(at);
            if !is_disturbed || self.is_lying {
                check::status_is_true(place, &report)?;
            }
            let sequence = place.terminal.engine.store.witness().unwrap().sequence;
            let asks = !place.terminal.engine.store.questions().unwrap().is_empty();
            if !asks || is_disturbed {
                // Its memory wears out: it is not told each time.
                if closing || sequence.is_multiple_of(2) {
                    self.tell_card(at, closing);
                }
                if closing {
                    self.ejected(at)?;
                }
                return Ok(Some(report));
            }
            options.answers = place.terminal.answered(Answer::Delete);
            if closing {
                // What closed is closed; the answer is given in a session of its own.
                self.tell_card(at, true);
                self.ejected(at)?;
                self.insert(at, is_disturbed).await?;
            }
        }
        Err(Broken::new(
            "a question is asked again and again".to_owned(),
        ))
    }

    /// After `simsync eject`.
    fn ejected(&mut self, at: u8) -> Result<(), Broken> {
        let place = self.at_mut(at);
        place.terminal.engine.keys.wipe();
        place.session = None;
        self.card.pulled();
        check::no_key(self.at(at))
    }

    /// The card is pulled: keys away, the server told, a tail made.
    pub async fn pulled(&mut self, at: u8, is_disturbed: bool) -> Result<(), Broken> {
        let place = self.at_mut(at);
        place.terminal.engine.keys.wipe();
        place.terminal.engine.cancel.cancel();
        check::no_key(place)?;
        if let Some(session) = place.session.take() {
            if !place.wire.is_cut() && !place.is_stale {
                // Where it cannot be told, the grant ends by itself.
                let _ = session.conn.narrow(Narrow::Removed).await;
            }
            session.conn.set_grant(None);
            self.card.pulled();
        }
        self.uncancel(at);
        self.seal(at, is_disturbed).await?;
        check::no_key(self.at(at))
    }

    /// Seals what is left of the newest session that ended.
    pub async fn seal(&mut self, at: u8, is_disturbed: bool) -> Result<(), Broken> {
        let place = self.at(at);
        let engine = place.terminal.engine.clone();
        let outbox = place.terminal.dir.path().join("outbox");
        let sealed = on_thread(move || {
            let sessions = engine.store.own_sessions()?;
            let newest = sessions.iter().max_by_key(|s| s.statement.n);
            match newest.filter(|s| s.tail.is_none()) {
                Some(s) => Ok(engine.make_tail(&s.statement, &outbox)?.items),
                None => Ok(0),
            }
        });
        judge(sealed.await, is_disturbed, "a tail is not sealed").map(drop)
    }

    /// Tails that wait go to the server, by certificate alone.
    pub async fn deliver(&mut self, at: u8, is_disturbed: bool) -> Result<(), Broken> {
        let own = self.at(at).terminal.engine.store.own_sessions().unwrap();
        if !own.iter().any(|s| s.tail.is_some() && !s.delivered) {
            return Ok(());
        }
        let (place, client) = (self.at(at), self.client(at));
        let engine = place.terminal.engine.clone();
        let outbox = place.terminal.dir.path().join("outbox");
        let conn = match place.terminal.soft.connect(&client).await {
            Ok(conn) => conn,
            Err(error) => {
                let failed = Ended::<()>::Failed(error.into());
                return judge(failed, is_disturbed, "no connection for tails").map(drop);
            }
        };
        let delivered = on_thread(move || engine.deliver_tails(&conn, &outbox)).await;
        judge(delivered, is_disturbed, "tails are not delivered").map(drop)
    }
}
