//! The operator's orders: the same whether they come through a running server's socket or go to the store directly.

pub mod issued;
pub mod people;
pub mod socket;

use serde::{Deserialize, Serialize};
use simsync_card::ids::{CardId, Hash, SubscriberId, TerminalId};
use simsync_protocol::api::MovingTo;
use simsync_protocol::enrolment::EnrolmentCode;
use simsync_protocol::problem::{Code, Problem};

use crate::code::{self, CODE_SECONDS};
use crate::http::reply::{OrProblem as _, internal};
use crate::store::Store;
use crate::store::audit::{self, AuditRow, BrokenChain};
use crate::store::roles::{Audit, Subscribers};
use crate::store::types::{
    Actor, AddSubscriber, CardRow, NewCode, Seconds, SubscriberRow, SubscriberState, TerminalRow,
};

/// Longest label, in bytes.
const LABEL_MAX: usize = 64;

/// An order of the operator's: one JSON object on the socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case", deny_unknown_fields)]
pub enum AdminCommand {
    /// A new subscriber with an enrolment code.
    SubscriberAdd {
        /// What the operator calls it.
        label: String,
        /// Its ID; drawn if not given.
        id: Option<SubscriberId>,
    },
    /// New subscribers with a code each, all or none.
    SubscriberImport {
        /// The people of the list, in its order.
        people: Vec<people::NewPerson>,
        /// Only look whether it could be done.
        dry_run: bool,
    },
    /// Another enrolment code; an earlier unused one ends.
    SubscriberCode {
        /// The subscriber who gets it.
        id: SubscriberId,
    },
    /// All subscribers.
    SubscriberList,
    /// One subscriber with its cards and terminals.
    SubscriberShow {
        /// The subscriber that is meant.
        id: SubscriberId,
    },
    /// Suspends, resumes or removes.
    SubscriberSet {
        /// The subscriber to change.
        id: SubscriberId,
        /// The state from now on. A removed subscriber stays removed.
        state: SubscriberState,
    },
    /// Cards of one subscriber, or all.
    CardList {
        /// The subscriber whose they are; none: all subscribers.
        subscriber: Option<SubscriberId>,
    },
    /// Compares cards that a desk issued with those that are enrolled.
    CardCheck {
        /// Those of the desk.
        cards: Vec<issued::Issued>,
    },
    /// Revokes a card, at once and for good. Its subscriber follows from it.
    CardRevoke {
        /// The card that is meant.
        card: CardId,
    },
    /// Terminals of one subscriber, or all.
    TerminalList {
        /// The subscriber whose they are; none: all subscribers.
        subscriber: Option<SubscriberId>,
    },
    /// Revokes a terminal, at once and for good. Its subscriber follows from it.
    TerminalRevoke {
        /// The terminal that is meant.
        terminal: TerminalId,
    },
    /// Announces where the server moves, or takes it back.
    Move {
        /// The new address, with the CA's pin there; `None` takes an announcement back.
        to: Option<MovingTo>,
    },
    /// Asks where the server announces to move.
    Moving,
    /// The audit log, and whether its chains hold.
    Audit,
}

/// The last entry of an audit chain; kept elsewhere, it shows later that nothing was cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainEnd {
    /// Which chain; empty for the server itself.
    pub subscriber: String,
    /// Number of its last entry.
    pub number: u64,
    /// Hash of that entry, and by it of all entries before.
    pub hash: Hash,
}

/// What came of an order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A code, shown this once.
    Code {
        /// The subscriber who can enrol one card with it.
        subscriber: SubscriberId,
        /// The one-time code; it is shown once.
        code: String,
        /// When it ends, in seconds since 1970.
        expires: Seconds,
    },
    /// So many were added, or would be.
    Imported {
        /// Number of people in the list.
        people: usize,
        /// When their codes end, in seconds since 1970.
        expires: Seconds,
    },
    /// What a comparison of issued and enrolled cards found.
    CardCheck(issued::Differences),
    /// All subscribers, in the order of their IDs.
    Subscribers(Vec<SubscriberRow>),
    /// Answers `AdminCommand::SubscriberShow`.
    Subscriber {
        /// The subscriber that was asked for.
        subscriber: SubscriberRow,
        /// Cards of the subscriber.
        cards: Vec<CardRow>,
        /// Terminals of the subscriber.
        terminals: Vec<TerminalRow>,
    },
    /// Answers `AdminCommand::CardList`.
    Cards(Vec<CardRow>),
    /// Answers `AdminCommand::TerminalList`.
    Terminals(Vec<TerminalRow>),
    /// The audit log.
    Audit {
        /// Entries, the oldest first.
        entries: Vec<AuditRow>,
        /// The last entry of each chain.
        ends: Vec<ChainEnd>,
        /// Where a chain is broken.
        broken: Option<BrokenChain>,
    },
    /// Where the server moves, as terminals are told.
    Moving(Option<MovingTo>),
    /// The order was carried out, and there is nothing to show.
    Done,
}

