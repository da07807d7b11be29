//! The components out of the archive. Names come from its central directory; content is taken only with a right checksum.

use miniz_oxide::inflate::decompress_to_vec_with_limit;
use rawzip::{CompressionMethod, ZipArchive};

use super::components::{Component, NAMES};
use super::error::CapError;

/// Longest component: a size of 2 bytes, after 3 bytes of tag and size.
const MAX_COMPONENT: usize = 3 + 0xFFFF;
/// Entries looked at; an archive with more is none of ours.
const MAX_ENTRIES: usize = 4096;

/// All components of the archive, in the order in which they are loaded. Everything else in it (class files in
/// APPLET-INF, the manifest) is left where it is.
pub(super) fn components(bytes: &[u8]) -> Result<Vec<Component>, CapError> {
    let archive = ZipArchive::from_slice(bytes).map_err(|_| CapError::NotZip)?;
    let mut found: Vec<Component> = Vec::new();
    let mut folder: Option<Vec<u8>> = None;
    let mut entries = archive.entries();
    let mut seen = 0;
    while let Some(entry) = entries.next_entry().map_err(|_| CapError::NotZip)? {
        seen += 1;
        if seen > MAX_ENTRIES {
            return Err(CapError::NotZip);
        }
        let path = entry.file_path();
        let Some((place, name)) = component_of(path.as_bytes()) else {
            continue;
        };
        let full = || format!("{}.cap", NAMES[name].1);
        // One package, one folder; and each component once.
        let twice = found.iter().any(|c| c.tag() == NAMES[name].0);
        if twice || folder.get_or_insert_with(|| place.to_vec()) != place {
            return Err(CapError::Ambiguous(full()));
        }
        let promised = entry.uncompressed_size_hint();
        if promised > MAX_COMPONENT as u64 {
            return Err(CapError::Malformed {
                component: NAMES[name].1,
                what: "is longer than any component can be",
            });
        }
        let method = entry.compression_method();
        let content = archive
            .get_entry(entry.wayfinder())
            .map_err(|_| CapError::NotZip)?;
        let unpacked = if method == CompressionMethod::STORE {
            content.data().to_vec()
        } else if method == CompressionMethod::DEFLATE {
            decompress_to_vec_with_limit(content.data(), MAX_COMPONENT)
                .map_err(|_| CapError::Checksum(full()))?
        } else {
            return Err(CapError::Packing(full()));
        };
        if unpacked.len() as u64 != promised || rawzip::crc32(&unpacked) != entry.crc32() {
            return Err(CapError::Checksum(full()));
        }
        found.push(Component::new(NAMES[name].0, unpacked));
    }
    found.sort_by_key(Component::rank);
    Ok(found)
}

/// Folder and index in [`NAMES`] of a component's path: `org/simsync/card/javacard/Header.cap`.
fn component_of(path: &[u8]) -> Option<(&[u8], usize)> {
    let stem = path.strip_suffix(b".cap")?;
    let cut = stem.iter().rposition(|b| *b == b'/')?;
    let (folder, name) = (&stem[..cut], &stem[cut + 1..]);
    let in_place = folder.ends_with(b"/javacard") && !folder.starts_with(b"APPLET-INF");
    let index = NAMES.iter().position(|(_, n)| n.as_bytes() == name)?;
    in_place.then_some((folder, index))
}
