//! What is known about one connection. All of it dies with the connection.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use openssl::ssl::SslRef;
use parking_lot::Mutex;
use simsync_card::ids::Hash;
use simsync_protocol::api::{NONCE_SECONDS, Nonce};
use simsync_protocol::tls;

use super::shares::{Purse, Shares};
use crate::ca;
use crate::http::outbound::Outbound;
use crate::store::types::{ConnectionId, Seconds};

/// Nonces of one connection that wait to be used; older ones make room.
const NONCES: usize = 16;

/// One TLS connection.
pub struct Conn {
    /// Random, so that a grant is good for this connection only, also after a restart.
    pub id: ConnectionId,
    /// Where it comes from.
    pub address: IpAddr,
    /// The exporter value, part of every binding.
    pub exporter: [u8; 32],
    /// Hash of the certificate (DER) that the other end holds the key of.
    pub certificate: Option<Hash>,
    /// Whether anything was asked yet.
    pub asked: AtomicBool,
    /// Whom its requests are put down to.
    pub purse: Purse,
    /// Answers that are not written yet.
    pub outbound: Arc<Outbound>,
    nonces: Mutex<VecDeque<(Nonce, Seconds)>>,
}

impl Conn {
    /// After the handshake.
    pub fn new(
        ssl: &SslRef,
        address: IpAddr,
        shares: &Shares,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let (certificate, purse) = match ssl.peer_certificate() {
            Some(certificate) => {
                let (subscriber, terminal) =
                    ca::terminal_of(&certificate).ok_or("a certificate that is no terminal's")?;
                let purse = shares.of_terminal(&subscriber, &terminal);
                (Some(Hash::of(&certificate.to_der()?)), purse)
            }
            None => (None, shares.of_address(address)),
        };
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        Ok(Self {
            id: ConnectionId(id),
            address,
            exporter: tls::exporter(ssl)?,
            certificate,
            asked: AtomicBool::new(false),
            purse,
            outbound: Arc::default(),
            nonces: Mutex::default(),
        })
    }

    /// A fresh nonce for this connection.
    pub fn new_nonce(&self, now: Seconds) -> Result<Nonce, getrandom::Error> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)?;
        let mut nonces = self.nonces.lock();
        if nonces.len() >= NONCES {
            nonces.pop_front();
        }
        nonces.push_back((Nonce(nonce), now));
        Ok(Nonce(nonce))
    }

    /// Uses a nonce up; whether it was one of this connection, unused and not too old.
    pub fn take_nonce(&self, nonce: &Nonce, now: Seconds) -> bool {
        let mut nonces = self.nonces.lock();
        let Some(place) = nonces.iter().position(|(n, _)| n == nonce) else {
            return false;
        };
        nonces
            .remove(place)
            .is_some_and(|(_, made)| now.saturating_sub(made) <= NONCE_SECONDS)
    }
}
