//! Why a command failed, and the exit code that says so.

use simsync_protocol::problem::{Code, Problem};

use crate::home::HomeError;
use crate::server::StartError;
use crate::store::StoreError;

/// Why a command failed: exit code and sentence.
pub(super) struct Failure {
    pub(super) exit: u8,
    pub(super) sentence: String,
}

impl Failure {
    pub(super) fn new(exit: u8, error: &dyn std::error::Error) -> Self {
        let mut sentence = error.to_string();
        let mut cause = error.source();
        while let Some(e) = cause {
            sentence.push_str(": ");
            sentence.push_str(&e.to_string());
            cause = e.source();
        }
        Self { exit, sentence }
    }
}

impl From<HomeError> for Failure {
    fn from(e: HomeError) -> Self {
        let exit = match &e {
            HomeError::Missing(_) => 3,
            HomeError::Exists(_) | HomeError::Locked(_) => 4,
            HomeError::Newer { .. } | HomeError::Store(StoreError::Newer { .. }) => 5,
            _ => 1,
        };
        Self::new(exit, &e)
    }
}

impl From<StartError> for Failure {
    fn from(e: StartError) -> Self {
        match e {
            StartError::Home(e) => e.into(),
            e => Self::new(1, &e),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Self {
        Self::new(1, &e)
    }
}

impl From<Problem> for Failure {
    fn from(p: Problem) -> Self {
        let exit = match p.code {
            Code::NoSuchObject => 3,
            Code::Internal | Code::StorageFull => 1,
            _ => 4,
        };
        Self {
            exit,
            sentence: p.detail,
        }
    }
}