/// Carries an order out.
pub async fn execute(
    store: &dyn Store,
    order: AdminCommand,
    now: Seconds,
) -> Result<Outcome, Problem> {
    match order {
        AdminCommand::SubscriberAdd { label, id } => add(store, label, id, now).await,
        AdminCommand::SubscriberImport { people, dry_run } => {
            let (people, expires) = people::import(store, people, dry_run, now).await?;
            Ok(Outcome::Imported { people, expires })
        }
        AdminCommand::SubscriberCode { id } => {
            let (code, row) = new_code(now)?;
            store.add_code(id.clone(), row, now).await.or_problem()?;
            Ok(shown(id, &code, row))
        }
        AdminCommand::SubscriberList => Ok(Outcome::Subscribers(
            store.subscribers().await.or_problem()?,
        )),
        AdminCommand::SubscriberShow { id } => show(store, id).await,
        AdminCommand::SubscriberSet { id, state } => {
            store
                .set_subscriber_state(id, state, now)
                .await
                .or_problem()?;
            Ok(Outcome::Done)
        }
        AdminCommand::CardList { subscriber } => {
            Ok(Outcome::Cards(store.cards(subscriber).await.or_problem()?))
        }
        AdminCommand::CardCheck { cards } => {
            let found = issued::check(store, &cards).await?;
            Ok(Outcome::CardCheck(found))
        }
        AdminCommand::CardRevoke { card } => {
            let all = store.cards(None).await.or_problem()?;
            let found = all.into_iter().find(|c| c.card == card);
            let row = found.ok_or_else(|| none(format!("there is no card {card}")))?;
            store
                .revoke_card(row.subscriber, card, Actor::Operator, now)
                .await
                .or_problem()?;
            Ok(Outcome::Done)
        }
        AdminCommand::TerminalList { subscriber } => Ok(Outcome::Terminals(
            store.terminals(subscriber).await.or_problem()?,
        )),
        AdminCommand::TerminalRevoke { terminal } => {
            let all = store.terminals(None).await.or_problem()?;
            let found = all.into_iter().find(|t| t.terminal == terminal);
            let row = found.ok_or_else(|| none(format!("there is no terminal {terminal}")))?;
            store
                .revoke_terminal(row.subscriber, terminal, Actor::Operator, now)
                .await
                .or_problem()?;
            Ok(Outcome::Done)
        }
        AdminCommand::Move { to } => {
            store.set_moving(to.clone(), now).await.or_problem()?;
            Ok(Outcome::Moving(to))
        }
        AdminCommand::Moving => Ok(Outcome::Moving(store.moving().await.or_problem()?)),
        AdminCommand::Audit => audit_log(store).await,
    }
}

fn none(what: String) -> Problem {
    Problem::new(Code::NoSuchObject, what)
}

fn new_code(now: Seconds) -> Result<(EnrolmentCode, NewCode), Problem> {
    let code = code::random().map_err(|e| internal(&e))?;
    let row = NewCode {
        hash: code.hash(),
        expires: now + CODE_SECONDS,
    };
    Ok((code, row))
}

fn shown(subscriber: SubscriberId, code: &EnrolmentCode, row: NewCode) -> Outcome {
    Outcome::Code {
        subscriber,
        code: code.to_string(),
        expires: row.expires,
    }
}

async fn add(
    store: &dyn Subscribers,
    label: String,
    id: Option<SubscriberId>,
    now: Seconds,
) -> Result<Outcome, Problem> {
    if label.is_empty() || label.len() > LABEL_MAX || label.chars().any(char::is_control) {
        return Err(Problem::new(
            Code::BadRequest,
            format!("a label is 1 to {LABEL_MAX} bytes of text"),
        ));
    }
    let id = match id {
        Some(id) => id,
        None => random_id()?,
    };
    let (code, row) = new_code(now)?;
    store
        .add_subscriber(AddSubscriber {
            subscriber: id.clone(),
            label,
            code: row,
            now,
        })
        .await
        .or_problem()?;
    Ok(shown(id, &code, row))
}

/// A new ID.
pub fn random_id() -> Result<SubscriberId, Problem> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|e| internal(&e))?;
    hex::encode(bytes).parse().map_err(|e| internal(&e))
}

async fn show(store: &dyn Store, id: SubscriberId) -> Result<Outcome, Problem> {
    let found = store.subscriber(id.clone()).await.or_problem()?;
    Ok(Outcome::Subscriber {
        subscriber: found.ok_or_else(|| none(format!("there is no subscriber {id}")))?,
        cards: store.cards(Some(id.clone())).await.or_problem()?,
        terminals: store.terminals(Some(id)).await.or_problem()?,
    })
}

async fn audit_log(store: &dyn Audit) -> Result<Outcome, Problem> {
    let entries = store.audit_log().await.or_problem()?;
    let broken = audit::verify(&entries).err();
    let mut ends: Vec<ChainEnd> = Vec::new();
    for row in &entries {
        let end = ChainEnd {
            subscriber: row.subscriber.clone(),
            number: row.number,
            hash: row.hash,
        };
        match ends.last_mut() {
            Some(last) if last.subscriber == end.subscriber => *last = end,
            _ => ends.push(end),
        }
    }
    Ok(Outcome::Audit {
        entries,
        ends,
        broken,
    })
}
