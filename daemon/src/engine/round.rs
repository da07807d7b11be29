//! What every collection of one sync needs.

use simsync_vault::chunker::Chunker;

use super::options::SyncOptions;
use super::session::Session;
use super::upload::Uploader;

/// One sync.
#[derive(Clone, Copy)]
pub(super) struct Round<'a> {
    pub(super) session: &'a Session,
    pub(super) chunker: &'a Chunker,
    pub(super) uploader: &'a Uploader,
    pub(super) options: &'a SyncOptions,
}
