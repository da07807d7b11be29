//! What goes with a pairing, or with a key: what this terminal knew of the vault.

use std::path::PathBuf;
use std::sync::Arc;

use simsync_codes::Code;

use crate::api::Failure;
use crate::database::Database;
use crate::events::Events;
use crate::identity::Identity;
use crate::link::ServerLink;
use crate::rules::Event;
use crate::works::Folders;

/// What is forgotten, and where it is. The synced folders stay.
pub struct Forgetter {
    pub(crate) identity: Arc<Identity>,
    pub(crate) link: Arc<ServerLink>,
    pub(crate) database: Arc<Database>,
    pub(crate) folders: Arc<Folders>,
    pub(crate) events: Events,
    /// A card that was to be added.
    pub(crate) spare: PathBuf,
    /// Folders of sealed packs: to be delivered, and fetched.
    pub(crate) sealed: [PathBuf; 2],
}

impl Forgetter {
    /// This terminal's key, certificate and everything of the vault are gone; the synced folders stay.
    pub fn forget_pairing(&self) -> Result<(), Failure> {
        self.identity.set_key(None);
        self.link.forget();
        self.identity
            .set_terminal(None)
            .map_err(|e| Failure::new(Code::CannotWrite, e.to_string()))?;
        self.forget_vault()?;
        self.events.emit(Event::Pairing(false));
        Ok(())
    }

    /// What was known of a vault belongs to the key that entered it: another key begins anew.
    pub fn forget_vault(&self) -> Result<(), Failure> {
        self.database
            .stored(|s| s.forget_vault())
            .map_err(|e| Failure::new(Code::Store, e.to_string()))?;
        self.folders.changed();
        if let Err(e) = std::fs::remove_file(&self.spare)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(error = %e, "left behind");
        }
        for dir in &self.sealed {
            let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
            for file in files {
                if let Err(e) = std::fs::remove_file(file.path()) {
                    tracing::warn!(error = %e, path = %file.path().display(), "left behind");
                }
            }
        }
        Ok(())
    }

    /// A revoked key is never accepted again: the next pairing makes a new one.
    pub fn discard_revoked(&self) -> Failure {
        if let Err(failure) = self.forget_pairing() {
            return failure;
        }
        Failure::new(
            Code::TerminalRevoked,
            "this terminal's key was revoked and is discarded now; run `simsync pair` once more to pair with a new one",
        )
    }
}
