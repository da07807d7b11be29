//! Every budget of the server, with its unit. The defaults are for a server of 10,000 terminals on two cores and 1 GiB.
//!
//! Nobody gets more than their share: what one terminal may have is bounded by [`Limits::terminal`], what all terminals of a
//! subscriber have by [`Limits::subscriber`], and everything by [`Limits::process`]. Whoever shows no certificate is counted
//! by address ([`Limits::address`]). Memory is reserved before it is used, and given back when it is free again.

use std::time::Duration;

/// What one connection may leave with HTTP/2 before a handler takes it, and its requests at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Bytes of one request's body.
    pub stream: u32,
    /// Bytes of all bodies together.
    pub connection: u32,
    /// Requests at once.
    pub requests: u32,
}

/// A terminal's connection: enough for a fast line over a long way.
pub const TERMINAL_WINDOWS: Windows = Windows {
    stream: 2 << 20,
    connection: 4 << 20,
    requests: 64,
};

/// Anybody's connection.
pub const OPEN_WINDOWS: Windows = Windows {
    stream: 64 << 10,
    connection: 64 << 10,
    requests: 8,
};

/// Largest frame that is taken, in bytes.
pub const FRAME: u32 = 1 << 20;
/// Bytes that may wait to be sent on one stream. TCP keeps a long line filled; this only has to outlast one read of a disk.
pub const SEND_BUFFER: usize = 512 << 10;
/// Bytes that are read from packs, and handed to HTTP/2, at once.
pub const PIECE: usize = 256 << 10;
/// Bytes of headers of one request.
pub const HEADERS: u32 = 16 << 10;

/// Largest JSON body of open paths, in bytes.
pub const OPEN_JSON: usize = 16 << 10;
/// Largest JSON body of most paths, in bytes: a thousand sessions, a thousand packs' names.
pub const SMALL_JSON: usize = 128 << 10;
/// Largest JSON body of a tail, in bytes: 4 MiB signed, as base64.
pub const TAIL_JSON: usize = 6 << 20;
/// Largest JSON body of a commit with a key object, in bytes: 4 MiB signed each, as base64, and the wraps.
pub const COMMIT_JSON: usize = 12 << 20;
/// So many times its length a JSON body is in memory: as text, decoded, and as what it says.
pub const JSON_COPIES: usize = 3;

/// Bytes of memory of one upload: a part that is written, and the frame that overflows it.
pub const UPLOAD_MEMORY: usize = 2 << 20;
/// JSON answers up to this size, in bytes, are not counted: requests at once bound them.
pub const SMALL_ANSWER: usize = 4 << 10;

/// What one terminal, subscriber, address, or the whole process may have at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// TLS handshakes under way. Only counted for addresses and the process: nobody is known by name yet.
    pub handshakes: usize,
    /// Connections that are open at a time.
    pub connections: usize,
    /// Requests that are being answered, until the answer begins.
    pub requests: usize,
    /// Uploads of packs.
    pub uploads: usize,
    /// Event streams.
    pub events: usize,
    /// Bytes of bodies and answers, beside the windows of connections.
    pub memory: usize,
}

/// What is refused before it costs anything.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once from one address, with and without certificates; many terminals may share one.
    pub connections_per_address: usize,
    /// Share of one address, for whoever shows no certificate.
    pub address: Share,
    /// Share of one terminal. A connection too many ends its oldest one, which may be dead without the server knowing.
    pub terminal: Share,
    /// Share of all terminals of one subscriber.
    pub subscriber: Share,
    /// Everything together.
    pub process: Share,
    /// How long a request waits for its share before it is refused.
    pub share_wait: Duration,
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
    /// Least rate of a body: so many bytes ...
    pub body_least: usize,
    /// ... in each such time that the server waits for it.
    pub body_window: Duration,
    /// Least rate of an answer: each piece ([`PIECE`]) is taken within this time.
    pub answer_stall: Duration,
    /// Refusals of one terminal that go into the audit log one by one, in each [`Self::audit_window`].
    pub audit_refusals: u32,
    /// Further refusals of a terminal become one entry for each code after this time.
    pub audit_window: Duration,
    /// Bytes of tails that one terminal may leave waiting.
    pub outbox_bytes: u64,
    /// How long requests may go on after the order to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_per_address: 1_000,
            address: Share {
                handshakes: 64,
                connections: 64,
                requests: 64,
                uploads: 0,
                events: 0,
                memory: 2 << 20,
            },
            terminal: Share {
                handshakes: 0,
                connections: 8,
                requests: 64,
                uploads: 4,
                events: 8,
                memory: 72 << 20,
            },
            subscriber: Share {
                handshakes: 0,
                connections: 128,
                requests: 256,
                uploads: 16,
                events: 128,
                memory: 128 << 20,
            },
            process: Share {
                handshakes: 2_048,
                connections: 20_000,
                requests: 4_096,
                uploads: 128,
                events: 20_000,
                memory: 512 << 20,
            },
            share_wait: Duration::from_secs(10),
            open_per_minute: 60,
            handshake: Duration::from_secs(10),
            first_request: Duration::from_secs(60),
            open_connection: Duration::from_secs(600),
            body_idle: Duration::from_secs(30),
            body_least: 64 << 10,
            body_window: Duration::from_secs(60),
            answer_stall: Duration::from_secs(300),
            audit_refusals: 8,
            audit_window: Duration::from_secs(60),
            outbox_bytes: 4 << 30,
            drain: Duration::from_secs(10),
        }
    }
}
