//! For tests of this and other crates (feature `test-support`): a server in this process or as a program, a card in
//! software that signs what a real one signs, and a vault whose wraps open nothing.
//!
//! Everything is drawn from a [`Seed`] that is printed, so that a failing test can be run again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod card;
mod liar;
mod process;
mod server;
mod vault;

use std::sync::atomic::{AtomicU64, Ordering};

use simsync_card::ids::Hash;
use simsync_card::sign::SecretKey;
use simsync_protocol::batch::Pack;
use simsync_protocol::problem::{Code, Problem};
use simsync_protocol::{ClientError, Connection};

pub use card::{Opened, SoftCard, SoftTerminal};
pub use liar::{LIES, Liar, Lie};
pub use process::ServerProcess;
pub use server::TestServer;
pub use vault::{SoftVault, World};

/// Where a test's random values come from.
#[derive(Debug)]
pub struct Seed {
    seed: u64,
    drawn: AtomicU64,
}

impl Default for Seed {
    fn default() -> Self {
        Self::new()
    }
}

impl Seed {
    /// From `SIMSYNC_TEST_SEED`, else a random one; printed.
    pub fn new() -> Self {
        let seed = match std::env::var("SIMSYNC_TEST_SEED") {
            Ok(text) => text.parse().expect("SIMSYNC_TEST_SEED is a number"),
            Err(_) => getrandom::u64().expect("random bytes"),
        };
        println!("SIMSYNC_TEST_SEED={seed}");
        Self::of(seed)
    }

    /// From this number.
    pub fn of(seed: u64) -> Self {
        Self {
            seed,
            drawn: AtomicU64::new(0),
        }
    }

    /// 32 bytes, others each time.
    pub fn bytes(&self) -> [u8; 32] {
        let n = self.drawn.fetch_add(1, Ordering::Relaxed);
        Hash::of(format!("{}/{n}", self.seed).as_bytes()).0
    }

    /// 16 bytes, others each time.
    pub fn id(&self) -> [u8; 16] {
        self.bytes()[..16].try_into().unwrap()
    }

    /// A P-256 key.
    pub fn key(&self) -> SecretKey {
        SecretKey::from_bytes(&self.bytes()).unwrap()
    }

    /// So many bytes.
    pub fn blob(&self, len: usize) -> bytes::Bytes {
        let mut out = Vec::with_capacity(len + 32);
        let start = self.bytes();
        let mut n = 0u64;
        while out.len() < len {
            out.extend_from_slice(&Hash::of(&[&start[..], &n.to_be_bytes()[..]].concat()).0);
            n += 1;
        }
        out.truncate(len);
        out.into()
    }
}

/// Uploads packs, each whole, one after the other; ends at the first one that is refused.
pub async fn put_all(
    connection: &Connection,
    packs: impl IntoIterator<Item = Pack>,
) -> Result<(), ClientError> {
    for pack in packs {
        let size = pack.bytes.len() as u64;
        let put = connection.put_pack(pack.id, pack.collection, pack.bytes, 0);
        let state = put.await?;
        assert_eq!((state.received, state.complete), (size, true));
    }
    Ok(())
}

/// The problem of a call that must have been refused with this code.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, ClientError>, code: Code) -> Problem {
    match result {
        Err(ClientError::Problem(problem)) if problem.code == code => {
            assert_eq!(problem.status, code.status());
            assert!(!problem.detail.is_empty());
            problem
        }
        other => panic!("expected a refusal {code:?}, got {other:?}"),
    }
}
