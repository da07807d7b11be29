//! The targets: one for each kind of bytes that somebody else may have written.

mod card;
mod common;
mod files;
mod platform;
mod protocol;
mod readers;
mod sealed;
mod signed;
#[allow(
    clippy::unwrap_used,
    reason = "the vault's test vectors: their values are fixed"
)]
#[path = "../../../../crates/vault/tests/common/mod.rs"]
mod vectors;

pub use common::Target;
use common::target;

/// All of them.
pub const TARGETS: &[Target] = &[
    target("commit", signed::commit, signed::commits),
    target("key-object", signed::key_object, signed::key_objects),
    target("tail", signed::tail, signed::tails),
    target("statement", signed::statement, signed::statements),
    target("directory", sealed::directory, sealed::directories),
    target("metadata", sealed::metadata, sealed::metadatas),
    Target {
        memory: sealed::memory,
        ..target("sealed", sealed::sealed, sealed::sealed_samples)
    },
    target("pack", sealed::pack, sealed::packs),
    target("pack-index", sealed::pack_index, sealed::pack_indexes),
    target("item", sealed::item, sealed::items),
    target("items", sealed::item_list, sealed::item_lists),
    target("requests", protocol::requests, protocol::request_samples),
    target("answers", protocol::answers, protocol::answer_samples),
    target("batch", protocol::batch, protocol::batches),
    target("words", protocol::words, protocol::word_samples),
    target("people", protocol::people, protocol::people_samples),
    target("issued", protocol::issued, protocol::issued_samples),
    target("card", card::answers, card::answer_samples),
    target("card-text", card::text, card::text_samples),
    target("sim", card::sim, card::sim_samples),
    target("modem", readers::modem, readers::modem_samples),
    target("pin-pad", readers::pin_pad, readers::pin_pad_samples),
    target("config", files::config, files::configs),
    target("terminal", files::terminal, files::terminals),
    target("cap", platform::cap, platform::caps),
];
