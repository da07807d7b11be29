//! What goes into the store's calls and what comes out of them, by the roles of [`super::roles`].

mod audit;
mod chain;
mod packs;
mod pairings;
mod sessions;
mod subscribers;
mod tails;
mod time;

pub use audit::{Actor, AuditEntry};
pub use chain::{CommitsView, KeyObjectView, PutCommit, Rights};
pub use packs::{BeginPack, CompletePacks, PackIds, PackRow, PackStatus};
pub use pairings::{AddPairings, CardRow, Enrol, KeyState, Pair, Peer, TerminalRow};
pub use sessions::{
    ConnectionId, GrantRow, Known, NewGrant, OpenSession, RenewSession, Scope, SessionRow,
    SessionView,
};
pub use subscribers::{AddSubscriber, NewCode, SubscriberRow, SubscriberState};
pub use tails::{PutTail, TailRow, TailStatus};
pub use time::Seconds;
