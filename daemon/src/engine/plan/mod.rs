//! What is to be done to make disk and vault equal.

pub(super) mod agreed;
pub(super) mod answers;
pub(super) mod conflict_name;
pub(super) mod conflicts;
pub(super) mod options;
pub(super) mod planned;
pub(super) mod planner;
pub(super) mod round;
pub(super) mod written;
