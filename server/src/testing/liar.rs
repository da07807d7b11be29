//! A server that means harm: in front of the real one, and for a while.
//!
//! It has what an operator has: every byte that terminals sent, and no key. Each [`Lie`] concerns some requests; others are
//! answered as ever.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Response};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use simsync_protocol::api::{
    B64, BATCH_PACKS_MAX, CommitAnswer, CommitRequest, CommitsAnswer, Grant, HeadInfo, PACK_MAX,
    PackState, SessionAnswer, SessionState, TailAnswer,
};
use simsync_protocol::batch::{Decoder, record_header};
use simsync_protocol::problem::{Code, Problem};
use simsync_vault::commit::Commit;

use crate::config::{COMMIT_JSON, TAIL_JSON};
use crate::http::between::Between;
use crate::http::reply::{self, Body};
use crate::http::{Call, Reply, dispatch};
use crate::store::blobs::BlobKey;
use crate::store::types::PutCommit;

/// Every code of a refusal.
const CODES: [Code; 34] = [
    Code::BadRequest,
    Code::TooLarge,
    Code::NotFound,
    Code::MethodNotAllowed,
    Code::RateLimited,
    Code::CertificateRequired,
    Code::NotPaired,
    Code::TerminalRevoked,
    Code::CardRevoked,
    Code::SubscriberInactive,
    Code::CodeRefused,
    Code::CardMismatch,
    Code::SignatureRefused,
    Code::NonceRefused,
    Code::BindingRefused,
    Code::SessionNumberUsed,
    Code::GrantRequired,
    Code::GrantNarrowed,
    Code::CollectionRefused,
    Code::NoVault,
    Code::NoSuchObject,
    Code::HeadMoved,
    Code::ListMoved,
    Code::TailMerged,
    Code::PackDropped,
    Code::PackMissing,
    Code::PackExists,
    Code::TailExists,
    Code::SessionSuperseded,
    Code::ChainRefused,
    Code::RekeyRequired,
    Code::StorageFull,
    Code::Internal,
    Code::Overloaded,
];

/// What it does otherwise than it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// One bit of a pack is another one.
    TurnedPack,
    /// A pack has the bytes of another one.
    OtherPack,
    /// A pack ends too early.
    ShortPack,
    /// The newest commits are left out, and the head is the one before them.
    OlderHead,
    /// The newest commits are left out, and the head is the newest.
    MissingCommits,
    /// The oldest commits of an answer are left out.
    GapInCommits,
    /// All commits, and an older head.
    HeadOnly,
    /// Tails that wait are left out.
    HiddenTails,
    /// Commits, tails and key objects come in the other order.
    Reversed,
    /// All commits since the first come, each twice.
    Repeated,
    /// One bit of a commit is another one.
    TurnedCommit,
    /// One bit of a tail is another one.
    TurnedTail,
    /// A key object that has one bit changed.
    TurnedKeyObject,
    /// A grant that is none.
    OtherGrant,
    /// Packs are answered as kept, and are not.
    ForgottenPacks,
    /// A commit is answered as kept, and is not until the server is honest again.
    LateCommit,
    /// A commit is kept, and another head is answered.
    OtherCommit,
    /// A tail is answered as kept, and is not.
    ForgottenTail,
    /// Sessions of this terminal are said to be closed, or in some other state.
    OtherStates,
    /// What is asked for is not done, and refused.
    Refused,
    /// What is asked for is done, and refused.
    DoneAndRefused,
}

/// All of them.
pub const LIES: [Lie; 21] = [
    Lie::TurnedPack,
    Lie::OtherPack,
    Lie::ShortPack,
    Lie::OlderHead,
    Lie::MissingCommits,
    Lie::GapInCommits,
    Lie::HeadOnly,
    Lie::HiddenTails,
    Lie::Reversed,
    Lie::Repeated,
    Lie::TurnedCommit,
    Lie::TurnedTail,
    Lie::TurnedKeyObject,
    Lie::OtherGrant,
    Lie::ForgottenPacks,
    Lie::LateCommit,
    Lie::OtherCommit,
    Lie::ForgottenTail,
    Lie::OtherStates,
    Lie::Refused,
    Lie::DoneAndRefused,
];

