//! Everything there is, and what happens to it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU16;

use parking_lot::Mutex;
use simsync_card::ids::Hash;
use simsync_failpoint as failpoint;
use simsync_protocol::{Client, Connection};
use simsync_server::testing::{Seed, TestServer};
use simsync_vault::commit::SessionRef;
use simsync_vault::ids::CollectionId;
use simsyncd::engine::{Cancel, Session};
use simsyncd::store::Store;

use crate::card::Card;
use crate::check::{self, Broken};
use crate::disk;
use crate::ops::{Disk, Event, Op, TERMINALS, Work};
use crate::rig::{FILES, NOTES, Person, Terminal, engine_in};
use crate::settings;
use crate::watcher::watch;
use crate::wire::Wire;
use crate::workplace::{Tree, Values, Workplace, tree};

/// Names of terminals.
const LABELS: [&str; TERMINALS as usize] = ["A", "B", "C"];

/// In seconds: longer than what a server grants.
const DAY: u64 = 24 * 60 * 60;

/// What a terminal syncs: one of them has no notes.
fn collections_of(label: &str) -> &'static [CollectionId] {
    match label {
        "C" => &[FILES],
        _ => &[FILES, NOTES],
    }
}

/// One terminal with all around it.
pub struct Place {
    /// Engine and folders.
    pub terminal: Terminal,
    /// What its person does.
    pub workplace: Workplace,
    /// Its wire to the server, which can be cut.
    pub wire: Wire,
    /// The session, if the card is here.
    pub session: Option<Session>,
    /// The session's connection is gone: the grant is to be renewed on another one.
    pub is_stale: bool,
    /// The connection that the daemon keeps: each session of this terminal is opened on it.
    pub link: Option<Connection>,
}

impl Place {
    /// Every connection of this terminal is gone.
    pub fn disconnected(&mut self) {
        self.is_stale = true;
        self.link = None;
    }
}

/// A person with one card, terminals and a server, and what is known of everything that was ever written.
pub struct World {
    /// Server, and what the vault was made with.
    pub person: Person,
    /// The person's only card.
    pub card: Card,
    /// The terminals A, B and C, all paired.
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
    /// The newest commit at the last peace.
    pub commits_at_peace: u64,
    /// A terminal began with an empty disk since then: what it makes comes to what others have.
    pub has_new_disk: bool,
    /// The server is lying: what a terminal says of its sync must be true all the same.
    pub is_lying: bool,
    /// The last thing was a peace: a disk may be lost now.
    pub is_peace: bool,
}

/// Its folders are watched from now on: looks are at what changed only.
fn watched(terminal: &Terminal) {
    let vouches = &terminal.engine.config.vouches;
    watch(vouches, &[terminal.data(), terminal.notes()]);
}

impl World {
    /// A person with a card and terminals that are paired with it.
    pub async fn new(seed: u64) -> Self {
        failpoint::set_settling(std::time::Duration::from_millis(5));
        let has_settings = settings::has(seed);
        let seed = Seed::of(seed);
        let server = TestServer::start_in(disk::folder(), TestServer::roomy()).await;
        let labels = LABELS.map(|label| (label, collections_of(label)));
        let (person, terminals) = Person::found_in(&seed, server, &labels, disk::folder).await;
        let softs: Vec<_> = terminals.iter().map(|t| &t.soft).collect();
        let mut card = Card::new(&seed, &person.card, &person.subscriber, &softs);
        // The session in which the vault was made.
        card.open(softs[0], Hash::ZERO, person.wraps[0].enc);
        card.pulled();
        let port = Arc::new(AtomicU16::new(person.server.socket().port()));
        let values = Arc::<Mutex<Values>>::default();
        let mut places = Vec::new();
        for mut terminal in terminals {
            if has_settings {
                settings::kept_by(&mut terminal.engine);
            }
            watched(&terminal);
            let label = &terminal.engine.config.label;
            let has_notes = collections_of(label).contains(&NOTES);
            let root = terminal.dir.path().to_owned();
            let workplace = Workplace::new(root, has_notes, has_settings, values.clone());
            let wire = Wire::new(port.clone()).await;
            places.push(Place {
                terminal,
                workplace,
                wire,
                session: None,
                is_stale: false,
                link: None,
            });
        }
        // The vault was made in the first terminal's first session.
        places[0].terminal.engine.keys.wipe();
        let edited = places.iter().map(|_| None).collect();
        let mut world = Self {
            person,
            card,
            places,
            values,
            port,
            served: 0,
            at_peace: Tree::new(),
            edited,
            is_unheard: false,
            commits_at_peace: 0,
            has_new_disk: false,
            is_lying: false,
            is_peace: false,
        };
        for at in 0..TERMINALS {
            world.register_notes(at).await.unwrap();
            world.pulled(at, false).await.unwrap();
        }
        world
    }

