//! Packs and how far they are.

use serde::{Deserialize, Serialize};
use simsync_card::ids::{Hash, SubscriberId, TerminalId};
use simsync_vault::commit::PackRef;
use simsync_vault::ids::PackId;

use super::time::Seconds;

/// How far a pack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackStatus {
    /// Not all there.
    Uploading,
    /// Durable; no commit names it.
    Complete,
    /// Part of the vault.
    Committed,
    /// No longer part of the vault; kept for its history.
    Dropped,
}

/// What the database knows of a pack; the bytes are the blob store's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackRow {
    /// Name, collection and size.
    pub pack: PackRef,
    /// Whether its bytes are durable, and whether the vault has it.
    pub status: PackStatus,
    /// Bytes that are durable, while it is uploading.
    pub received: u64,
    /// SHA-256 of its bytes, when it is complete.
    pub hash: Option<Hash>,
    /// The terminal that uploaded it first.
    pub terminal: TerminalId,
}

/// A pack about to be uploaded.
#[derive(Debug, Clone)]
pub struct BeginPack {
    /// The subscriber whose vault it is for.
    pub subscriber: SubscriberId,
    /// Name, collection and size.
    pub pack: PackRef,
    /// The terminal that uploads it.
    pub terminal: TerminalId,
    /// Time of the call, in seconds since 1970.
    pub now: Seconds,
}

/// Packs that are durable in the blob store now.
#[derive(Debug, Clone)]
pub struct CompletePacks {
    /// The subscriber whose vault they are for.
    pub subscriber: SubscriberId,
    /// Who uploaded them.
    pub terminal: TerminalId,
    /// Each with the SHA-256 of its bytes.
    pub packs: Vec<(PackRef, Hash)>,
    /// Time of the call, in seconds since 1970.
    pub now: Seconds,
}

/// Which packs of a subscriber: IDs to look up.
pub type PackIds = Vec<PackId>;
