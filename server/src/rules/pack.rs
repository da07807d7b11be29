//! When an upload of a pack begins, and when a pack that is durable counts. A name stands for one content for ever.

use simsync_card::ids::Hash;
use simsync_vault::commit::PackRef;

use super::refusal::Refusal;
use crate::store::types::{PackRow, PackStatus};

/// Whether an upload begins; `false` if it goes on, or is complete. `row`: the pack of this name.
pub fn begin(pack: &PackRef, row: Option<&PackRow>) -> Result<bool, Refusal> {
    match row {
        None => Ok(true),
        Some(row) if row.pack != *pack => Err(Refusal::PackExists),
        Some(row) => not_dropped(row).map(|()| false),
    }
}

/// What is to be written of a pack that is durable now.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No pack has this name yet: a row is written.
    New,
    /// Its upload is complete.
    Uploaded,
    /// It was there before: the collector waits for it anew.
    Again,
}

/// Decides about a pack whose bytes have this hash. `row`: the pack of this name.
pub fn complete(pack: &PackRef, hash: &Hash, row: Option<&PackRow>) -> Result<Outcome, Refusal> {
    match row {
        None => Ok(Outcome::New),
        Some(row) if row.pack != *pack => Err(Refusal::PackExists),
        Some(row) if row.status == PackStatus::Uploading => Ok(Outcome::Uploaded),
        Some(row) if row.hash != Some(*hash) => Err(Refusal::PackExists),
        Some(row) => not_dropped(row).map(|()| Outcome::Again),
    }
}

fn not_dropped(row: &PackRow) -> Result<(), Refusal> {
    if row.status == PackStatus::Dropped {
        return Err(Refusal::PackDropped(row.pack.id));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::samples::terminal_id;
    use simsync_vault::ids::{CollectionId, PackId};

    const PACK: PackRef = PackRef {
        id: PackId([1; 16]),
        collection: CollectionId([2; 16]),
        size: 10,
    };
    const HASH: Hash = Hash([3; 32]);

    fn row(status: PackStatus) -> PackRow {
        PackRow {
            pack: PACK,
            status,
            received: 0,
            hash: (status != PackStatus::Uploading).then_some(HASH),
            terminal: terminal_id(),
        }
    }

    #[test]
    fn an_upload_begins_once_under_its_name() {
        assert_eq!(begin(&PACK, None), Ok(true));
        for status in [
            PackStatus::Uploading,
            PackStatus::Complete,
            PackStatus::Committed,
        ] {
            assert_eq!(begin(&PACK, Some(&row(status))), Ok(false), "{status:?}");
        }
        let dropped = begin(&PACK, Some(&row(PackStatus::Dropped)));
        assert_eq!(dropped, Err(Refusal::PackDropped(PACK.id)));
        for other in [
            PackRef { size: 11, ..PACK },
            PackRef {
                collection: CollectionId::OUTBOX,
                ..PACK
            },
        ] {
            let taken = begin(&other, Some(&row(PackStatus::Uploading)));
            assert_eq!(taken, Err(Refusal::PackExists), "{other:?}");
        }
    }

    #[test]
    fn a_name_stands_for_one_content() {
        assert_eq!(complete(&PACK, &HASH, None), Ok(Outcome::New));
        for (status, then) in [
            (PackStatus::Uploading, Ok(Outcome::Uploaded)),
            (PackStatus::Complete, Ok(Outcome::Again)),
            (PackStatus::Committed, Ok(Outcome::Again)),
            (PackStatus::Dropped, Err(Refusal::PackDropped(PACK.id))),
        ] {
            assert_eq!(complete(&PACK, &HASH, Some(&row(status))), then);
        }
        let other = Hash([4; 32]);
        for status in [
            PackStatus::Complete,
            PackStatus::Committed,
            PackStatus::Dropped,
        ] {
            let taken = complete(&PACK, &other, Some(&row(status)));
            assert_eq!(taken, Err(Refusal::PackExists), "{status:?}");
        }
        let larger = PackRef { size: 11, ..PACK };
        let taken = complete(&larger, &HASH, Some(&row(PackStatus::Uploading)));
        assert_eq!(taken, Err(Refusal::PackExists));
    }
}