    /// A terminal that syncs notes begins with it, in a session.
    async fn register_notes(&mut self, at: u8) -> Result<(), Broken> {
        self.insert(at, false).await?;
        let place = self.at(at);
        if let Some(session) = place.session.as_ref().filter(|_| place.workplace.has_notes) {
            place.terminal.register_notes(session).await;
            if place.workplace.has_settings {
                let file = settings::file(&place.workplace.root);
                let store = &place.terminal.engine.store;
                let pk = place.terminal.pk(&NOTES);
                store.set_root(pk, file.to_str()).unwrap();
            }
        }
        Ok(())
    }

    /// The terminal of this number, counted round.
    pub fn at(&self, at: u8) -> &Place {
        &self.places[usize::from(at) % self.places.len()]
    }

    /// The terminal of this number, counted round, to change it.
    pub fn at_mut(&mut self, at: u8) -> &mut Place {
        let n = self.places.len();
        &mut self.places[usize::from(at) % n]
    }

    /// The number of the newest commit that the first terminal knows of.
    pub fn commits(&self) -> u64 {
        let store = &self.places[0].terminal.engine.store;
        store.witness().unwrap().sequence
    }

    /// Whether a commit since the last peace merged tails, and its own session ended with a tail.
    pub fn has_merged_before_its_tail(&self) -> bool {
        let store = &self.places[0].terminal.engine.store;
        let mut new = store.newest_commits(u32::MAX).unwrap();
        new.retain(|c| c.body.sequence > self.commits_at_peace);
        let tails: Vec<_> = new.iter().flat_map(|c| &c.body.tails_merged).collect();
        let mut merged = new.iter().filter(|c| !c.body.tails_merged.is_empty());
        merged.any(|c| {
            let session = &c.body.session;
            let is_its = |t: &&SessionRef| (t.card, t.n) == (session.card, session.n);
            tails.iter().copied().any(|t| is_its(&t))
        })
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
            Op::Edit { at, edit } => self.at(at).workplace.edit(edit),
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
                self.at_mut(at).disconnected();
            }
            Op::Mend { at } => self.at(at).wire.mend(),
            Op::Restart { at } => self.restart(at).await?,
            Op::Later => {
                self.person.server.advance(DAY);
                // What was granted is over; the card goes on with its session.
                for place in &mut self.places {
                    place.is_stale |= place.session.is_some();
                }
            }
            Op::Full {
                at,
                work,
                pages,
                whose,
            } => {
                let full = self.disks(at, whose);
                disk::fill(&full, pages.into());
                let ended = self.work(at, work, true).await;
                disk::free(&full);
                ended?;
                // What could not be written down at the removal is sealed now.
                self.restart(at).await?;
            }
            Op::Lie {
                at,
                work,
                lie,
                left,
                knob,
            } => self.lied_to(at, work, (lie, left, knob)).await?,
            Op::KeepCopy => self.keep_copy().await,
            Op::Restored { at } => self.restored(at).await?,
            Op::RestartServer => self.restart_server().await,
            Op::NewDisk { at } if was_peace => self.new_disk(at).await?,
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

    /// The disks of those who run out of room while this terminal works.
    fn disks(&self, at: u8, whose: Disk) -> Vec<PathBuf> {
        let terminal = self.at(at).terminal.dir.path().to_owned();
        let server = self.person.server.scratch().to_owned();
        match whose {
            Disk::Everybodys => vec![terminal, server],
            Disk::Terminals => vec![terminal],
            Disk::Servers => vec![server],
        }
    }

    /// Shows everybody's files.
    pub fn tell(&self) {
        for place in &self.places {
            let label = &place.terminal.engine.config.label;
            let files = tree(&place.workplace.root);
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
            if let Some(tree) = place.workplace.take_edited() {
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
        let (wire, workplace) = (place.wire.clone(), place.workplace.clone());
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
                failpoint::arm(steps, left, Some(Box::new(move || workplace.edit(edit))))
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
                    self.at_mut(at).disconnected();
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
            place.disconnected();
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
        if place.workplace.has_settings {
            settings::kept_by(&mut place.terminal.engine);
        }
        watched(&place.terminal);
        place.is_stale = false;
        place.link = None;
        self.seal(at, false).await
    }

    /// A terminal gets an empty disk: its database and its files are gone, its key and its certificate are not.
    async fn new_disk(&mut self, at: u8) -> Result<(), Broken> {
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
        for folder in ["data", "notes", "packs", "outbox"] {
            std::fs::remove_dir_all(dir.join(folder)).unwrap();
            std::fs::create_dir(dir.join(folder)).unwrap();
        }
        place.terminal.engine = engine_in(&dir, &place.terminal.soft, label, server);
        if place.workplace.has_settings {
            settings::kept_by(&mut place.terminal.engine);
        }
        watched(&place.terminal);
        place.terminal.register();
        self.register_notes(at).await
    }

    /// The work of this terminal that was cancelled is over; other work may begin.
    pub fn uncancel(&mut self, at: u8) {
        self.at_mut(at).terminal.engine.cancel = Cancel::default();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let terminals = self.places.iter().map(|p| p.terminal.dir.path());
        terminals
            .chain([self.person.server.scratch()])
            .for_each(disk::lose);
    }
}
