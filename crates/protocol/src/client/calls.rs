//! One method per path, but for packs and events.

use http::Method;
use simsync_card::ids::{CardId, TerminalId};
use simsync_vault::commit::SessionRef;

use super::{ClientError, Connection};
use crate::api::{
    B64, CommitAnswer, CommitRequest, CommitsAnswer, EnrolAnswer, EnrolRequest, ForgetRequest,
    HealthAnswer, KeyObjectAnswer, KeyObjectsAnswer, Narrow, NarrowRequest, NewKeyObject,
    NonceAnswer, OpenSessionRequest, PairAnswer, PairRequest, PairingsRequest, RenewRequest,
    RevokeCardRequest, RevokeTerminalRequest, SessionAnswer, TailAnswer, TailGetAnswer,
    TailRequest,
};

impl Connection {
    /// `GET /v1/health` (open).
    pub async fn health(&self) -> Result<HealthAnswer, ClientError> {
        self.get("/v1/health").await
    }

    /// `POST /v1/nonce` (open): the server's ID and a nonce for this connection.
    pub async fn nonce(&self) -> Result<NonceAnswer, ClientError> {
        self.send(Method::POST, "/v1/nonce", &()).await
    }

    /// `POST /v1/enrol` (open).
    pub async fn enrol(&self, request: &EnrolRequest) -> Result<EnrolAnswer, ClientError> {
        self.send(Method::POST, "/v1/enrol", request).await
    }

    /// `POST /v1/pair` (open).
    pub async fn pair(&self, request: &PairRequest) -> Result<PairAnswer, ClientError> {
        self.send(Method::POST, "/v1/pair", request).await
    }

    /// `POST /v1/pairings` (certificate): what a spare card says about the terminals of the key object in force.
    pub async fn post_pairings(&self, request: &PairingsRequest) -> Result<(), ClientError> {
        self.send(Method::POST, "/v1/pairings", request).await
    }

    /// `GET /v1/key-object` (certificate): the newest, with its wraps; `no-vault` before the first commit.
    pub async fn key_object(&self) -> Result<KeyObjectAnswer, ClientError> {
        self.get("/v1/key-object").await
    }

    /// `GET /v1/key-objects` (certificate): those after list number `after`, oldest first.
    pub async fn key_objects(&self, after: u32) -> Result<KeyObjectsAnswer, ClientError> {
        self.get(&format!("/v1/key-objects?after={after}")).await
    }

    /// `POST /v1/sessions` (certificate). The grant is remembered.
    pub async fn open_session(
        &self,
        request: &OpenSessionRequest,
    ) -> Result<SessionAnswer, ClientError> {
        let answer: SessionAnswer = self.send(Method::POST, "/v1/sessions", request).await?;
        self.set_grant(Some(answer.grant));
        Ok(answer)
    }

    /// `POST /v1/sessions/renew` (certificate). The grant is remembered.
    pub async fn renew(&self, request: &RenewRequest) -> Result<SessionAnswer, ClientError> {
        let answer: SessionAnswer = self
            .send(Method::POST, "/v1/sessions/renew", request)
            .await?;
        self.set_grant(Some(answer.grant));
        Ok(answer)
    }

    /// `POST /v1/sessions/narrow` (grant). After [`Narrow::Removed`] the grant is forgotten here too.
    pub async fn narrow(&self, to: Narrow) -> Result<(), ClientError> {
        let request = NarrowRequest { to };
        let done: Result<(), _> = self
            .send(Method::POST, "/v1/sessions/narrow", &request)
            .await;
        if to == Narrow::Removed {
            self.set_grant(None);
        }
        done
    }

    /// `GET /v1/commits` (grant): those after sequence `after`, oldest first.
    pub async fn commits(&self, after: u64) -> Result<CommitsAnswer, ClientError> {
        self.get(&format!("/v1/commits?after={after}")).await
    }

    /// `POST /v1/commits` (grant): the signed commit and, if it is the first to name one, its key object.
    pub async fn commit(
        &self,
        signed: Vec<u8>,
        key_object: Option<NewKeyObject>,
    ) -> Result<CommitAnswer, ClientError> {
        let request = CommitRequest {
            signed: B64(signed),
            key_object,
        };
        self.send(Method::POST, "/v1/commits", &request).await
    }

    /// `PUT /v1/tails` (certificate): delivers the signed tail. The very same tail again is no error.
    pub async fn put_tail(&self, signed: Vec<u8>) -> Result<TailAnswer, ClientError> {
        let request = TailRequest {
            signed: B64(signed),
        };
        self.send(Method::PUT, "/v1/tails", &request).await
    }

    /// `GET /v1/tails` (grant): one tail in any state, also one that was quarantined.
    pub async fn tail(&self, session: SessionRef) -> Result<TailGetAnswer, ClientError> {
        let path = format!("/v1/tails?card={}&n={}", session.card, session.n);
        self.get(&path).await
    }

    /// `POST /v1/tails/forget` (grant).
    pub async fn forget(&self, sessions: Vec<SessionRef>) -> Result<(), ClientError> {
        let request = ForgetRequest { sessions };
        self.send(Method::POST, "/v1/tails/forget", &request).await
    }

    /// `POST /v1/cards/revoke` (grant): one of the person's other cards.
    pub async fn revoke_card(&self, card: CardId) -> Result<(), ClientError> {
        let request = RevokeCardRequest { card };
        self.send(Method::POST, "/v1/cards/revoke", &request).await
    }

    /// `POST /v1/terminals/revoke`: one of the person's terminals (grant), or this one (its certificate is enough).
    pub async fn revoke_terminal(&self, terminal: TerminalId) -> Result<(), ClientError> {
        let request = RevokeTerminalRequest { terminal };
        self.send(Method::POST, "/v1/terminals/revoke", &request)
            .await
    }
}
