//! Who is asking, and what they may do: looked up at every request.

use simsync_card::ids::Hash;
use simsync_protocol::api::{GRANT_HEADER, Grant, STATEMENT_HEADER};
use simsync_protocol::problem::{Code, Problem};
use simsync_vault::statement::SessionStatement;

use super::call::Call;
use super::reply::{OrProblem as _, refuse};
use crate::rules::Refusal;
use crate::rules::grant::{self, Shown};
use crate::rules::subscriber;
use crate::store::types::{GrantRow, KeyState, Peer};

impl Call {
    /// The terminal of the certificate, whatever its state.
    pub async fn any_peer(&self) -> Result<Peer, Problem> {
        let Some(certificate) = self.conn.certificate else {
            return refuse(
                Code::CertificateRequired,
                "this needs a paired terminal's certificate",
            );
        };
        let Some(peer) = self.app.pairings().peer(certificate).await.or_problem()? else {
            return refuse(
                Code::NotPaired,
                "this certificate is not one of a paired terminal: run `simsync pair`",
            );
        };
        subscriber::active(Some(peer.subscriber_state)).or_problem()?;
        Ok(peer)
    }

    /// The terminal of the certificate, if it may do anything.
    pub async fn peer(&self) -> Result<Peer, Problem> {
        let peer = self.any_peer().await?;
        if peer.terminal_state == KeyState::Revoked {
            return Err(Refusal::TerminalRevoked).or_problem();
        }
        Ok(peer)
    }

    /// The grant of the request, if it has one. It must be good: a bad one is never the same as none.
    pub async fn grant_opt(&self, peer: &Peer) -> Result<Option<GrantRow>, Problem> {
        let Some(text) = self.header(GRANT_HEADER)? else {
            return Ok(None);
        };
        let row = match text.parse::<Grant>() {
            Ok(grant) => {
                let found = self
                    .app
                    .sessions()
                    .grant(peer.subscriber.clone(), Hash::of(&grant.0))
                    .await;
                found.or_problem()?
            }
            Err(_) => None,
        };
        let shown = Shown {
            terminal: peer.terminal,
            certificate: self.conn.certificate,
            connection: self.conn.id,
        };
        let good = grant::check(row, &shown, self.app.now()).or_problem()?;
        Ok(Some(good))
    }

    /// The grant of an open session.
    pub async fn grant(&self, peer: &Peer) -> Result<GrantRow, Problem> {
        self.grant_opt(peer).await?.ok_or_else(|| {
            Problem::new(
                Code::GrantRequired,
                "this needs an open session: put the card in",
            )
        })
    }

    /// The session statement by which packs of a tail are let in, if the request has one. Not yet verified.
    pub fn statement(&self) -> Result<Option<SessionStatement>, Problem> {
        self.header(STATEMENT_HEADER)?
            .map(|text| {
                serde_json::from_str(text).map_err(|e| {
                    Problem::new(
                        Code::BadRequest,
                        format!("the header `{STATEMENT_HEADER}` is not a session statement: {e}"),
                    )
                })
            })
            .transpose()
    }
}
