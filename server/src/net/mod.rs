//! From TCP to requests: limits, TLS, what is known about a connection.

pub mod connection;
pub mod limiter;
pub mod listener;
pub mod shares;
pub mod tls;
