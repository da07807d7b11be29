//! From a file to packs at the server.

pub(super) mod content_merge;
pub(super) mod read;
pub(super) mod uploader;
pub(super) mod uploads;