/// What a request is for, by its method and path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Session,
    Commits,
    PutCommit,
    PutPack,
    PackState,
    FetchPacks,
    Pack,
    PutTail,
    Other,
}

impl Asked {
    fn of(method: &Method, path: &str) -> Self {
        match (method, path) {
            (_, "/v1/sessions" | "/v1/sessions/renew") => Self::Session,
            (&Method::GET, "/v1/commits") => Self::Commits,
            (_, "/v1/commits") => Self::PutCommit,
            (_, "/v1/packs/fetch") => Self::FetchPacks,
            (&Method::PUT, "/v1/tails") => Self::PutTail,
            (_, path) if path.ends_with("/state") => Self::PackState,
            (&Method::GET, path) if path.starts_with("/v1/packs/") => Self::Pack,
            (&Method::PUT, path) if path.starts_with("/v1/packs/") => Self::PutPack,
            _ => Self::Other,
        }
    }
}

impl Lie {
    fn concerns(self, asked: Asked) -> bool {
        use Asked::*;
        match self {
            Self::TurnedPack | Self::OtherPack | Self::ShortPack => {
                matches!(asked, FetchPacks | Pack)
            }
            Self::OlderHead
            | Self::MissingCommits
            | Self::GapInCommits
            | Self::HeadOnly
            | Self::HiddenTails
            | Self::Reversed
            | Self::Repeated
            | Self::TurnedCommit
            | Self::TurnedTail => matches!(asked, Session | Commits),
            Self::TurnedKeyObject | Self::OtherGrant => asked == Session,
            Self::ForgottenPacks => matches!(asked, PutPack | PackState),
            Self::LateCommit | Self::OtherCommit => asked == PutCommit,
            Self::ForgottenTail => asked == PutTail,
            Self::OtherStates => matches!(asked, PutTail | Session),
            Self::Refused | Self::DoneAndRefused => true,
        }
    }
}

/// Stands in front of a server ([`crate::app::App::between`]).
pub struct Liar {
    lie: Lie,
    /// Which byte, which code, how many.
    knob: u64,
    /// So many requests that the lie concerns are answered as ever.
    left: AtomicU64,
    told: AtomicU64,
    late: Mutex<Vec<PutCommit>>,
}

impl Liar {
    /// Lies after `left` true answers of the kind; `knob` chooses among what the lie leaves open.
    pub fn new(lie: Lie, left: u64, knob: u64) -> Self {
        Self {
            lie,
            knob,
            left: AtomicU64::new(left),
            told: AtomicU64::new(0),
            late: Mutex::default(),
        }
    }

    /// How often it lied.
    pub fn told(&self) -> u64 {
        self.told.load(Ordering::SeqCst)
    }

    /// Commits of [`Lie::LateCommit`], in their order: for whoever lets the server be honest again.
    pub fn take_late(&self) -> Vec<PutCommit> {
        std::mem::take(&mut self.late.lock())
    }

    fn below(&self, n: usize) -> usize {
        usize::try_from(self.knob % (n.max(1) as u64)).unwrap_or(0)
    }

