//! Everything there is, and what happens to it.

use std::sync::atomic::AtomicU16;
use std::sync::{Arc, Mutex};

use simsync_failpoint as failpoint;
use simsync_protocol::Client;
use simsync_server::testing::{Seed, TestServer};
use simsyncd::engine::{Cancel, Session};
use simsyncd::store::Store;

use crate::check::{self, Broken};
use crate::desk::{Desk, Tree, Values, tree};
use crate::disk;
use crate::ops::{Event, Op, TERMINALS, Work};
use crate::rig::{FILES, Person, Terminal, engine_in};
use crate::wire::Wire;

/// Names of terminals.
const LABELS: [&str; TERMINALS as usize] = ["A", "B", "C"];

/// One terminal with all around it.
pub struct Place {
    /// Engine and folders.
    pub terminal: Terminal,
    /// What its person does.
    pub desk: Desk,
    /// To the server.
    pub wire: Wire,
    /// The session, if the card is here.
    pub session: Option<Session>,
    /// The session's connection is gone: the grant is to be renewed on another one.
    pub is_stale: bool,
}

/// The world.
pub struct World {
    /// Card and server.
    pub person: Person,
    /// The terminals.
    pub places: Vec<Place>,
    /// What became of every value.
    pub values: Arc<Mutex<Values>>,
    /// Where the server listens.
    pub port: Arc<AtomicU16>,
    /// Names of folders that served before.
    pub served: u64,
    /// How everything looked at the last peace.
    pub at_peace: Tree,
    /// Terminals on which somebody edited since then, with how their files looked after the last edit.
    pub edited: Vec<Option<Tree>>,
    /// Since then the server took a commit of a terminal that could not write down that it did.
    pub is_unheard: bool,
    /// Since then a tail was sealed that holds something.
    pub is_sealed: bool,
    /// A terminal began with an empty disk since then: what it makes comes to what others have.
    pub has_new_disk: bool,
    /// The last thing was a peace: a disk may be lost now.
    pub is_peace: bool,
}

impl World {
    /// A person with a card and terminals that are paired with it.
    pub async fn new(seed: u64) -> Self {
        failpoint::set_settling(std::time::Duration::from_millis(5));
        let seed = Seed::of(seed);
        let server = TestServer::start().await;
        let collections = [FILES];
        let labels = LABELS.map(|label| (label, &collections[..]));
        let (person, terminals) = Person::found(&seed, server, &labels).await;
        let port = Arc::new(AtomicU16::new(person.server.socket().port()));
        let values = Arc::<Mutex<Values>>::default();
        let mut places = Vec::new();
        for terminal in terminals {
            let desk = Desk::new(terminal.data(), values.clone());
            let wire = Wire::new(port.clone()).await;
            places.push(Place {
                terminal,
                desk,
                wire,
                session: None,
                is_stale: false,
            });
        }
        // The vault was made in the first terminal's first session.
        places[0].terminal.engine.keys.wipe();
        let edited = places.iter().map(|_| None).collect();
        Self {
            person,
            places,
            values,
            port,
            served: 0,
            at_peace: Tree::new(),
            edited,
            is_unheard: false,
            is_sealed: false,
            has_new_disk: false,
            is_peace: false,
        }
    }

    /// A terminal.
    pub fn at(&self, at: u8) -> &Place {
        &self.places[usize::from(at) % self.places.len()]
    }

    /// A terminal.
    pub fn at_mut(&mut self, at: u8) -> &mut Place {
        let n = self.places.len();
        &mut self.places[usize::from(at) % n]
    }

    /// A client that goes over a terminal's wire.
    pub fn client(&self, at: u8) -> Client {
        self.person
            .server
            .client()
            .with_socket(self.at(at).wire.address)
    }

    /// Lets one event happen.
    pub async fn happen(&mut self, op: Op) -> Result<(), Broken> {
        let was_peace = std::mem::replace(&mut self.is_peace, false);
        match op {
            Op::Edit { at, edit } => self.at(at).desk.edit(edit),
            Op::Work { at, work } => {
                let is_disturbed = self.at(at).wire.is_cut();
                self.work(at, work, is_disturbed).await?;
            }
            Op::During {
                steps,
                at,
                work,
                event,
                left,
            } => self.during(at, work, event, (steps, left)).await?,
            Op::Cut { at } => {
                self.at(at).wire.cut();
                self.at_mut(at).is_stale = true;
            }
            Op::Mend { at } => self.at(at).wire.mend(),
            Op::Restart { at } => self.restart(at).await?,
            Op::Full { at, work, pages } => {
                disk::fill(pages.into());
                let ended = self.work(at, work, true).await;
                disk::free();
                ended?;
                // What could not be written down at the removal is sealed now.
                self.restart(at).await?;
            }
            Op::KeepCopy => self.keep_copy().await,
            Op::Restored { at } => self.restored(at).await?,
            Op::RestartServer => self.restart_server().await,
            Op::NewDisk { at } if was_peace => self.new_disk(at),
            Op::NewDisk { .. } => {}
            Op::Peace => {
                self.note_edits();
                self.peace().await?;
                self.is_peace = true;
            }
        }
        self.note_edits();
        Ok(())
    }

