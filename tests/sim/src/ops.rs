//! Operations, and how they are drawn. They are drawn before anything happens, so that leaving some out changes no other.

#![allow(
    missing_docs,
    reason = "the fields are the nouns of what is told of their variant"
)]

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use simsync_server::testing::{LIES, Lie};

/// Terminals of a world.
pub const TERMINALS: u8 = 3;
/// Operations between two peaces.
const PHASE: usize = 60;

/// What a person does with files. Paths are numbers of [`PATHS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// Writes a file anew.
    Write { path: u8, size: u8 },
    /// Adds to a file, in place.
    Append { path: u8 },
    /// Deletes a file or a link.
    Delete { path: u8 },
    /// Renames whatever is there.
    Rename { from: u8, to: u8 },
    /// Makes a folder.
    Mkdir { path: u8 },
    /// Removes a folder with all in it.
    Rmdir { path: u8 },
    /// Sets permission bits.
    Chmod { path: u8, mode: u8 },
    /// Makes a link, or another one in its place.
    Symlink { path: u8 },
}

impl Edit {
    /// Numbers of the paths that it is about.
    pub fn paths(self) -> impl Iterator<Item = u8> {
        let (one, other) = match self {
            Self::Rename { from, to } => (from, Some(to)),
            Self::Write { path, .. }
            | Self::Append { path }
            | Self::Delete { path }
            | Self::Mkdir { path }
            | Self::Rmdir { path }
            | Self::Chmod { path, .. }
            | Self::Symlink { path } => (path, None),
        };
        std::iter::once(one).chain(other)
    }
}

/// Where things are: below the folder of their collection. Some are folders at one time and files at another.
pub const PATHS: [&str; 18] = [
    "data/x",
    "data/y",
    "data/z.txt",
    "data/a/x",
    "data/a/y",
    "data/b/x",
    "data/b/z.txt",
    "data/a/c/x",
    "data/a/c/y",
    "data/b/d/x",
    "data/a",
    "data/b",
    "data/a/c",
    "data/b/d",
    "notes/x",
    "notes/y",
    "notes/a/x",
    "notes/a",
];
/// Permission bits.
pub const MODES: [u32; 4] = [0o644, 0o600, 0o755, 0o444];

/// Work of a terminal, in the middle of which something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// The card is put in, the PIN typed: a session.
    Insert,
    /// A sync; with the card put in before, if need be.
    Sync,
    /// `simsync eject`.
    Eject,
    /// The card is pulled.
    Yank,
    /// Tails that wait go to the server.
    Deliver,
}

/// What happens in the middle of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The daemon ends, at one of its steps.
    KillDaemon,
    /// The server ends, at one of its steps.
    KillServer,
    /// The card is pulled, at a step of the daemon.
    Pull,
    /// The wire is cut, at a step of the daemon.
    Cut,
    /// The wire is cut, at a step of the server: it acted, and its answer is lost.
    LoseAnswer,
    /// A person edits on this terminal, at a step of the daemon.
    Edit(Edit),
}

/// Whose disk is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// That of the terminal that works, and the server's.
    Everybodys,
    /// Only that of the terminal that works.
    Terminals,
    /// Only the server's.
    Servers,
}

/// One thing that happens in a world. `at` says at which terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// A person edits.
    Edit { at: u8, edit: Edit },
    /// A terminal works.
    Work { at: u8, work: Work },
    /// A terminal works, and something happens after `left` moments of steps whose names begin with `steps`.
    During {
        steps: &'static str,
        at: u8,
        work: Work,
        event: Event,
        left: u16,
    },
    /// The wire of a terminal is cut.
    Cut { at: u8 },
    /// The wire of a terminal works again.
    Mend { at: u8 },
    /// The daemon ends and starts again.
    Restart { at: u8 },
    /// The server ends politely and starts again.
    RestartServer,
    /// A day goes by, and nobody does anything.
    Later,
    /// A disk is full but for so many pages, during this work.
    Full {
        at: u8,
        work: Work,
        pages: u8,
        whose: Disk,
    },
    /// A terminal works, and the server lies, after `left` true answers of the kind that the lie is about.
    Lie {
        at: u8,
        work: Work,
        lie: Lie,
        left: u8,
        knob: u16,
    },
    /// The operator copies the server's folder.
    KeepCopy,
    /// That copy serves instead of the newest folder, for one session of this terminal.
    Restored { at: u8 },
    /// The disk of a terminal is lost, right after a peace: it begins with nothing.
    NewDisk { at: u8 },
    /// Everything is delivered, every terminal is opened and closed until nothing changes.
    Peace,
}

struct Draw {
    rng: StdRng,
}

