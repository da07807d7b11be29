//! What commits and key objects are judged by.

use std::collections::HashMap;

use simsync_card::ids::{CardId, TerminalId};
use simsync_protocol::api::HeadInfo;
use simsync_vault::commit::{Commit, SessionRef};
use simsync_vault::ids::PackId;
use simsync_vault::keyobject::KeyObject;

use crate::store::types::{CardRow, PackRow, SessionRow, TailRow, TerminalRow};

/// What a store must find out, in the transaction that will also write.
#[derive(Debug, Default)]
pub struct Facts {
    /// The newest commit.
    pub head: Option<(HeadInfo, Commit)>,
    /// The key object in force.
    pub key_object: Option<KeyObject>,
    /// A re-key is due.
    pub rekey_required: bool,
    /// The commit is part of the chain already.
    pub known: bool,
    /// The session that the commit names.
    pub session: Option<SessionRow>,
    /// Cards that commit and key object name.
    pub cards: HashMap<CardId, CardRow>,
    /// Terminals that they name.
    pub terminals: HashMap<TerminalId, TerminalRow>,
    /// Packs that the commit adds or drops.
    pub packs: HashMap<PackId, PackRow>,
    /// Tails that it names, and all that wait.
    pub tails: HashMap<SessionRef, TailRow>,
}
