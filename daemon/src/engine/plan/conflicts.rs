//! The list of versions that were kept aside: what comes of it here, by tails, and from other terminals; and when it ends.

use simsync_sync::node::RelPath;
use simsync_sync::plan::{Conflict, Side};
use simsync_vault::ids::CollectionId;

use crate::engine::EngineError;
use crate::engine::clock::now_ms;
use crate::store::{CollectionPk, Store};

/// Keeps what a plan of this terminal's put aside.
pub fn note_conflicts(
    store: &Store,
    pk: CollectionPk,
    conflicts: &[Conflict],
) -> Result<(), EngineError> {
    for c in conflicts {
        let side = i64::from(c.side == Side::Remote);
        store.add_conflict(pk, &c.path, &c.aside, side, now_ms())?;
    }
    Ok(())
}

/// The same, by the ID of a collection that a tail brought.
pub fn note_tail_conflicts(
    store: &Store,
    collection: &CollectionId,
    conflicts: &[Conflict],
) -> Result<(), EngineError> {
    if conflicts.is_empty() {
        return Ok(());
    }
    let all = store.collections()?;
    match all.iter().find(|c| c.id == *collection) {
        Some(c) => note_conflicts(store, c.pk, conflicts),
        None => Ok(()),
    }
}

/// Keeps what another terminal put aside: it comes as a file of that name beside the other version.
pub fn note_conflict_from_afar<'p>(
    store: &Store,
    pk: CollectionPk,
    came: impl Iterator<Item = &'p RelPath>,
    is_there: &dyn Fn(&RelPath) -> bool,
) -> Result<(), EngineError> {
    for aside in came {
        if let Some(path) = original_of(aside).filter(|path| is_there(path)) {
            store.add_conflict(pk, &path, aside, i64::from(true), now_ms())?;
        }
    }
    Ok(())
}

/// A version that is there no more, or that moved away, is a conflict no more.
pub fn end_conflicts(store: &Store, pk: CollectionPk) -> Result<(), EngineError> {
    let all = store.conflicts()?;
    let own = all.iter().filter(|c| c.collection == pk);
    let mut pending = None;
    for c in own {
        let Ok(aside) = RelPath::new(c.aside.clone()) else {
            continue;
        };
        if store.file(pk, &aside)?.is_some() {
            continue;
        }
        let pending = match &mut pending {
            Some(known) => known,
            none => none.insert(store.pending(pk)?),
        };
        if !pending.contains(&aside) {
            store.remove_conflict(c.pk)?;
        }
    }
    Ok(())
}

const MARK: &[u8] = b" (conflict";

/// The path beside which a version was kept aside under this name; none if it is no such name.
fn original_of(aside: &RelPath) -> Option<RelPath> {
    let name = aside.name();
    let at = (0..name.len())
        .rev()
        .find(|i| name[*i..].starts_with(MARK))?;
    let (stem, rest) = (&name[..at], &name[at + MARK.len()..]);
    let comma = rest.iter().position(|b| *b == b',')?;
    let number_ok = match rest[..comma].split_first() {
        None => true,
        Some((b' ', digits)) => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        Some(_) => false,
    };
    let end = rest.iter().rposition(|b| *b == b')')?;
    let extension = &rest[end + 1..];
    let extension_ok = extension.is_empty() || extension.starts_with(b".");
    if !number_ok || end < comma || !extension_ok {
        return None;
    }
    aside.with_name(&[stem, extension].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::super::conflict_name::conflict_name;
    use super::*;

    #[test]
    fn f_c_a_name_of_a_version_kept_aside_tells_whose_it_is() {
        for path in [
            "a/report.txt",
            "report",
            "a/.hidden",
            "x (conflict, B).txt",
            "ü.tar.gz",
        ] {
            let path = RelPath::new(path).unwrap();
            for attempt in [0, 1, 11] {
                let aside = conflict_name(&path, "desk, left) (right", attempt).unwrap();
                assert_eq!(original_of(&aside), Some(path.clone()), "{aside}");
            }
        }
        for other in [
            "report.txt",
            "a (conflict)",
            "a (conflict x, B)",
            "(conflict, B)b",
        ] {
            assert_eq!(original_of(&RelPath::new(other).unwrap()), None, "{other}");
        }
    }
}
