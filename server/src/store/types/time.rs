//! How time is told.

/// Seconds since 1970, UTC.
pub type Seconds = u64;