    fn turn(&self, bytes: &mut [u8]) {
        let at = self.below(bytes.len());
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << (self.knob % 8);
        }
    }

    fn turn_one(&self, list: &mut [B64]) {
        let which = self.below(list.len());
        if let Some(one) = list.get_mut(which) {
            self.turn(&mut one.0);
        }
    }

    fn code(&self) -> Problem {
        let code = CODES[self.below(CODES.len())];
        Problem::new(code, "the server says so")
    }

    /// What of an answer with commits is changed.
    async fn change_chain(&self, call: &Call, answer: &mut CommitsAnswer) -> Result<(), Problem> {
        let all = all_commits(call).await?;
        let newest = 1 + self.below(3);
        let older = || all.len().checked_sub(newest + 1).map(|i| head_of(&all[i]));
        let rest = answer.commits.len().saturating_sub(newest);
        match self.lie {
            Lie::OlderHead => {
                answer.commits.truncate(rest);
                answer.head = older();
            }
            Lie::MissingCommits => answer.commits.truncate(rest),
            Lie::GapInCommits => drop(answer.commits.drain(..newest.min(answer.commits.len()))),
            Lie::HeadOnly => answer.head = older(),
            Lie::HiddenTails => answer.tails.clear(),
            Lie::Reversed => {
                answer.commits.reverse();
                answer.tails.reverse();
            }
            Lie::Repeated => {
                let twice = |c: Vec<u8>| [B64(c.clone()), B64(c)];
                answer.commits = all.into_iter().flat_map(twice).collect();
            }
            Lie::TurnedCommit => self.turn_one(&mut answer.commits),
            Lie::TurnedTail => self.turn_one(&mut answer.tails),
            _ => {}
        }
        Ok(())
    }

    async fn session(&self, call: &mut Call) -> Reply {
        let mut answer: SessionAnswer = read(dispatch(call).await?).await?;
        let mut chain = CommitsAnswer {
            head: answer.head,
            commits: answer.commits,
            tails: answer.tails,
        };
        self.change_chain(call, &mut chain).await?;
        CommitsAnswer {
            head: answer.head,
            commits: answer.commits,
            tails: answer.tails,
        } = chain;
        match self.lie {
            Lie::TurnedKeyObject => {
                let subscriber = call.peer().await?.subscriber;
                let all = call.app.chain().key_objects(subscriber, 0).await;
                answer.key_objects = all.unwrap().into_iter().map(B64).collect();
                self.turn_one(&mut answer.key_objects);
            }
            Lie::OtherGrant => answer.grant = Grant([7; 32]),
            Lie::OtherStates => {
                for session in &mut answer.sessions {
                    session.state = self.state();
                }
            }
            _ => {}
        }
        reply::json(&answer)
    }

    fn state(&self) -> SessionState {
        [
            SessionState::Open,
            SessionState::Closed,
            SessionState::TailDelivered,
            SessionState::Forgotten,
            SessionState::Quarantined,
        ][self.below(5)]
    }

    async fn put_commit(&self, call: &mut Call) -> Reply {
        if self.lie == Lie::OtherCommit {
            let mut answer: CommitAnswer = read(dispatch(call).await?).await?;
            self.turn(&mut answer.head.hash.0);
            return reply::json(&answer);
        }
        let peer = call.peer().await?;
        let grant = call.grant(&peer).await?;
        let request: CommitRequest = call.json_up_to(COMMIT_JSON).await?;
        let commit = Commit::from_bytes(&request.signed.0).unwrap();
        let head = head_of(&request.signed.0);
        self.late.lock().push(PutCommit {
            subscriber: peer.subscriber,
            terminal: peer.terminal,
            session: grant.session,
            server: call.app.server,
            commit,
            key_object: None,
            now: call.app.now(),
        });
        reply::json(&CommitAnswer { head })
    }

    /// Packs on their way down, with other bytes.
    async fn packs(&self, asked: Asked, call: &mut Call) -> Reply {
        let answer = dispatch(call).await?;
        let (mut head, body) = answer.into_parts();
        let mut bytes = collected(body).await?.to_vec();
        match self.lie {
            Lie::TurnedPack => self.turn(&mut bytes),
            Lie::ShortPack => bytes.truncate(self.below(bytes.len())),
            _ => bytes = self.of_another(asked, call, bytes).await?,
        }
        if head.headers.contains_key(CONTENT_LENGTH) {
            let length = HeaderValue::from(bytes.len());
            head.headers.insert(CONTENT_LENGTH, length);
        }
        Ok(Response::from_parts(head, reply::full(bytes)))
    }

    /// The same records, or as many bytes, from another pack of this subscriber.
    async fn of_another(
        &self,
        asked: Asked,
        call: &Call,
        bytes: Vec<u8>,
    ) -> Result<Vec<u8>, Problem> {
        let (app, subscriber) = (&call.app, call.peer().await?.subscriber);
        let all = app.blobs.list(subscriber.clone()).await.unwrap();
        let Some(pack) = all.get(self.below(all.len())).copied() else {
            return Ok(bytes);
        };
        let row = app.packs().packs(subscriber.clone(), vec![pack]).await;
        let size = row.unwrap().first().map_or(0, |r| r.pack.size);
        let key = BlobKey { subscriber, pack };
        let other = app.blobs.read(vec![(key, 0..size)]).await.unwrap();
        let other = other.concat();
        if asked == Asked::Pack {
            return Ok(other.into_iter().cycle().take(bytes.len()).collect());
        }
        let (mut decoder, mut out) = (Decoder::new(BATCH_PACKS_MAX, PACK_MAX), Vec::new());
        decoder.push(Bytes::from(bytes));
        while let Some(record) = decoder.next_pack().unwrap() {
            out.extend(record_header(&record.id, &record.collection, size));
            out.extend(&other);
        }
        Ok(out)
    }
}

