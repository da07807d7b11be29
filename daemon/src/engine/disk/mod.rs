//! What is on this disk, against its rows.

pub(super) mod compare;
pub(super) mod local;
pub(super) mod mapped;
pub(super) mod on_disk;
pub(super) mod places;
pub(super) mod rows;
pub(super) mod scan;
pub(super) mod settle;
pub(super) mod unseen;
