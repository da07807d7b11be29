//! What every target has.

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
pub(super) fn usual(input: &[u8]) -> usize {
    BASE + FOR_EACH * input.len()
}

/// A target that may take what most may.
pub(super) const fn target(
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

/// The bytes of a golden file.
pub(super) fn golden(text: &str) -> Vec<u8> {
    hex::decode(text.replace('\n', "")).unwrap_or_default()
}
