//! Who this terminal is: its file, and its key once it is unsealed.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use simsync_card::ids::{CardId, TerminalId};
use simsync_card::sign::SecretKey;
use simsync_codes::Code;
use simsync_vault::keyobject::KeyObject;

use super::{Pairing, Terminal};
use crate::api::{Failure, Reason};
use crate::config::ConfigError;
use crate::database::Database;

/// This terminal. Nobody who only reads waits for a disk.
pub struct Identity {
    file: PathBuf,
    /// What the settings call it.
    set_label: String,
    terminal: Mutex<Option<Terminal>>,
    /// Held while the file is written: two writers would take the same new file, and one undo what the other changed.
    writing: Mutex<()>,
    key: Mutex<Option<Arc<SecretKey>>>,
}

impl Identity {
    /// Reads the file, if there is one.
    pub fn open(file: PathBuf, set_label: String) -> Result<Self, ConfigError> {
        Ok(Self {
            terminal: Mutex::new(Terminal::load(&file)?),
            file,
            set_label,
            writing: Mutex::default(),
            key: Mutex::default(),
        })
    }

    /// What the file says.
    pub fn terminal(&self) -> Option<Terminal> {
        self.terminal.lock().clone()
    }

    /// Writes the file, or deletes it.
    pub fn set_terminal(&self, terminal: Option<Terminal>) -> std::io::Result<()> {
        let _one_writer = self.writing.lock();
        match &terminal {
            Some(t) => t.save(&self.file)?,
            None => match std::fs::remove_file(&self.file) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
                _ => {}
            },
        }
        *self.terminal.lock() = terminal;
        Ok(())
    }

    /// Nobody else writes the file while this is held: a disk that hangs.
    #[cfg(test)]
    pub(crate) fn hang(&self) -> parking_lot::MutexGuard<'_, ()> {
        self.writing.lock()
    }

    /// Changes the file as it is now, if there is one.
    pub fn update_terminal(&self, change: impl FnOnce(&mut Terminal)) -> std::io::Result<()> {
        let _one_writer = self.writing.lock();
        let Some(mut terminal) = self.terminal() else {
            return Ok(());
        };
        change(&mut terminal);
        terminal.save(&self.file)?;
        *self.terminal.lock() = Some(terminal);
        Ok(())
    }

    /// Changes what the file says of the pairing, if there is one.
    pub fn update_pairing(&self, change: impl FnOnce(&mut Pairing)) -> std::io::Result<()> {
        self.update_terminal(|t| {
            if let Some(pairing) = &mut t.pairing {
                change(pairing);
            }
        })
    }

    /// Notes that a card knows where the server is now.
    pub fn note_told(&self, card: &CardId) {
        let note = |p: &mut Pairing| {
            let told = p.told_cards.get_or_insert_default();
            if !told.contains(card) {
                told.push(*card);
            }
        };
        if let Err(error) = self.update_pairing(note) {
            tracing::warn!(%error, "the card is told of the server's move once more");
        }
    }

    /// The failure of a command whose change could not be written.
    pub fn not_saved(&self, error: &std::io::Error) -> Failure {
        Failure::new(
            Code::CannotWrite,
            format!("{}: {error}", self.file.display()),
        )
    }

    /// The file and its pairing; a reason if there is none.
    pub fn pairing(&self) -> Result<(Terminal, Pairing), Reason> {
        let terminal = self.terminal();
        let pairing = terminal.as_ref().and_then(|t| t.pairing.clone());
        match (terminal, pairing) {
            (Some(t), Some(p)) => Ok((t, p)),
            _ => Err(Reason::new(
                Code::NotPaired,
                "this terminal is not paired; run `simsync pair`",
            )),
        }
    }

    /// Whether the vault names this terminal: pairing came to its end.
    pub fn is_paired(&self) -> bool {
        self.terminal
            .lock()
            .as_ref()
            .is_some_and(|t| t.pairing.as_ref().is_some_and(|p| p.complete))
    }

    /// Its ID, once it has a key.
    pub fn terminal_id(&self) -> Option<TerminalId> {
        self.terminal.lock().as_ref().map(Terminal::id)
    }

    /// What it is called: as the vault names it, which is what everybody sees; before it does as it is to be paired, or as it is
    /// set.
    pub fn label(&self, database: &Database) -> String {
        let newest = database.stored(|s| s.newest_key_object());
        self.label_by(newest.ok().flatten().as_ref())
    }

    /// The same, by this key object.
    pub fn label_by(&self, newest: Option<&KeyObject>) -> String {
        let terminal = self.terminal();
        let pairing = terminal.as_ref().and_then(|t| t.pairing.as_ref());
        let in_vault = || {
            let own = terminal.as_ref()?.id();
            Some(newest?.body.terminal(&own)?.label.clone())
        };
        pairing
            .and_then(|_| in_vault())
            .or_else(|| pairing?.label.clone())
            .unwrap_or_else(|| self.set_label.clone())
    }

    /// What card and server were told that it is called. A pairing that was interrupted then has not told the vault.
    pub fn label_told(&self, database: &Database) -> String {
        let told = self.terminal().and_then(|t| t.pairing?.label);
        told.unwrap_or_else(|| self.label(database))
    }

    /// The unsealed key.
    pub fn key(&self) -> Option<Arc<SecretKey>> {
        self.key.lock().clone()
    }

    /// Keeps the unsealed key until the daemon ends; or forgets it.
    pub fn set_key(&self, key: Option<SecretKey>) {
        *self.key.lock() = key.map(Arc::new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fresh_rng;

    #[test]
    fn of_two_who_change_the_file_at_once_none_undoes_the_other() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("terminal.json");
        let identity = Identity::open(file.clone(), "desk".to_owned()).unwrap();
        assert_eq!(identity.label_by(None), "desk");
        assert!(identity.pairing().is_err());
        let (terminal, _) = Terminal::create("correct horse", &mut fresh_rng()).unwrap();
        let before = terminal.key.passes;
        identity.set_terminal(Some(terminal)).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| identity.update_terminal(|t| t.key.passes += 1).unwrap());
            }
        });
        let kept = Terminal::load(&file).unwrap();
        assert_eq!(kept.as_ref().unwrap().key.passes, before + 8);
        assert_eq!(kept, identity.terminal());
        identity.set_terminal(None).unwrap();
        assert!(!file.exists());
        assert_eq!(identity.terminal_id(), None);
    }
}
