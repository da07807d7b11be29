//! What is known of packs.

use simsync_card::ids::Hash;
use simsync_vault::commit::PackRef;
use simsync_vault::ids::PackId;

use super::fixture::{Fixture, refused};
use crate::rules::Refusal;
use crate::store::types::{BeginPack, CompletePacks, PackStatus};

impl Fixture {
    fn complete(&self, pack: PackRef, hash: u8) -> CompletePacks {
        CompletePacks {
            subscriber: self.sub.clone(),
            terminal: self.terminal.id(),
            packs: vec![(pack, Hash([hash; 32]))],
            now: 20,
        }
    }

    pub(super) async fn packs(&self) {
        let s = &self.store;
        let begin = |pack| BeginPack {
            subscriber: self.sub.clone(),
            pack,
            terminal: self.terminal.id(),
            now: 20,
        };
        let row = s.begin_pack(begin(self.pack(1, 10))).await.unwrap();
        assert_eq!((row.status, row.received), (PackStatus::Uploading, 0));
        refused(
            s.begin_pack(begin(self.pack(1, 11))).await,
            Refusal::PackExists,
        );
        s.pack_progress(self.sub.clone(), PackId([1; 16]), 4, 21)
            .await
            .unwrap();
        let row = s.begin_pack(begin(self.pack(1, 10))).await.unwrap();
        assert_eq!(row.received, 4);
        s.complete_packs(self.complete(self.pack(1, 10), 1))
            .await
            .unwrap();
        s.complete_packs(self.complete(self.pack(1, 10), 1))
            .await
            .unwrap();
        refused(
            s.complete_packs(self.complete(self.pack(1, 10), 2)).await,
            Refusal::PackExists,
        );
        s.complete_packs(self.complete(self.pack(2, 5), 2))
            .await
            .unwrap();
        let ids = vec![PackId([2; 16]), PackId([9; 16]), PackId([1; 16])];
        let rows = s.packs(self.sub.clone(), ids).await.unwrap();
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|r| r.status == PackStatus::Complete));
        assert!(
            s.live_packs(self.sub.clone(), self.files)
                .await
                .unwrap()
                .is_empty()
        );
    }
}