impl Draw {
    fn below(&mut self, n: u8) -> u8 {
        self.rng.random_range(0..n)
    }

    fn path(&mut self) -> u8 {
        let all = u8::try_from(PATHS.len()).unwrap_or(u8::MAX);
        self.below(all)
    }

    fn edit(&mut self) -> Edit {
        let path = self.path();
        match self.below(20) {
            0..=7 => Edit::Write {
                path,
                size: self.below(60),
            },
            8..=10 => Edit::Append { path },
            11..=12 => Edit::Delete { path },
            13..=14 => Edit::Rename {
                from: path,
                to: self.path(),
            },
            15 => Edit::Mkdir { path },
            16 => Edit::Rmdir { path },
            17 => Edit::Chmod {
                path,
                mode: self.below(4),
            },
            _ => Edit::Symlink { path },
        }
    }

    fn work(&mut self) -> Work {
        match self.below(10) {
            0 => Work::Insert,
            1..=4 => Work::Sync,
            5..=6 => Work::Eject,
            7..=8 => Work::Yank,
            _ => Work::Deliver,
        }
    }

    fn during(&mut self, at: u8, edits: bool) -> Op {
        let event = match self.below(8) {
            0..=2 => Event::KillDaemon,
            3 => Event::KillServer,
            4 => Event::Pull,
            5 => Event::Cut,
            6 => Event::LoseAnswer,
            _ if edits => Event::Edit(self.edit()),
            _ => Event::KillDaemon,
        };
        let work = match event {
            Event::Pull | Event::Edit(_) => Work::Sync,
            _ => self.work(),
        };
        let (steps, most) = match (event, work) {
            (Event::KillServer | Event::LoseAnswer, _) => ("server", 16),
            (_, Work::Yank | Work::Deliver) => ("daemon", 20),
            _ => [
                ("daemon", 60),
                ("daemon.apply", 8),
                ("daemon.store.synced", 4),
                ("daemon.commit", 2),
            ][usize::from(self.below(4))],
        };
        let left = self.rng.random_range(0..most);
        Op::During {
            steps,
            at,
            work,
            event,
            left,
        }
    }

    fn full(&mut self, at: u8) -> Op {
        let (work, pages) = (self.work(), self.below(40));
        let whose = match pages % 3 {
            0 => Disk::Everybodys,
            1 => Disk::Terminals,
            _ => Disk::Servers,
        };
        Op::Full {
            at,
            work,
            pages,
            whose,
        }
    }

    fn lie(&mut self, at: u8) -> Op {
        let work = self.work();
        let lie = LIES[self.rng.random_range(0..LIES.len())];
        let left = match lie {
            Lie::Refused | Lie::DoneAndRefused => self.below(12),
            _ => self.below(2),
        };
        Op::Lie {
            at,
            work,
            lie,
            left,
            knob: self.rng.random(),
        }
    }

    fn one(&mut self, edits_at: Option<u8>) -> Op {
        let at = self.below(TERMINALS);
        let here = edits_at.unwrap_or(at);
        match self.below(100) {
            0..=71 => Op::Edit {
                at: here,
                edit: self.edit(),
            },
            72..=83 => Op::Work {
                at,
                work: self.work(),
            },
            84..=91 => self.during(at, edits_at.is_none_or(|a| a == at)),
            92..=93 => self.lie(at),
            94..=95 => Op::Cut { at },
            96..=97 => Op::Mend { at },
            98 if self.below(2) == 0 => self.full(at),
            98 => Op::Restart { at },
            _ if self.below(3) == 0 => Op::RestartServer,
            _ if self.below(3) == 0 => Op::Restored { at },
            _ if at == 0 => Op::Later,
            _ => Op::Mend { at },
        }
    }
}

/// So many operations, the last one a peace.
pub fn draw(seed: u64, count: usize) -> Vec<Op> {
    let mut draw = Draw {
        rng: StdRng::seed_from_u64(seed),
    };
    let mut out = Vec::with_capacity(count);
    while out.len() + 1 < count {
        // In some phases people edit on one terminal only: then nothing of it may come out otherwise.
        let edits_at = (draw.below(3) == 0).then(|| draw.below(TERMINALS));
        let end = (out.len() + PHASE).min(count - 1);
        while out.len() < end {
            let op = draw.one(edits_at);
            out.push(op);
        }
        if out.len() + 1 < count {
            out.push(Op::Peace);
            if draw.below(4) == 0 {
                out.push(Op::KeepCopy);
            } else if draw.below(3) == 0 {
                let at = draw.below(TERMINALS);
                out.push(Op::NewDisk { at });
            }
        }
    }
    out.push(Op::Peace);
    out
}
