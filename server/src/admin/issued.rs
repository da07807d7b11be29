//! Cards that a desk says it issued, against cards that are enrolled here.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use simsync_card::ids::{CardId, SubscriberId};
use simsync_protocol::problem::Problem;

use crate::http::reply::OrProblem as _;
use crate::store::roles::Pairings;
use crate::store::types::{CardRow, KeyState};

/// A card, as the desk says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// The subscriber for whom the desk issued the card.
    pub subscriber: SubscriberId,
    /// ID of the card, as the desk had it from the card itself.
    pub card: CardId,
}

/// What differs. Nothing in the three lists: the list and the store agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differences {
    /// Cards of the list that are active here for that subscriber.
    pub agree: usize,
    /// Of the list, and not enrolled here for that subscriber.
    pub missing: Vec<Issued>,
    /// Of the list, and revoked here.
    pub revoked: Vec<Issued>,
    /// Active here for a subscriber of the list, and not in it.
    pub more: Vec<Issued>,
}

impl Differences {
    /// Whether there are none. What was revoked since is no difference.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.more.is_empty()
    }
}

/// Compares. Subscribers that are not in the list are left out.
pub async fn check(store: &dyn Pairings, list: &[Issued]) -> Result<Differences, Problem> {
    let rows = store.cards(None).await.or_problem()?;
    Ok(compare(list, &rows))
}

fn compare(list: &[Issued], rows: &[CardRow]) -> Differences {
    let here: HashMap<CardId, &CardRow> = rows.iter().map(|r| (r.card, r)).collect();
    let mut found = Differences {
        agree: 0,
        missing: Vec::new(),
        revoked: Vec::new(),
        more: Vec::new(),
    };
    for one in list {
        match here.get(&one.card) {
            Some(row) if row.subscriber != one.subscriber => found.missing.push(one.clone()),
            Some(row) if row.state == KeyState::Revoked => found.revoked.push(one.clone()),
            Some(_) => found.agree += 1,
            None => found.missing.push(one.clone()),
        }
    }
    let people: HashSet<&SubscriberId> = list.iter().map(|i| &i.subscriber).collect();
    let cards: HashSet<&CardId> = list.iter().map(|i| &i.card).collect();
    let more = rows.iter().filter(|r| {
        r.state == KeyState::Active && people.contains(&r.subscriber) && !cards.contains(&r.card)
    });
    found.more = more
        .map(|r| Issued {
            subscriber: r.subscriber.clone(),
            card: r.card,
        })
        .collect();
    found
}
