//! The vault: keys, HPKE, sealed objects, packs, commits, tails and the rules for heads.
//!
//! Nothing here does input or output; randomness comes in as a parameter.
#![forbid(unsafe_code)]

pub mod chunker;
pub mod commit;
pub mod head;
pub mod hpke;
pub mod ids;
pub mod item;
pub mod keyobject;
pub mod keys;
pub mod metadata;
pub mod pack;
pub mod restore;
pub mod seal;
pub mod secret;
pub mod signed;
pub mod statement;
pub mod succession;
pub mod tail;
pub mod tree;
pub mod treeops;
