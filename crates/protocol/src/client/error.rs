//! What can go wrong between a terminal and the server.

use std::error::Error as StdError;
use std::io;

use crate::problem::{Code, Problem, one_line};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No network, nobody answers, the connection broke, or a deadline passed.
    #[error("the server cannot be reached")]
    Offline(#[source] io::Error),
    /// Somebody answered whose certificate does not come from the pinned CA.
    #[error(
        "the server at this address is not the one that the card knows: its certificate comes from another authority"
    )]
    PinMismatch,
    /// The right authority, but the certificate is for another host name.
    #[error("the server's certificate is not for the host name {0}")]
    HostMismatch(String),
    /// Any other failure of TLS, for example an expired certificate or a wrong clock.
    #[error("no secure connection to the server: {0}")]
    Tls(String),
    /// The server understood and refused.
    #[error(transparent)]
    Problem(Problem),
    /// The server answered something that the API does not allow.
    #[error("the server's answer makes no sense: {0}")]
    Protocol(String),
}

impl ClientError {
    /// The server's code, if it refused.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Problem(p) => Some(p.code),
            _ => None,
        }
    }

    /// Whether the same call may succeed later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Offline(_) => true,
            Self::Problem(p) => matches!(
                p.code,
                Code::RateLimited | Code::Overloaded | Code::ShuttingDown | Code::Internal
            ),
            _ => false,
        }
    }

    pub(crate) fn timed_out(what: &str) -> Self {
        Self::Offline(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("{what}: no answer in time"),
        ))
    }

    /// An answer that makes no sense. Why may repeat it, at length: only so much is kept as a person can read.
    pub(crate) fn nonsense(why: impl std::fmt::Display) -> Self {
        Self::Protocol(one_line(&why.to_string()))
    }

    pub(crate) fn tls(error: openssl::error::ErrorStack) -> Self {
        Self::Tls(error.to_string())
    }

    /// Sorts an error of hyper: a TLS alert (our certificate was refused) or a broken connection.
    pub(crate) fn http(error: hyper::Error) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
        while let Some(e) = cause {
            let inner = e
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref)
                .map(|e| e as &(dyn StdError + 'static));
            let candidate = inner.unwrap_or(e);
            if let Some(ssl) = candidate.downcast_ref::<openssl::ssl::Error>()
                && ssl.ssl_error().is_some()
            {
                return Self::Tls(ssl.to_string());
            }
            cause = e.source();
        }
        Self::Offline(io::Error::new(io::ErrorKind::ConnectionAborted, error))
    }
}

impl From<Problem> for ClientError {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}
