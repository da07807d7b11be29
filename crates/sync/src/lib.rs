//! What two sides of a collection have to do to become equal, what a collection is on a terminal, and the adapter for folders.
//!
//! [`plan`] is pure: no input or output, no clock. [`dir`] is the one module that touches the file system.
#![forbid(unsafe_code)]

pub mod adapter;
pub mod dir;
pub mod folders;
pub mod guard;
pub mod node;
pub mod plan;
