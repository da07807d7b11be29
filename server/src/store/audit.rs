//! The audit log: append-only, each entry holding the hash of the one before, one chain per subscriber.

use serde::{Deserialize, Serialize};
use simsync_card::ids::Hash;
use simsync_card::text::fields;

use super::types::Seconds;

/// One entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// About whom; empty for the server itself.
    pub subscriber: String,
    /// Place in the subscriber's chain, from 1.
    pub number: u64,
    /// In seconds since 1970.
    pub at: Seconds,
    /// Who did it: `operator`, or `terminal` or `card` with its ID.
    pub actor: String,
    /// The action, as the log names it.
    pub action: String,
    /// Further facts, as JSON text.
    pub detail: String,
    /// Hash of the entry before; zeros for the first.
    pub previous: Hash,
    /// Hash of this entry.
    pub hash: Hash,
}

impl AuditRow {
    /// The hash that the entry should have.
    pub fn expected_hash(&self) -> Hash {
        Hash::of(&fields(&[
            b"simsync/1/audit",
            self.subscriber.as_bytes(),
            &self.number.to_be_bytes(),
            &self.at.to_be_bytes(),
            self.actor.as_bytes(),
            self.action.as_bytes(),
            &Hash::of(self.detail.as_bytes()).0,
            &self.previous.0,
        ]))
    }
}

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("the audit log of {chain} is broken at entry {number}: {why}", chain = chain_name(.subscriber))]
pub struct BrokenChain {
    /// Which chain; empty for the server itself.
    pub subscriber: String,
    /// Number of the first entry that does not fit.
    pub number: u64,
    /// What does not fit: an entry is missing, does not follow the one before, or was changed.
    pub why: String,
}

fn chain_name(subscriber: &str) -> &str {
    if subscriber.is_empty() {
        "the server"
    } else {
        subscriber
    }
}

/// Checks all chains. Entries of one subscriber must come in their order. Cutting off the newest entries of a chain
/// cannot be seen from within; compare the last hashes with a copy kept elsewhere.
pub fn verify(rows: &[AuditRow]) -> Result<(), BrokenChain> {
    let mut last: std::collections::HashMap<&str, (u64, Hash)> = std::collections::HashMap::new();
    for row in rows {
        let (number, hash) = last
            .get(row.subscriber.as_str())
            .copied()
            .unwrap_or((0, Hash::ZERO));
        let broken = |why: &str| BrokenChain {
            subscriber: row.subscriber.clone(),
            number: row.number,
            why: why.to_owned(),
        };
        if row.number != number + 1 {
            return Err(broken("entries are missing before it"));
        }
        if row.previous != hash {
            return Err(broken("it does not follow the one before"));
        }
        if row.hash != row.expected_hash() {
            return Err(broken("it was changed"));
        }
        last.insert(&row.subscriber, (row.number, row.hash));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(n: u64) -> Vec<AuditRow> {
        let mut out: Vec<AuditRow> = Vec::new();
        for number in 1..=n {
            let mut row = AuditRow {
                subscriber: "a".into(),
                number,
                at: number,
                actor: "operator".into(),
                action: "x".into(),
                detail: "{}".into(),
                previous: out.last().map_or(Hash::ZERO, |r| r.hash),
                hash: Hash::ZERO,
            };
            row.hash = row.expected_hash();
            out.push(row);
        }
        out
    }

    #[test]
    fn any_change_is_noticed() {
        assert!(verify(&chain(3)).is_ok());
        let mut changed = chain(3);
        changed[1].action = "y".into();
        assert_eq!(verify(&changed).unwrap_err().number, 2);
        let mut missing = chain(3);
        missing.remove(1);
        assert_eq!(verify(&missing).unwrap_err().number, 3);
        let mut rehashed = chain(3);
        rehashed[1].action = "y".into();
        rehashed[1].hash = rehashed[1].expected_hash();
        assert_eq!(verify(&rehashed).unwrap_err().number, 3);
    }
}