    /// Shows everybody's files.
    pub fn tell(&self) {
        for place in &self.places {
            let label = &place.terminal.engine.config.label;
            let files = tree(&place.desk.root);
            let card = if place.session.is_some() {
                " (card)"
            } else {
                ""
            };
            println!("    {label}{card}: {:?}", check::shown(&files));
        }
    }

    fn note_edits(&mut self) {
        for (place, edited) in self.places.iter().zip(&mut self.edited) {
            if let Some(tree) = place.desk.take_edited() {
                *edited = Some(tree);
            }
        }
    }

    async fn during(
        &mut self,
        at: u8,
        work: Work,
        event: Event,
        (steps, left): (&'static str, u16),
    ) -> Result<(), Broken> {
        if matches!(work, Work::Insert | Work::Sync | Work::Eject) {
            self.take_card_from_others(at).await?;
        }
        let left = u64::from(left);
        let place = self.at(at);
        let (wire, desk) = (place.wire.clone(), place.desk.clone());
        let (keys, cancel) = (
            place.terminal.engine.keys.clone(),
            place.terminal.engine.cancel.clone(),
        );
        match event {
            Event::KillDaemon => failpoint::arm(steps, left, None),
            Event::KillServer => failpoint::arm(steps, left, None),
            Event::Pull => failpoint::arm(
                steps,
                left,
                Some(Box::new(move || {
                    keys.wipe();
                    cancel.cancel();
                })),
            ),
            Event::Cut => failpoint::arm(steps, left, Some(Box::new(move || wire.cut()))),
            Event::LoseAnswer => failpoint::arm(steps, left, Some(Box::new(move || wire.cut()))),
            Event::Edit(edit) => {
                failpoint::arm(steps, left, Some(Box::new(move || desk.edit(edit))))
            }
        }
        let ended = self.work(at, work, true).await;
        let happened = failpoint::disarm();
        if failpoint::is_dead("server") {
            self.restart_server().await;
        }
        ended?;
        if failpoint::is_dead("daemon") {
            self.crash(at).await?;
        }
        if happened.is_some() {
            match event {
                Event::Pull => self.pulled(at, true).await?,
                Event::Cut | Event::LoseAnswer => {
                    // The server may go on with what it has, after the terminal gave up.
                    self.is_unheard = true;
                    self.at(at).wire.mend();
                    self.at_mut(at).is_stale = true;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The server begins anew, in its folder.
    pub async fn restart_server(&mut self) {
        self.person.server.stop().await;
        failpoint::revive("server");
        self.person.server.restart().await;
        self.find_server();
        for place in &mut self.places {
            place.is_stale = true;
        }
    }

    /// The daemon was killed at one of its steps: what it had under way ends, and it begins anew.
    async fn crash(&mut self, at: u8) -> Result<(), Broken> {
        let place = self.at_mut(at);
        place.terminal.engine.cancel.cancel();
        place.session = None;
        self.begin_anew(at).await?;
        Ok(())
    }

    /// The daemon ends between two steps and begins anew.
    async fn restart(&mut self, at: u8) -> Result<(), Broken> {
        let place = self.at_mut(at);
        place.terminal.engine.cancel.cancel();
        place.session = None;
        self.begin_anew(at).await
    }

    async fn begin_anew(&mut self, at: u8) -> Result<(), Broken> {
        let server = self.person.server.app().server;
        let label = LABELS[usize::from(at) % LABELS.len()];
        let place = self.at_mut(at);
        let old = &place.terminal.engine;
        // Threads of the one that was killed end at their next step; none of them outlives it.
        while Arc::strong_count(&old.store) > 1 {
            tokio::task::yield_now().await;
        }
        failpoint::revive("daemon");
        let dir = place.terminal.dir.path().to_owned();
        place.terminal.engine = engine_in(&dir, &place.terminal.soft, label, server);
        place.is_stale = false;
        self.seal(at, false).await
    }

    /// A terminal gets an empty disk: its database and its files are gone, its key and its certificate are not.
    fn new_disk(&mut self, at: u8) {
        self.has_new_disk = true;
        let server = self.person.server.app().server;
        let label = LABELS[usize::from(at) % LABELS.len()];
        let place = self.at_mut(at);
        let dir = place.terminal.dir.path().to_owned();
        let engine = &mut place.terminal.engine;
        engine.store = Arc::new(Store::in_memory().unwrap());
        for name in ["state.db", "state.db-wal", "state.db-shm"] {
            let _ = std::fs::remove_file(dir.join(name));
        }
        for folder in ["data", "packs", "outbox"] {
            std::fs::remove_dir_all(dir.join(folder)).unwrap();
            std::fs::create_dir(dir.join(folder)).unwrap();
        }
        place.terminal.engine = engine_in(&dir, &place.terminal.soft, label, server);
        place.terminal.register();
    }

    /// The work of this terminal that was cancelled is over; other work may begin.
    pub fn uncancel(&mut self, at: u8) {
        self.at_mut(at).terminal.engine.cancel = Cancel::default();
    }
}
