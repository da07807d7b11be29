//! Copies of one object: some are junk, some are lost, one is good.

use std::os::unix::fs::PermissionsExt;

use simsync_server::testing::Seed;
use simsync_sync::node::{Node, RelPath};
use simsync_vault::ids::ObjectId;

use crate::forger::Forger;
use crate::hostile::largest_pack;
use crate::rig::{FILES, Person, Terminal, close, sync};

/// The first chunk of a file that a terminal has.
fn chunk_of(t: &Terminal, path: &str) -> ObjectId {
    let path = RelPath::new(path).unwrap();
    let row = t.engine.store.file(t.pk(&FILES), &path).unwrap().unwrap();
    let Node::File { content, .. } = row.node else {
        panic!("no file")
    };
    content.chunks[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn w_2_junk_under_a_good_name_hides_the_good_copy_from_nobody() {
    let (person, a, b) = Person::new().await;
    a.write("good", "good");
    let s = person.open(&a).await;
    sync(&a, &s).await;
    let good = chunk_of(&a, "good");
    // Others under its name, some of which do not even open, come later than it.
    for round in 0..12 {
        let mut f = Forger::new(&a, &s);
        if round % 3 == 0 {
            f.chunk(format!("junk {round}").as_bytes(), Some(good));
        } else {
            f.broken(good);
        }
        let pack = f.pack(FILES).await;
        let mut body = f.body();
        body.packs_added = vec![pack];
        f.send(body).await;
    }
    let s = person.open(&b).await;
    close(&b, &s).await;
    assert_eq!(b.outstanding(), []);
    assert_eq!(b.read("good").as_deref(), Some("good"));
}

#[tokio::test(flavor = "multi_thread")]
async fn w_2_very_much_junk_hides_it_for_a_few_syncs_at_most() {
    let (person, a, b) = Person::new().await;
    a.write("good", "good");
    let s = person.open(&a).await;
    sync(&a, &s).await;
    let good = chunk_of(&a, "good");
    let mut f = Forger::new(&a, &s);
    let mut packs = Vec::new();
    for _ in 0..40 {
        f.broken(good);
        packs.push(f.pack(FILES).await);
    }
    let mut body = f.body();
    body.packs_added = packs;
    f.send(body).await;
    let s = person.open(&b).await;
    let mut syncs = 0;
    while b.read("good").is_none() {
        sync(&b, &s).await;
        syncs += 1;
        assert!(syncs < 5);
        let said = b.outstanding();
        assert!(b.read("good").is_some() || said == [("vault-damaged", "good".to_owned())]);
    }
    assert!(syncs > 1, "more than are tried at once");
    assert_eq!(b.outstanding(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn w_1_a_pack_that_the_server_lost_or_spoilt_is_healed_by_whoever_has_the_file() {
    for what in ["lost", "spoilt", "cut"] {
        let (person, a, b) = Person::new().await;
        let blob = Seed::new().blob(300_000);
        a.write("good", "good");
        let s = person.open(&a).await;
        sync(&a, &s).await;
        std::fs::write(a.data().join("large"), &blob).unwrap();
        close(&a, &s).await;
        let path = largest_pack(person.server.dir());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        match what {
            "lost" => std::fs::remove_file(&path).unwrap(),
            "cut" => std::fs::write(&path, &std::fs::read(&path).unwrap()[..1000]).unwrap(),
            _ => std::fs::write(&path, vec![7; std::fs::read(&path).unwrap().len()]).unwrap(),
        }
        let s = person.open(&b).await;
        b.write("own", what);
        let report = sync(&b, &s).await;
        assert_eq!(b.read("good").as_deref(), Some("good"), "{what}");
        assert!(report.commit.is_some(), "{what}: {report:?}");
        let said = b.outstanding();
        let names = |(code, path): &(&str, String)| {
            matches!(*code, "vault-damaged" | "vault-incomplete") && path == "large"
        };
        assert!(
            said.len() == 1 && said.iter().all(names),
            "{what}: {said:?}"
        );
        // As the remedy says: the same file is put here.
        std::fs::write(b.data().join("large"), &blob).unwrap();
        close(&b, &s).await;
        assert_eq!(b.outstanding(), [], "{what}");
        // Whoever comes new has it from there.
        let c = a;
        std::fs::remove_dir_all(c.data()).unwrap();
        std::fs::create_dir(c.data()).unwrap();
        let store = &c.engine.store;
        store
            .set_root(c.pk(&FILES), Some(c.data().to_str().unwrap()))
            .unwrap();
        let s = person.open(&c).await;
        close(&c, &s).await;
        assert!(c.tree() == b.tree(), "{what}: {:?}", c.outstanding());
    }
}
