//! CAP files, which an operator may have from anywhere.

use simsync_globalplatform::cap::CapFile;

#[allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    reason = "the samples of the crate's own tests"
)]
#[path = "../../../../crates/globalplatform/src/cap/sample.rs"]
mod sample;

/// Longest block that a card takes.
const BLOCK: usize = 247;

pub fn cap(bytes: &[u8]) -> bool {
    let file = match CapFile::parse(bytes) {
        Ok(file) => file,
        Err(why) => {
            assert!(why.to_string().len() < 1000);
            return false;
        }
    };
    let data = file.load_data();
    let loaded: usize = file.loaded().map(|c| c.bytes.len()).sum();
    assert_eq!(data.len(), loaded);
    if let Ok(blocks) = file.blocks(BLOCK) {
        let joined = blocks.concat();
        assert!(joined.ends_with(&data) && joined.len() <= data.len() + 5);
        assert!(blocks.iter().all(|b| (1..=BLOCK).contains(&b.len())));
    }
    assert!(file.hashes().is_ok());
    true
}

pub fn caps() -> Vec<Vec<u8>> {
    let mut packed = sample::sample(300);
    packed.deflate = true;
    vec![
        sample::sample(100).zip(),
        packed.zip(),
        sample::sample(100).without("Applet").zip(),
    ]
}
