//! Commits and key objects come from the server, into the chain.

use simsync_protocol::api::COMMITS_PER_ANSWER;
use simsync_vault::tail::Tail;

use super::chain::Chain;
use crate::engine::EngineError;
use crate::engine::session::Session;
use crate::engine::wire::Wire;

/// Fetches commits after the newest known one until there are no more. Answers the tails that wait.
pub fn pull_commits(
    chain: &Chain,
    wire: &Wire,
    session: &Session,
) -> Result<Vec<Tail>, EngineError> {
    loop {
        let known = chain.witness()?;
        let answer = wire.net(session.conn.commits(known.sequence))?;
        let behind = answer
            .head
            .is_some_and(|h| h.list_number > known.list_number);
        if behind {
            let objects = wire.net(session.conn.key_objects(known.list_number))?;
            let newest = wire.net(session.conn.key_object())?;
            chain.accept_key_objects(&session.card, &objects.key_objects, &newest.wraps)?;
        }
        let got = answer.commits.len();
        chain.accept_commits(&answer.commits)?;
        if got < COMMITS_PER_ANSWER {
            let head = answer.head.map(|h| (h.sequence, h.hash));
            chain.check_head(head)?;
            return chain.read_tails(&answer.tails);
        }
    }
}
