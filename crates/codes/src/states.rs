//! States in one word: of the daemon, of a job, of a card.

words! {
    /// What the daemon is doing.
    #[derive(Default)]
    State {
        /// Not paired, and nothing is under way.
        #[default]
        Unpaired = "unpaired",
        /// Not paired yet: it is being paired.
        Pairing = "pairing",
        /// No card of the person's is in.
        Waiting = "waiting",
        /// A card is in, and no session is open.
        Locked = "locked",
        /// A session is being opened; perhaps the PIN is asked for.
        Opening = "opening",
        /// Everything is where it should be.
        Synced = "synced",
        /// A sync, or another order, is under way or about to begin.
        Syncing = "syncing",
        /// Something is not where it should be yet, and is tried again.
        Pending = "pending",
        /// The same, and the server cannot be reached.
        Offline = "offline",
        /// Something is not where it should be until a person does something.
        Attention = "attention",
        /// The card was pulled: what is left is sealed.
        Closing = "closing",
        /// The server is not trusted: nothing is written.
        ReadOnly = "read-only",
        /// The session was closed: the card can be taken.
        Closed = "closed",
    }
}

words! {
    /// How far a job is.
    #[derive(Default)]
    JobState {
        /// It waits for its turn, or runs.
        #[default]
        Running = "running",
        /// It waits for an answer to its review.
        Waiting = "waiting",
        /// It ended well.
        Done = "done",
        /// It ended without success, for a reason that the job tells.
        Failed = "failed",
        /// Somebody stopped it.
        Cancelled = "cancelled",
    }
}

words! {
    /// What is known of a card in a reader.
    CardState {
        /// It was not looked at yet.
        Looking = "looking",
        /// It has no applet of ours.
        Foreign = "foreign",
        /// A SIM without our applet.
        Sim = "sim",
        /// Ours, but not paired with this terminal.
        Unpaired = "unpaired",
        /// One of this terminal's subscriber's.
        Paired = "paired",
        /// The same, and its PIN is blocked.
        Blocked = "blocked",
        /// It could not be talked to.
        Failed = "failed",
    }
}
