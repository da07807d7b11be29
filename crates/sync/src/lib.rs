//! What two sides of a collection have to do to become equal, and the adapter that reads and writes directories.
//!
//! [`plan`] is pure: no input or output, no clock. [`dir`] is the one module that touches the file system.
#![forbid(unsafe_code)]

pub mod dir;
pub mod guard;
pub mod node;
pub mod plan;
