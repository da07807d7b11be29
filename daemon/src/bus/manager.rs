//! The manager: what can be ordered, and the status as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use simsync_protocol::api::MovingTo;
use zbus::message::Header;
use zbus::{Connection, ObjectPath, OwnedObjectPath, interface};

use super::agents::{BusAgents, caller};
use super::args;
use super::error::{BusError, BusResult};
use super::job;
use super::lines::{CardLine, ConflictLine, LogLine, OutstandingLine};
use super::mirror::Shown;
use super::names::Kind;
use super::text::{carried, carried_or_empty};
use crate::api::{Command, Handle, Reason, SimStatus, Status};

pub struct Manager {
    handle: Handle,
    agents: BusAgents,
    shown: Shown<Arc<Status>>,
}

/// The bus knows no "nobody can tell": a word says it.
fn word(known: Option<bool>) -> String {
    match known {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    }
    .to_owned()
}

fn pair(reason: &Reason) -> (String, String) {
    (reason.code.as_str().to_owned(), carried(&reason.sentence))
}

impl Manager {
    /// The manager of a running service.
    pub fn new(handle: Handle, agents: BusAgents, status: Arc<Status>) -> Self {
        Self {
            handle,
            agents,
            shown: Shown::new(status),
        }
    }

    /// Shows another status.
    pub fn show(&self, status: Arc<Status>) {
        self.shown.set(status);
    }

    fn status(&self) -> Arc<Status> {
        self.shown.get().clone()
    }

    async fn command(
        &self,
        conn: &Connection,
        header: &Header<'_>,
        command: Command,
    ) -> BusResult<OwnedObjectPath> {
        let by = caller(conn, header.sender());
        let job = self.handle.command(command, Some(by)).await;
        let job = job.map_err(BusError::from)?;
        job::serve(conn, job).await
    }
}

/// simsync on this terminal.
#[interface(name = "org.simsync.SimSync1.Manager")]
impl Manager {
    /// Registers the caller's object at this path as one that can ask the person for PINs.
    async fn register_agent(
        &self,
        path: ObjectPath<'_>,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] conn: &Connection,
    ) -> Result<(), BusError> {
        self.agents
            .register(conn, header.sender(), &path, false)
            .await
    }

    /// The same, for a program that asks to be given prompts which nobody's command leads to, at an insertion for example. The
    /// first one is, for as long as it is there; DefaultAgent names it.
    async fn register_default_agent(
        &self,
        path: ObjectPath<'_>,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] conn: &Connection,
    ) -> Result<(), BusError> {
        self.agents
            .register(conn, header.sender(), &path, true)
            .await
    }

    /// Takes an agent of the caller's back.
    async fn unregister_agent(
        &self,
        path: ObjectPath<'_>,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), BusError> {
        self.agents.unregister(header.sender(), &path)
    }

