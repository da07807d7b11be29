//! Many subscribers at once: all or none.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use simsync_card::ids::{Hash, SubscriberId};
use simsync_protocol::people::{BadLine, MAX_PEOPLE, PeopleError, check_label};
use simsync_protocol::problem::{Code, Problem};

use crate::code::CODE_SECONDS;
use crate::http::reply::OrProblem as _;
use crate::store::roles::Subscribers;
use crate::store::types::{AddSubscriber, NewCode, Seconds};

/// One of them. The code itself stays with who drew it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPerson {
    /// Line of the operator's file, for what is told.
    pub line: u64,
    /// What the operator calls the person.
    pub label: String,
    /// The ID from the list, or one that was drawn.
    pub subscriber: SubscriberId,
    /// Hash of the enrolment code.
    pub code: Hash,
}

/// Adds them in one transaction; every line that cannot be taken is told. Answers how many, and when their codes end.
pub async fn import(
    store: &dyn Subscribers,
    people: Vec<NewPerson>,
    dry_run: bool,
    now: Seconds,
) -> Result<(usize, Seconds), Problem> {
    if people.is_empty() || people.len() > MAX_PEOPLE {
        let why = format!("a list has 1 to {MAX_PEOPLE} people");
        return Err(Problem::new(Code::BadRequest, why));
    }
    let rows = store.subscribers().await.or_problem()?;
    let there: HashSet<SubscriberId> = rows.into_iter().map(|r| r.subscriber).collect();
    let bad = bad_lines(&people, &there);
    if !bad.is_empty() {
        let why = PeopleError::Lines(bad).to_string();
        return Err(Problem::new(Code::BadRequest, why));
    }
    let (count, expires) = (people.len(), now + CODE_SECONDS);
    if !dry_run {
        let add = people.into_iter().map(|p| AddSubscriber {
            subscriber: p.subscriber,
            label: p.label,
            code: NewCode {
                hash: p.code,
                expires,
            },
            now,
        });
        store.add_subscribers(add.collect()).await.or_problem()?;
    }
    Ok((count, expires))
}

fn bad_lines(people: &[NewPerson], there: &HashSet<SubscriberId>) -> Vec<BadLine> {
    let mut first: HashMap<&SubscriberId, u64> = HashMap::new();
    let mut bad = Vec::new();
    for p in people {
        let twice = first.insert(&p.subscriber, p.line);
        let why = match (check_label(&p.label), twice) {
            (Err(why), _) => why,
            (Ok(()), Some(line)) => format!("{} is on line {line} already", p.subscriber),
            (Ok(()), None) if there.contains(&p.subscriber) => {
                format!("subscriber {} exists already", p.subscriber)
            }
            (Ok(()), None) => continue,
        };
        bad.push(BadLine { line: p.line, why });
    }
    bad
}
