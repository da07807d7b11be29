//! What every collection of one sync needs.

use simsync_vault::chunker::Chunker;

use super::options::SyncOptions;
use crate::engine::send::uploader::Uploader;
use crate::engine::session::Session;

#[derive(Clone, Copy)]
pub struct Round<'a> {
    pub session: &'a Session,
    pub chunker: &'a Chunker,
    pub uploader: &'a Uploader,
    pub options: &'a SyncOptions,
}
