//! A server that comes back from an older copy: terminals notice, say so, and write nothing.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use simsyncd::engine::{EngineError, SyncOptions};

use crate::check::Broken;
use crate::desk::tree;
use crate::work::{Ended, on_thread};
use crate::world::World;

impl World {
    /// The operator copies the server's folder while it is stopped.
    pub async fn keep_copy(&mut self) {
        self.person.server.stop().await;
        let copy = self.person.server.scratch().join("copy");
        let _ = fs::remove_dir_all(&copy);
        copy_folder(&self.person.server.dir(), &copy);
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
        self.person.server.stop().await;
        fs::rename(&dir, &newest).unwrap();
        fs::rename(&copy, &dir).unwrap();
        self.restart_server().await;
        let noticed = self.meets_restored(at).await;
        self.at_mut(at).is_stale = true;
        self.pulled(at, true).await?;
        self.person.server.stop().await;
        fs::remove_dir_all(&dir).unwrap();
        fs::rename(&newest, &dir).unwrap();
        self.restart_server().await;
        noticed
    }

    async fn meets_restored(&mut self, at: u8) -> Result<(), Broken> {
        let shown = self.head().await;
        let seen = self.at(at).terminal.engine.store.witness().unwrap();
        if seen.sequence <= shown {
            return Ok(());
        }
        let before = tree(&self.at(at).desk.root);
        self.insert(at, true).await?;
        let Some(session) = self.at(at).session.clone() else {
            return Ok(());
        };
        let engine = self.at(at).terminal.engine.clone();
        match on_thread(move || engine.sync(&session, SyncOptions::default(), None)).await {
            Ended::Failed(EngineError::Head(_)) => {}
            Ended::Failed(other) => return Err(Broken::new(format!("a restored server: {other}"))),
            Ended::Done(_) | Ended::Killed => {
                return Err(Broken::new("a restored server is not noticed".to_owned()));
            }
        }
        if tree(&self.at(at).desk.root) != before || self.head().await != shown {
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
