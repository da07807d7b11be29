//! Limits. The defaults are for a server of 10,000 terminals on two cores and 1 GiB.

use std::time::Duration;

/// What is refused before it costs anything.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address; many terminals may share one.
    pub connections_per_address: usize,
    /// Requests a minute on open paths (nonce, enrol, pair) from one address without a certificate.
    pub open_per_minute: u32,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a connection may take until its first request.
    pub first_request: Duration,
    /// How long a connection without a certificate may last: enrolling and pairing are quick.
    pub open_connection: Duration,
    /// How long the body of a request may stand still, and a small one take altogether.
    pub body_idle: Duration,
    /// Uploads of packs at once; each holds at most a batch in memory.
    pub uploads: usize,
    /// Bytes of tails that one terminal may leave waiting.
    pub outbox_bytes: u64,
    /// How long requests may go on after the order to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_address: 1_000,
            open_per_minute: 60,
            handshake: Duration::from_secs(10),
            first_request: Duration::from_secs(60),
            open_connection: Duration::from_secs(600),
            body_idle: Duration::from_secs(30),
            uploads: 8,
            outbox_bytes: 4 << 30,
            drain: Duration::from_secs(10),
        }
    }
}