    /// Asks for the PIN and opens the session, if a card of ours is in.
    #[zbus(out_args("job"))]
    async fn unlock(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] conn: &Connection,
    ) -> Result<OwnedObjectPath, BusError> {
        self.command(conn, &header, Command::Unlock).await
    }

    /// Pairs this terminal with the card that is in. Options: label (s).
    #[zbus(out_args("job"))]
    async fn pair(
        &self,
        mut options: args::Options,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] conn: &Connection,
    ) -> Result<OwnedObjectPath, BusError> {
        let label = args::take_line(&mut options, "label", args::LABEL_MAX)?;
        args::none_left(&options)?;
        self.command(conn, &header, Command::Pair { label }).await
    }

    /// Undoes the pairing, in good order.
    #[zbus(out_args("job"))]
    async fn unpair(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] conn: &Connection,
    ) -> Result<OwnedObjectPath, BusError> {
        self.command(conn, &header, Command::Unpair).await
    }

    /// Forgets the pairing on this terminal alone; neither card, server nor the other terminals are told.
    #[zbus(out_args("job"))]
    async fn forget_pairing(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] conn: &Connection,
    ) -> Result<OwnedObjectPath, BusError> {
        self.command(conn, &header, Command::ForgetPairing).await
    }

    /// Syncs now. Options: review (b), allow_deletions (b).
    #[zbus(out_args("job"))]
    async fn sync(
        &self,
        mut options: args::Options,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] conn: &Connection,
    ) -> Result<OwnedObjectPath, BusError> {
        let command = Command::Sync {
            review: args::take_bool(&mut options, "review")?,
            allow_deletions: args::take_bool(&mut options, "allow_deletions")?,
        };
        args::none_left(&options)?;
        self.command(conn, &header, command).await
    }

    /// Uploads everything and closes the session; the card can be taken then.
    #[zbus(out_args("job"))]
    async fn eject(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] conn: &Connection,
    ) -> Result<OwnedObjectPath, BusError> {
        self.command(conn, &header, Command::Eject).await
    }

    /// Registers a collection on this terminal: a new one, or one of the vault by its name or ID.
    #[zbus(out_args("job"))]
    async fn add_collection(
        &self,
        attribute: String,
        name: String,
        path: String,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] conn: &Connection,
    ) -> Result<OwnedObjectPath, BusError> {
        args::some_line("the attribute", &attribute, args::ATTRIBUTE_MAX)?;
        args::some_line("the name", &name, args::NAME_MAX)?;
        args::path("the folder", &path)?;
        let command = Command::AddCollection {
            attribute,
            name,
            path,
        };
        self.command(conn, &header, command).await
    }

    /// Answers for a collection of which much is missing here, by its name or ID: deleted (it is gone on purpose) or give-back.
    /// The question is the collection's Question as it was when it was shown; a yes to deletions is to that and no other.
    #[zbus(out_args("job"))]
    async fn answer_collection(
        &self,
        collection: String,
        answer: String,
        question: String,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] conn: &Connection,
    ) -> Result<OwnedObjectPath, BusError> {
        args::some_line("the collection", &collection, args::NAME_MAX)?;
        let deleted = match answer.as_str() {
            "deleted" => true,
            "give-back" => false,
            _ => {
                return Err(BusError::bad_argument(
                    "the answer must be deleted or give-back".to_owned(),
                ));
            }
        };
        args::line("the question", &question, args::NAME_MAX)?;
        let command = Command::AnswerCollection {
            collection,
            deleted,
            question,
        };
        self.command(conn, &header, command).await
    }

    /// Stops syncing a collection here, by its name or ID. Its files stay.
    #[zbus(out_args("job"))]
    async fn remove_collection(
        &self,
        collection: String,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] conn: &Connection,
    ) -> Result<OwnedObjectPath, BusError> {
        args::some_line("the collection", &collection, args::NAME_MAX)?;
        self.command(conn, &header, Command::RemoveCollection { collection })
            .await
    }

    /// Changes the card's PIN.
    #[zbus(out_args("job"))]
    async fn change_card_pin(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] conn: &Connection,
    ) -> Result<OwnedObjectPath, BusError> {
        self.command(conn, &header, Command::ChangeCardPin).await
    }

    /// Changes this terminal's PIN.
    #[zbus(out_args("job"))]
    async fn change_terminal_pin(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] conn: &Connection,
    ) -> Result<OwnedObjectPath, BusError> {
        self.command(conn, &header, Command::ChangeTerminalPin)
            .await
    }

    /// Stops waiting for a terminal's unfinished upload: its ID, the ID's beginning, or its label.
    #[zbus(out_args("job"))]
    async fn forget(
        &self,
        terminal: String,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] conn: &Connection,
    ) -> Result<OwnedObjectPath, BusError> {
        args::some_line("the terminal", &terminal, args::TERMINAL_MAX)?;
        self.command(conn, &header, Command::Forget { terminal })
            .await
    }

    /// One step of adding a card, the one that the cards in the readers allow: the new card tells its keys, or the card in
    /// use names it. The job's result: card, label, and next: main-card or new-card (put it in, and unlock).
    #[zbus(out_args("job"))]
    async fn add_card(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] conn: &Connection,
    ) -> Result<OwnedObjectPath, BusError> {
        self.command(conn, &header, Command::AddCard).await
    }

    /// Agrees that the server moves: the address and the pin of ServerMovesTo, as they were shown.
    #[zbus(out_args("job"))]
    async fn confirm_server(
        &self,
        address: String,
        ca_pin: String,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] conn: &Connection,
    ) -> Result<OwnedObjectPath, BusError> {
        let bad = |e: &dyn std::fmt::Display| BusError::bad_argument(e.to_string());
        let to = MovingTo {
            address: args::some_line("the address", &address, args::TERMINAL_MAX)?
                .parse()
                .map_err(|e| bad(&e))?,
            ca_pin: args::some_line("the pin", &ca_pin, args::TERMINAL_MAX)?
                .parse()
                .map_err(|e| bad(&e))?,
        };
        self.command(conn, &header, Command::ConfirmServer { to })
            .await
    }

    /// Goes on from what the server shows where the card's record is ahead of it and nobody can prove that: with the PIN, a
    /// new key of the vault, and the card's signature. For a session that may only read.
    #[zbus(out_args("job"))]
    async fn accept_restored(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] conn: &Connection,
    ) -> Result<OwnedObjectPath, BusError> {
        self.command(conn, &header, Command::AcceptRestored).await
    }

    /// Takes a lost card out of the vault, by its ID or the ID's beginning: a new key without it, and revoked at the server.
    #[zbus(out_args("job"))]
    async fn remove_card(
        &self,
        card: String,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] conn: &Connection,
    ) -> Result<OwnedObjectPath, BusError> {
        args::some_line("the card", &card, args::TERMINAL_MAX)?;
        self.command(conn, &header, Command::RemoveCard { card })
            .await
    }

    /// Takes a lost terminal off the card and out of the vault: its ID, the ID's beginning, or its label.
    #[zbus(out_args("job"))]
    async fn remove_terminal(
        &self,
        terminal: String,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] conn: &Connection,
    ) -> Result<OwnedObjectPath, BusError> {
        args::some_line("the terminal", &terminal, args::TERMINAL_MAX)?;
        self.command(conn, &header, Command::RemoveTerminal { terminal })
            .await
    }

    /// The person's cards: card (s), in_use (b), used_here (b).
    #[zbus(out_args("entries"))]
    async fn cards(
        &self,
        // As below.
        #[zbus(header)] _header: Header<'_>,
    ) -> Result<Vec<CardLine>, BusError> {
        let entries = self.handle.cards().await?;
        Ok(entries.into_iter().map(CardLine::from).collect())
    }

    /// The newest commits, newest first: sequence (t), hash, terminal, label (s), session (u), closing (b), tails (u).
    #[zbus(out_args("entries"))]
    async fn log(&self, limit: u32) -> Result<Vec<LogLine>, BusError> {
        let entries = self.handle.log(limit.min(args::LOG_MAX)).await?;
        Ok(entries.into_iter().map(LogLine::from).collect())
    }

    /// What is not where it should be, oldest first: code, collection, path, detail, remedy (s), since_ms (x), count (t),
    /// needs_person (b). NeedAttention and TriedAgain signal when it changes.
    #[zbus(out_args("entries"))]
    async fn outstanding(
        &self,
        // As below.
        #[zbus(header)] _header: Header<'_>,
    ) -> Result<Vec<OutstandingLine>, BusError> {
        let entries = self.handle.outstanding().await?;
        Ok(entries.into_iter().map(OutstandingLine::from).collect())
    }

    /// Versions that were kept aside: id (x), collection, path, aside (s), time_ms (x).
    #[zbus(out_args("entries"))]
    async fn conflicts(
        &self,
        // Without any parameter the bus library would let arguments pass unseen.
        #[zbus(header)] _header: Header<'_>,
    ) -> Result<Vec<ConflictLine>, BusError> {
        let entries = self.handle.conflicts().await?;
        Ok(entries.into_iter().map(ConflictLine::from).collect())
    }

    /// The daemon's version.
    #[zbus(property(emits_changed_signal = "const"))]
    async fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// unpaired, pairing, waiting, locked, opening, synced, syncing, pending, offline, attention, closing, read-only or closed.
    #[zbus(property)]
    async fn state(&self) -> String {
        self.status().state.as_str().to_owned()
    }

    /// Why nothing happens, or what is in the way: codes and sentences.
    #[zbus(property)]
    async fn pause_reasons(&self) -> Vec<(String, String)> {
        self.status().reasons.iter().map(pair).collect()
    }

    /// The subscriber, or empty while not paired.
    #[zbus(property)]
    async fn subscriber(&self) -> String {
        carried_or_empty(self.status().subscriber.as_ref())
    }

    /// This terminal's ID, or empty while it has none.
    #[zbus(property)]
    async fn terminal_id(&self) -> String {
        carried_or_empty(self.status().terminal.as_ref())
    }

    /// This terminal's label.
    #[zbus(property)]
    async fn label(&self) -> String {
        carried(&self.status().label)
    }

    /// The server, or empty while not paired.
    #[zbus(property)]
    async fn server(&self) -> String {
        carried_or_empty(self.status().server.as_ref())
    }

    /// Whether the server answers: yes, no or unknown.
    #[zbus(property)]
    async fn online(&self) -> String {
        word(self.status().online)
    }

    /// Where the server announces to move, and the pin of its CA there, in hex; both empty if nothing is to be agreed to.
    #[zbus(property)]
    async fn server_moves_to(&self) -> (String, String) {
        let status = self.status();
        let to = status.server_moves.as_ref();
        to.map(|(a, p)| (carried(a), carried(p)))
            .unwrap_or_default()
    }

    /// Whether the login session is the active one: yes, no or unknown.
    #[zbus(property)]
    async fn login_active(&self) -> String {
        word(self.status().login_active)
    }

    /// Whether the login session is locked: yes, no or unknown.
    #[zbus(property)]
    async fn login_locked(&self) -> String {
        word(self.status().login_locked)
    }

    /// The terminal's key is unsealed.
    #[zbus(property)]
    async fn unsealed(&self) -> bool {
        self.status().unsealed
    }

    /// Number of the open session on the card, or 0.
    #[zbus(property)]
    async fn session(&self) -> u32 {
        self.status().session.unwrap_or_default()
    }

    /// Sequence number of the newest commit known here.
    #[zbus(property)]
    async fn sequence(&self) -> u64 {
        self.status().sequence
    }

    /// Sealed changes that wait to be delivered.
    #[zbus(property)]
    async fn tails_waiting(&self) -> u32 {
        self.status().tails_waiting
    }

    /// Files whose sealed changes wait to be delivered.
    #[zbus(property)]
    async fn sealed_changes(&self) -> u64 {
        self.status().sealed_changes
    }

    /// Conflicts that were kept as both.
    #[zbus(property)]
    async fn conflict_count(&self) -> u32 {
        self.status().conflicts
    }

    /// How many paths are not in sync until a person does something.
    #[zbus(property)]
    async fn need_attention(&self) -> u64 {
        self.status().need_attention
    }

    /// How many paths are not in sync yet, and are tried again by themselves.
    #[zbus(property)]
    async fn tried_again(&self) -> u64 {
        self.status().tried_again
    }

    /// When the last sync ended well, milliseconds since 1970, or 0.
    #[zbus(property)]
    async fn last_sync(&self) -> i64 {
        self.status().last_sync_ms.unwrap_or_default()
    }

    /// The last thing that went wrong: code and sentence, both empty if nothing did.
    #[zbus(property)]
    async fn last_error(&self) -> (String, String) {
        let status = self.status();
        status.last_error.as_ref().map(pair).unwrap_or_default()
    }

    /// Times of the last handover in milliseconds since 1970, by name.
    #[zbus(property)]
    async fn marks(&self) -> BTreeMap<String, i64> {
        self.status().marks.clone()
    }

    /// What the last removal left, by name: items, referenced, left, bytes.
    #[zbus(property)]
    async fn last_tail(&self) -> BTreeMap<String, u64> {
        self.status().last_tail.clone()
    }

    /// SIMs in modems and readers: the last digits of the number, where it is, and whether the owner registered it. They
    /// are presence, and unlock nothing.
    #[zbus(property)]
    async fn sims(&self) -> Vec<(String, String, bool)> {
        let status = self.status();
        let line = |s: &SimStatus| (carried(&s.iccid), carried(&s.place), s.registered);
        status.sims.iter().map(line).collect()
    }

    /// Jobs that run.
    #[zbus(property)]
    async fn jobs(&self) -> Vec<OwnedObjectPath> {
        let status = self.status();
        let path = |id: &u64| Kind::Job.path(&id.to_string());
        status.jobs.iter().map(path).collect()
    }

    /// Whether anybody is registered who can ask for a PIN.
    #[zbus(property)]
    async fn has_agent(&self) -> bool {
        self.agents.shown().borrow().any
    }

    /// The program that prompts go to which nobody's command leads to; empty if there is none.
    #[zbus(property)]
    async fn default_agent(&self) -> String {
        self.agents.shown().borrow().default.clone()
    }
}
