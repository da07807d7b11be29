//! A collection that is no folder: one file of `key=value` lines, from the watcher to the conflict.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use simsyncd::engine::{Adapters, EngineConfig, Session};
use simsyncd::rules::Event;
use simsyncd::vouch::Vouches;
use simsyncd::watch::data::{Roots, run};
use tokio::sync::{mpsc, watch};

use crate::keyvalue::KeyValue;
use crate::rig::{NOTES, Person, Terminal, close, sync};

/// A terminal whose notes are one file, under a name of its own.
struct NotesTerminal {
    terminal: Terminal,
    file: PathBuf,
    changes: mpsc::UnboundedReceiver<Event>,
    _roots: watch::Sender<Roots>,
}

impl NotesTerminal {
    async fn new(person: &Person, mut terminal: Terminal, name: &str) -> Self {
        let adapters = Adapters::default().with("notes", Arc::new(KeyValue));
        let config = (*terminal.engine.config).clone();
        terminal.engine.config = Arc::new(EngineConfig {
            adapters: adapters.clone(),
            ..config
        });
        let session = person.open(&terminal).await;
        terminal.register_notes(&session).await;
        let file = terminal.notes().join(name);
        let store = &terminal.engine.store;
        let pk = terminal.pk(&NOTES);
        store.set_root(pk, Some(file.to_str().unwrap())).unwrap();
        close(&terminal, &session).await;
        let wanted = vec![adapters.watched("notes", &file)];
        let (roots, told) = watch::channel(Roots {
            wanted,
            ..Roots::default()
        });
        let (tell, changes) = mpsc::unbounded_channel();
        tokio::spawn(run(told, Vouches::default(), move |event| {
            let _ = tell.send(event);
        }));
        let mut here = Self {
            terminal,
            file,
            changes,
            _roots: roots,
        };
        here.changed().await;
        here
    }

    async fn changed(&mut self) {
        let next = tokio::time::timeout(Duration::from_secs(10), self.changes.recv());
        assert_eq!(next.await.unwrap(), Some(Event::DataChanged));
    }

    /// Somebody saves the file, and the watcher sees it.
    async fn save(&mut self, text: &str) {
        while self.changes.try_recv().is_ok() {}
        std::fs::write(&self.file, text).unwrap();
        self.changed().await;
    }

    async fn open(&self, person: &Person) -> Session {
        person.open(&self.terminal).await
    }

    /// The card was in: everything is taken and given.
    async fn visit(&self, person: &Person) -> simsyncd::engine::SyncReport {
        let session = self.open(person).await;
        close(&self.terminal, &session).await
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap()
    }

    /// Names of what lies beside the file.
    fn beside(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.terminal.notes()).unwrap().flatten();
        let names = names.map(|e| e.file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|n| !self.file.ends_with(n)).collect();
        names.sort();
        names
    }
}

async fn terminals() -> (Person, NotesTerminal, NotesTerminal) {
    let (person, a, b) = Person::new().await;
    let mut a = NotesTerminal::new(&person, a, "a.conf").await;
    let b = NotesTerminal::new(&person, b, "settings.ini").await;
    a.save("color=red\nfont=serif\n").await;
    a.visit(&person).await;
    b.visit(&person).await;
    assert_eq!(b.text(), "color=red\nfont=serif\n");
    (person, a, b)
}

#[tokio::test(flavor = "multi_thread")]
async fn b6_keys_that_were_changed_on_either_side_are_merged() {
    let (person, mut a, mut b) = terminals().await;
    a.save("color=blue\nfont=serif\nsize=12\n").await;
    b.save("color=red\nfont=mono\n").await;
    a.visit(&person).await;
    let report = b.visit(&person).await;
    assert_eq!(report.conflicts, 0, "{report:?}");
    assert_eq!(b.text(), "color=blue\nfont=mono\nsize=12\n");
    assert_eq!(b.terminal.outstanding(), []);
    a.visit(&person).await;
    assert_eq!(a.text(), b.text());
    // Nothing is left to do.
    for here in [&a, &b, &a] {
        let report = here.visit(&person).await;
        assert_eq!((report.published, report.applied), (0, 0), "{report:?}");
    }
    assert!(a.beside().is_empty() && b.beside().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn b6_a_key_that_both_sides_changed_is_a_conflict_and_the_rest_is_merged() {
    let (person, mut a, mut b) = terminals().await;
    a.save("color=blue\nfont=serif\n").await;
    b.save("color=green\nfont=mono\n").await;
    a.visit(&person).await;
    let report = b.visit(&person).await;
    assert_eq!(report.conflicts, 1, "{report:?}");
    a.visit(&person).await;
    for here in [&a, &b] {
        assert_eq!(here.text(), "color=blue\nfont=mono\n");
        let beside = here.beside();
        assert_eq!(beside.len(), 1, "{beside:?}");
        assert!(beside[0].contains("(conflict, B)"), "{beside:?}");
        let kept = std::fs::read_to_string(here.terminal.notes().join(&beside[0]));
        assert_eq!(kept.unwrap(), "color=green\nfont=mono\n");
        let listed = here.terminal.engine.store.conflicts().unwrap();
        assert_eq!(listed.len(), 1);
        // Whoever has looked at it throws the other version away.
        std::fs::remove_file(here.terminal.notes().join(&beside[0])).unwrap();
    }
    for here in [&a, &b, &a] {
        here.visit(&person).await;
    }
    assert!(a.beside().is_empty() && b.beside().is_empty());
    assert!(a.terminal.engine.store.conflicts().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn b6_what_travelled_in_a_tail_is_merged_too() {
    let (person, mut a, mut b) = terminals().await;
    let session = a.open(&person).await;
    a.save("color=blue\nfont=serif\n").await;
    person.yank(&a.terminal, &session, false).await;
    b.save("color=red\nfont=mono\n").await;
    let session = b.open(&person).await;
    sync(&b.terminal, &session).await;
    person.deliver(&a.terminal).await;
    let report = close(&b.terminal, &session).await;
    assert_eq!((report.tails, report.conflicts), (1, 0), "{report:?}");
    assert_eq!(b.text(), "color=blue\nfont=mono\n");
    a.visit(&person).await;
    assert_eq!(a.text(), b.text());
    assert!(a.beside().is_empty() && b.beside().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn b6_what_cannot_be_merged_is_kept_twice() {
    let (person, mut a, mut b) = terminals().await;
    a.save("color=blue\nfont=serif\n").await;
    b.save("not in this form").await;
    a.visit(&person).await;
    // Nobody can merge that: both are kept.
    let report = b.visit(&person).await;
    assert_eq!(report.conflicts, 1, "{report:?}");
    assert_eq!(b.text(), "color=blue\nfont=serif\n");
    assert_eq!(b.beside().len(), 1);
    // Gone here, changed there: it comes back.
    std::fs::remove_file(&b.file).unwrap();
    a.visit(&person).await;
    a.save("color=black\n").await;
    a.visit(&person).await;
    b.visit(&person).await;
    assert_eq!(b.text(), "color=black\n");
}
