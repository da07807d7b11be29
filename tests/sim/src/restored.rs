//! A server that comes back from an older copy: terminals notice, say so, and write nothing.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use simsyncd::engine::EngineError;

use crate::check::Broken;
use crate::work::Ended;
use crate::workplace::tree;
use crate::world::World;

/// A server whose files are open longer than this is left as it is.
const PATIENCE: Duration = Duration::from_millis(500);

impl World {
    /// The server ends, and every file of its folder is closed. Whether that came to be soon.
    async fn stopped(&mut self) -> bool {
        self.person.server.stop().await;
        let (dir, begun) = (self.person.server.dir(), Instant::now());
        while has_open(&dir) {
            if begun.elapsed() > PATIENCE {
                return false;
            }
            tokio::task::yield_now().await;
        }
        true
    }

    /// The operator copies the server's folder while it is stopped.
    pub async fn keep_copy(&mut self) {
        let copy = self.person.server.scratch().join("copy");
        let _ = fs::remove_dir_all(&copy);
        if self.stopped().await {
            copy_folder(&self.person.server.dir(), &copy);
        }
        self.restart_server().await;
    }

    /// That copy serves for a while, and then the newest folder again.
    pub async fn restored(&mut self, at: u8) -> Result<(), Broken> {
        let copy = self.person.server.scratch().join("copy");
        if !copy.exists() || self.at(at).wire.is_cut() {
            return Ok(());
        }
        self.take_card_from_others(at).await?;
        self.pulled(at, true).await?;
        let (dir, newest) = (
            self.person.server.dir(),
            self.person.server.scratch().join("newest"),
        );
        if !self.stopped().await {
            self.restart_server().await;
            return Ok(());
        }
        fs::rename(&dir, &newest).unwrap();
        fs::rename(&copy, &dir).unwrap();
        self.restart_server().await;
        let noticed = self.meets_restored(at).await;
        self.at_mut(at).disconnected();
        self.pulled(at, true).await?;
        // The copy is not needed any more, whoever has it open.
        self.stopped().await;
        fs::rename(
            &dir,
            self.person
                .server
                .scratch()
                .join(format!("old-{}", self.served)),
        )
        .unwrap();
        self.served += 1;
        fs::rename(&newest, &dir).unwrap();
        self.restart_server().await;
        noticed
    }

    async fn meets_restored(&mut self, at: u8) -> Result<(), Broken> {
        let shown = self.head().await;
        let seen = self.at(at).terminal.engine.store.witness().unwrap();
        // The card alone is enough, at a terminal that saw nothing of it.
        let carried = self.card.head().map_or(0, |(sequence, _)| sequence);
        if seen.sequence.max(carried) <= shown {
            return Ok(());
        }
        let before = tree(&self.at(at).workplace.root);
        let ended = self.opened(at).await;
        self.card.pulled();
        match ended {
            Ended::Failed(EngineError::Head(_)) => {}
            Ended::Failed(other) => return Err(Broken::new(format!("a restored server: {other}"))),
            Ended::Done(_) | Ended::Killed => {
                return Err(Broken::new("a restored server is not noticed".to_owned()));
            }
        }
        if tree(&self.at(at).workplace.root) != before || self.head().await != shown {
            return Err(Broken::new("a restored server was believed".to_owned()));
        }
        Ok(())
    }

    /// Where the server listens now.
    pub fn find_server(&self) {
        let port = self.person.server.socket().port();
        self.port.store(port, Ordering::SeqCst);
    }
}

/// Whether this process has a file of this folder open.
fn has_open(dir: &Path) -> bool {
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let mut targets = open.filter_map(|e| fs::read_link(e.path()).ok());
    targets.any(|t| t.starts_with(dir))
}

/// Sockets stay where they are.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy_folder(&path, &to.join(name));
        } else if kind.is_file() {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}
