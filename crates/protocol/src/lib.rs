//! The server's API: its types, and a client over mutual TLS 1.3 and HTTP/2.
#![forbid(unsafe_code)]

pub mod address;
pub mod api;
pub mod batch;
pub mod client;
pub mod enrolment;
pub mod issued;
pub mod people;
pub mod problem;
pub mod tls;

pub use address::ServerAddress;
pub use client::{Client, ClientError, Connection};
