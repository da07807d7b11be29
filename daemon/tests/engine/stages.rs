//! The stages of a sync: what a plan does not give is neither read nor uploaded.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use simsyncd::engine::{EngineError, ReviewEntry, SyncOptions};
use simsyncd::store::PackState;

use crate::rig::{Person, Terminal, close, sync};

fn uploaded(t: &Terminal) -> usize {
    t.engine.store.packs_in(PackState::Uploaded).unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn m3_a_review_that_is_declined_has_uploaded_nothing() {
    let (person, a, b) = Person::new().await;
    a.write("from A", "1");
    let s = person.open(&a).await;
    close(&a, &s).await;
    b.write("from B", "2");
    let s = person.open(&b).await;
    let (engine, session) = (b.engine.clone(), s.clone());
    let declined = tokio::task::spawn_blocking(move || {
        let no = |entries: &[ReviewEntry]| {
            assert_eq!(entries.len(), 1);
            false
        };
        engine.sync(&session, SyncOptions::default(), Some(&no))
    });
    let declined = declined.await.unwrap();
    assert!(
        matches!(declined, Err(EngineError::Declined)),
        "{declined:?}"
    );
    assert_eq!((uploaded(&b), b.read("from A")), (0, None));
    close(&b, &s).await;
    let s = person.open(&a).await;
    close(&a, &s).await;
    assert_eq!(a.tree(), b.tree());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_open_has_uploaded_nothing_of_its_collection() {
    let (person, a, _b) = Person::new().await;
    for i in 0..30 {
        a.write(&format!("{i}"), &format!("{i}"));
    }
    let s = person.open(&a).await;
    sync(&a, &s).await;
    for i in 0..29 {
        std::fs::remove_file(a.data().join(format!("{i}"))).unwrap();
    }
    a.write("new", "of A");
    sync(&a, &s).await;
    assert_eq!(a.outstanding(), [("mass-deletion", String::new())]);
    assert_eq!(uploaded(&a), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_look_different_and_are_the_same_are_no_change() {
    let (person, a, b) = Person::new().await;
    for name in ["touched", "both", "removed there", "permissions there"] {
        a.write(name, name);
    }
    let s = person.open(&a).await;
    close(&a, &s).await;
    let s = person.open(&b).await;
    close(&b, &s).await;
    // A: one gone, one with other permissions, one new.
    std::fs::remove_file(a.data().join("removed there")).unwrap();
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(a.data().join("permissions there"), private).unwrap();
    a.write("new in both", "equal");
    a.write("both", "changed alike");
    let s = person.open(&a).await;
    close(&a, &s).await;
    // B: all touched, one of them changed as A did, and the same new one.
    let later = SystemTime::now() + Duration::from_secs(100);
    b.write("new in both", "equal");
    b.write("both", "changed alike");
    for name in ["touched", "both", "removed there", "permissions there"] {
        let file = std::fs::File::options()
            .write(true)
            .open(b.data().join(name))
            .unwrap();
        file.set_modified(later).unwrap();
    }
    let s = person.open(&b).await;
    let report = sync(&b, &s).await;
    assert_eq!((report.published, report.conflicts), (0, 0), "{report:?}");
    assert_eq!((uploaded(&b), b.outstanding()), (0, vec![]));
    assert_eq!(a.tree(), b.tree());
    let mode = std::fs::metadata(b.data().join("permissions there"));
    assert_eq!(mode.unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(sync(&b, &s).await.commit, None, "and stays so");
}
