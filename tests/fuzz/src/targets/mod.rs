//! The targets: one for each kind of bytes that somebody else may have written.

mod card;
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

/// A decoder, with what it promises.
pub struct Target {
    /// Its name on the command line, and of its folder of inputs.
    pub name: &'static str,
    /// Reads any bytes. Panics if a promise does not hold; answers whether they were what they should be.
    pub feed: fn(&[u8]) -> bool,
    /// Most bytes of memory that these bytes may cost.
    pub memory: fn(&[u8]) -> usize,
    /// Bytes that are right, made by our own code.
    pub samples: fn() -> Vec<Vec<u8>>,
}

/// So many bytes whatever comes: serde takes up to 1 MiB on the word of a length alone, and compression has its tables.
const BASE: usize = 4 << 20;
/// So many bytes for each byte that comes: a map of short names is the dearest of what is read.
const FOR_EACH: usize = 64;

/// What most decoders may take.
fn usual(input: &[u8]) -> usize {
    BASE + FOR_EACH * input.len()
}

const fn target(
    name: &'static str,
    feed: fn(&[u8]) -> bool,
    samples: fn() -> Vec<Vec<u8>>,
) -> Target {
    Target {
        name,
        feed,
        memory: usual,
        samples,
    }
}

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

/// The bytes of a golden file.
fn golden(text: &str) -> Vec<u8> {
    hex::decode(text.replace('\n', "")).unwrap_or_default()
}
