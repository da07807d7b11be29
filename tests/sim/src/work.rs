//! What a terminal does: sessions, syncs, tails, as the daemon does them.

use simsync_failpoint as failpoint;
use simsync_protocol::api::Narrow;
use simsync_protocol::client::ClientError;
use simsync_server::store::types::Known;
use simsync_server::testing::Opened;
use simsyncd::engine::{Answer, EngineError, SyncOptions, SyncReport};

use crate::check::{self, Broken};
use crate::ops::Work;
use crate::rig::enter;
use crate::world::World;

/// How some work ended.
pub enum Ended<T> {
    /// As it should.
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
        let opened = match self.opened(at).await {
            Ok(opened) => opened,
            Err(error) => {
                self.at_mut(at).link = None;
                let failed = Ended::<()>::Failed(error.into());
                return judge(failed, is_disturbed, "the card does not open a session").map(drop);
            }
        };
        let engine = self.at(at).terminal.engine.clone();
        let (card, ring) = self.person.opens();
        let entered = on_thread(move || enter(&engine, card, ring, opened)).await;
        let session = judge(entered, is_disturbed, "a session does not begin")?;
        self.at_mut(at).session = session;
        self.at_mut(at).is_stale = false;
        Ok(())
    }

    /// A session on the connection that is kept, or on a new one.
    async fn opened(&mut self, at: u8) -> Result<Opened, ClientError> {
        let link = match self.at(at).link.clone().filter(|c| !c.is_closed()) {
            Some(link) => link,
            None => self.at(at).terminal.soft.connect(&self.client(at)).await?,
        };
        let place = self.at_mut(at);
        place.link = Some(link.clone());
        let seen = place.terminal.engine.store.witness().unwrap();
        let known = Known {
            sequence: seen.sequence,
            list: seen.list_number,
        };
        let (place, card) = (self.at(at), &self.person.card);
        place.terminal.soft.open_on(link, card, known).await
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
        let (client, n) = (self.client(at), session.statement.n);
        let renewed: Result<_, ClientError> = async {
            let soft = &place.terminal.soft;
            let connection = soft.connect(&client).await?;
            soft.renew(&connection, &self.person.card, n).await?;
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
            let asks = !place.terminal.engine.store.questions().unwrap().is_empty();
            if !asks || is_disturbed {
                if closing {
                    self.ejected(at)?;
                }
                return Ok(Some(report));
            }
            options.answers = place.terminal.answered(Answer::Delete);
            if closing {
                // What closed is closed; the answer is given in a session of its own.
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
        check::no_key(place)
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
