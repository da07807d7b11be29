//! What targets begin with: samples that code makes, and inputs found once that are kept in the repository.

use std::path::PathBuf;

use crate::targets::Target;

/// Where inputs of a target are kept.
pub fn stored(target: &Target) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target.name)
}

/// Both, in a fixed order. Without the repository, only what code makes.
pub fn samples(target: &Target) -> Vec<Vec<u8>> {
    let mut samples = (target.samples)();
    let mut paths: Vec<PathBuf> = std::fs::read_dir(stored(target))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort();
    samples.extend(paths.iter().filter_map(|path| std::fs::read(path).ok()));
    samples
}