#[async_trait]
impl Between for Liar {
    async fn answer(&self, call: &mut Call) -> Reply {
        let asked = Asked::of(&call.head.method, call.head.uri.path());
        if !self.lie.concerns(asked) {
            return dispatch(call).await;
        }
        let left = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if left.is_ok() {
            return dispatch(call).await;
        }
        self.told.fetch_add(1, Ordering::SeqCst);
        match (self.lie, asked) {
            (Lie::Refused, _) => Err(self.code()),
            (Lie::DoneAndRefused, _) => {
                dispatch(call).await?;
                Err(self.code())
            }
            (Lie::ForgottenTail, _) => {
                let _: serde_json::Value = call.json_up_to(TAIL_JSON).await?;
                let state = SessionState::TailDelivered;
                reply::json(&TailAnswer { state })
            }
            (Lie::OtherStates, Asked::PutTail) => {
                dispatch(call).await?;
                let state = self.state();
                reply::json(&TailAnswer { state })
            }
            (_, Asked::Session) => self.session(call).await,
            (_, Asked::Commits) => {
                let mut answer: CommitsAnswer = read(dispatch(call).await?).await?;
                self.change_chain(call, &mut answer).await?;
                reply::json(&answer)
            }
            (_, Asked::PutCommit) => self.put_commit(call).await,
            (_, Asked::PutPack | Asked::PackState) => forgotten_pack(asked, call).await,
            _ => self.packs(asked, call).await,
        }
    }
}

/// The pack is there, it says.
async fn forgotten_pack(asked: Asked, call: &mut Call) -> Reply {
    let received = if asked == Asked::PackState {
        PACK_MAX
    } else {
        let mut body = call.pieces()?;
        while body.next().await?.is_some() {}
        call.param_opt("size")?.unwrap_or(0)
    };
    reply::json(&PackState {
        received,
        complete: true,
    })
}

fn head_of(signed: &[u8]) -> HeadInfo {
    let commit = Commit::from_bytes(signed).unwrap();
    HeadInfo {
        hash: commit.hash(),
        sequence: commit.body.sequence,
        epoch: commit.body.epoch,
        list_number: commit.body.list_number,
    }
}

async fn all_commits(call: &Call) -> Result<Vec<Vec<u8>>, Problem> {
    let subscriber = call.peer().await?.subscriber;
    let view = call.app.chain().commits(subscriber, 0).await.unwrap();
    Ok(view.commits)
}

async fn collected(body: Body) -> Result<Bytes, Problem> {
    let whole = body.collect().await;
    let whole = whole.map_err(|e| Problem::new(Code::Internal, e.to_string()))?;
    Ok(whole.to_bytes())
}

/// The handler's answer. Its memory was reserved for it, whatever becomes of it.
async fn read<T: DeserializeOwned + Serialize>(answer: Response<Body>) -> Result<T, Problem> {
    let bytes = collected(answer.into_body()).await?;
    Ok(serde_json::from_slice(&bytes).unwrap())
}
