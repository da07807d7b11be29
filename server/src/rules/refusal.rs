//! Why the rules say no. Neither HTTP nor a database is in it: who speaks to a client makes of it what that client
//! understands, and the sentence stays.

use simsync_card::ids::{CardId, SubscriberId, TerminalId};
use simsync_protocol::api::HeadInfo;
use simsync_vault::commit::SessionRef;
use simsync_vault::ids::{CollectionId, PackId};
use simsync_vault::signed::FormatError;

/// What was refused and why, as a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Bytes from outside are not what they should be, or break a rule of the chain.
    #[error("{}", format_sentence(.0))]
    Format(FormatError),

    // Subscribers and their codes.
    /// The ID is taken.
    #[error("subscriber {0} exists already")]
    SubscriberExists(SubscriberId),
    /// Nobody has this ID.
    #[error("there is no subscriber {0}")]
    NoSubscriber(SubscriberId),
    /// No code for a subscriber that was removed.
    #[error("subscriber {0} was removed")]
    SubscriberRemoved(SubscriberId),
    /// A removed subscriber stays removed.
    #[error("subscriber {0} was removed for good")]
    RemovedForGood(SubscriberId),
    /// Unknown, suspended or removed.
    #[error("this subscriber is suspended or removed: ask the operator")]
    SubscriberInactive,
    /// The enrolment code is unknown, expired or another card's.
    #[error("the enrolment code is wrong, used or expired: ask the operator for another one")]
    CodeRefused,

    // Cards and terminals.
    /// The subscriber has no card of this ID.
    #[error("the card is not one of this subscriber")]
    NotTheirCard,
    /// The card that asks was revoked.
    #[error("this card was revoked")]
    CardRevoked,
    /// The ID of the card is taken.
    #[error("a card of this ID is enrolled for somebody else or with other keys")]
    OtherCardEnrolled,
    /// The card that the operator or a terminal names.
    #[error("subscriber {0} has no card {1}")]
    NoCard(SubscriberId, CardId),
    /// The terminal that asks was revoked.
    #[error("this terminal was revoked")]
    TerminalRevoked,
    /// A spare card's terminal was revoked, or is unknown.
    #[error("terminal {} was revoked", .0.short())]
    AcceptedTerminalRevoked(TerminalId),
    /// A revoked terminal pairs again.
    #[error("this terminal's key was revoked and is never accepted again: pair with a new key")]
    TerminalKeyRevoked,
    /// The terminal's key is another subscriber's.
    #[error("this terminal's key belongs to another subscriber: pair with a new key")]
    TerminalOfOther,
    /// The terminal that the operator or a terminal names.
    #[error("subscriber {0} has no terminal {1}")]
    NoTerminal(SubscriberId, TerminalId),
    /// A spare card's statements name a key object that is in force no more.
    #[error("another key object is in force: fetch it and let the card accept its terminals")]
    PairingsOfOldList,

    // Sessions.
    /// M9: the card did not accept this terminal.
    #[error("this terminal is not paired with this card: run `simsync pair`")]
    NotPairedWithCard,
    /// The number was used, or one above it.
    #[error(
        "session {n} of this card is not above the last one, {last}: ask the card for another session"
    )]
    SessionNumberUsed {
        /// The number that the card's statement names.
        n: u32,
        /// The highest that was seen.
        last: u32,
    },
    /// Nothing that could be renewed.
    #[error("this session has ended and cannot be renewed: open another one")]
    SessionEnded,
    /// The card opened a newer session: the grants of this one cover nothing any more.
    #[error(
        "the card has opened a newer session since: deliver what is left as a tail, or open a session again"
    )]
    SessionSuperseded,
    /// A narrowed session is renewed.
    #[error("this session was narrowed and is never widened again: open another one")]
    SessionNarrowed,
    /// No grant that is good on this connection now.
    #[error(
        "the grant is unknown, has ended, or is of another connection: renew the session on this connection"
    )]
    GrantUnknown,
    /// The grant covers nothing any more.
    #[error("the card was removed: open a session again")]
    GrantOfRemovedCard,
    /// Nothing that could be forgotten.
    #[error("there is no session {} of card {}", .0.n, .0.card)]
    NoSession(SessionRef),

    // Commits.
    /// A commit before the new epoch that is due.
    #[error(
        "something was revoked: this session must first make a new epoch (a key object with the next epoch)"
    )]
    RekeyRequired,
    /// The commit names another terminal than the one that sends it.
    #[error("the commit is another terminal's")]
    CommitOfOther,
    /// The commit names a session that the server never saw.
    #[error("the commit's session is unknown here")]
    CommitSessionUnknown,
    /// The commit's session is not the grant's.
    #[error("the commit names another session than that of its grant")]
    CommitSessionOther,
    /// A commit after the closing one.
    #[error("this session is closed; open another one")]
    SessionClosed,
    /// A commit after the card was removed.
    #[error("the card was removed; open a session again")]
    CardGone,
    /// Compare-and-set failed; the present head.
    #[error("another terminal has committed since: fetch, merge and commit again")]
    HeadMoved(Option<HeadInfo>),
    /// The commit is of another vault than the one before it.
    #[error("it belongs to another vault")]
    OtherVault,
    /// The number of the key object in force.
    #[error("key object {0} is in force: fetch it and commit again")]
    ListMoved(u32),
    /// Nothing says who may read the vault.
    #[error("the first commit of a vault must bring its first key object")]
    FirstListMissing,
    /// The commit's key object is not the one in force with it.
    #[error("the commit names another key object than the one in force with it")]
    ListOther,
    /// The epochs of commit and key object differ.
    #[error("the commit is of epoch {commit}, its key object of epoch {list}")]
    EpochOther {
        /// Epoch that the commit names.
        commit: u32,
        /// Epoch of the key object that is in force with it.
        list: u32,
    },
    /// The author is not in the key object.
    #[error("this terminal is not in the key object: run `simsync pair` to finish its pairing")]
    NotInKeyObject,
    /// The session's card is not in the key object.
    #[error("the card of this session is no longer a recipient of the vault key")]
    NoRecipient,
    /// A root of a collection that the terminal does not have changes (M12).
    #[error("collection {0} is not one of this terminal's")]
    CollectionOther(CollectionId),
    /// A commit names a root for the outbox, where only tails belong.
    #[error("the outbox is no collection")]
    OutboxRoot,
    /// One tail of many that a commit names is not here.
    #[error("there is no tail of session {} of card {}", .0.n, .0.card)]
    NoTail(SessionRef),
    /// A commit names a tail that an earlier one merged.
    #[error("the tail of session {} of card {} is merged already", .0.n, .0.card)]
    TailMerged(SessionRef),

    // Packs.
    /// The name is taken.
    #[error("a pack of this name exists with other content: choose another name")]
    PackExists,
    /// An upload leaves a hole; so many bytes are here.
    #[error("{0} bytes of this pack are here: go on from there")]
    PackHole(u64),
    /// A commit names the pack twice.
    #[error("pack {0} is named twice")]
    PackTwice(PackId),
    /// The pack is of a collection that the terminal does not have.
    #[error("pack {0} is of a collection that is not this terminal's")]
    PackOfOther(PackId),
    /// A commit names a pack that is not durable here.
    #[error("pack {0} is not here: upload it, then commit again")]
    PackMissing(PackId),
    /// A tail names a pack that is not durable here.
    #[error("pack {0} is not here: upload it, then deliver the tail")]
    TailPackMissing(PackId),
    /// The pack is no longer part of the vault.
    #[error("pack {0} was dropped: upload it under a new name")]
    PackDropped(PackId),
    /// A tail refers to a pack that is no longer part of the vault.
    #[error("pack {0} was dropped: seal its content into the tail")]
    TailPackDropped(PackId),
    /// A commit adds a pack that an earlier one added.
    #[error("pack {0} is part of the vault already")]
    PackCommitted(PackId),
    /// A commit says something else of the pack than its upload.
    #[error("pack {0} has another size or collection here")]
    PackOther(PackId),
    /// A commit drops what no commit added.
    #[error("pack {0} is not part of the vault, so it cannot be dropped")]
    PackNotLive(PackId),

    // Key objects.
    /// Wraps are missing, or too many, or others.
    #[error("the wraps are not the ones that the key object names")]
    WrapsOther,
    /// A recipient's keys are not those that it enrolled with.
    #[error("card {0} has other keys than the key object says")]
    RecipientKeys(CardId),
    /// A recipient was revoked.
    #[error("card {0} was revoked: leave it out")]
    RecipientRevoked(CardId),
    /// A recipient is not enrolled.
    #[error("card {0} is not one of this subscriber")]
    RecipientUnknown(CardId),
    /// A terminal of the key object was revoked.
    #[error("terminal {} was revoked: leave it out", .0.short())]
    EntryRevoked(TerminalId),
    /// A terminal of the key object is not paired.
    #[error("terminal {} is not paired with this subscriber", .0.short())]
    EntryUnknown(TerminalId),

    // Tails.
    /// Nobody who could deliver one.
    #[error("this terminal is not paired")]
    TailTerminalUnknown,
    /// The tail names another terminal than the one that delivers it.
    #[error("the tail is another terminal's")]
    TailOfOther,
    /// The tail's card did not accept this terminal.
    #[error("this terminal is not paired with this card")]
    TailNotPaired,
    /// The tail's session is none, or another terminal's.
    #[error("there is no such session of this terminal")]
    TailSessionOther,
    /// A session has one tail.
    #[error("this session has delivered another tail already; what is new belongs to the next one")]
    TailExists,
    /// No commit yet.
    #[error("there is no vault yet that the tail could belong to")]
    NoVault,
    /// The tail's vault is another one, or its epoch is not there yet.
    #[error("the tail belongs to another vault or epoch")]
    TailOfOtherVault,
    /// A tail takes the place of itself or of another terminal's.
    #[error("a tail can replace earlier tails of its own terminal only")]
    TailReplacesOther,
}

impl From<FormatError> for Refusal {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

fn format_sentence(error: &FormatError) -> String {
    match error {
        // The sentence of the type speaks to a terminal; here the server is the one that is behind.
        FormatError::Newer { what, found, known } => format!(
            "{what} has format version {found}; this server knows up to {known}: ask the operator to update simsync-server"
        ),
        other => other.to_string(),
    }
}
