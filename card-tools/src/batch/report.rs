//! What a batch leaves behind: a report without secrets, and a signed list for the server's operator.

use openssl::pkey::{PKey, Private};
use simsync_protocol::issued::{self, IssuedCard, IssuedList};

use super::journal::Step;
use super::round::{Recipient, Round};
use crate::error::ToolError;

/// CSV: who, which card, where, when (seconds since 1970), how far.
pub fn csv(round: &Round) -> std::io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "label",
        "subscriber",
        "card",
        "reader",
        "begun",
        "last",
        "result",
    ])?;
    let number = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
    for p in round.people() {
        writer.write_record([
            p.label.as_str(),
            p.subscriber.as_str(),
            &p.card().map(|c| c.to_string()).unwrap_or_default(),
            &p.reader,
            &number(p.begun),
            &number(p.last),
            &result(p),
        ])?;
    }
    writer.into_inner().map_err(|e| e.into_error())
}

fn result(p: &Recipient) -> String {
    match (&p.refused, p.step) {
        (Some(why), _) => format!("refused: {why}"),
        (None, None) => "waiting".to_owned(),
        (None, Some(Step::Begun)) => "begun".to_owned(),
        (None, Some(Step::Card { .. } | Step::Letter { .. })) => {
            "begun: put the same card in again".to_owned()
        }
        (None, Some(Step::Done { .. })) => "done".to_owned(),
    }
}

/// The signed list of the cards that are finished.
pub fn signed(round: &Round, server: &str, key: &PKey<Private>) -> Result<String, ToolError> {
    let done = round.people().iter().filter(|p| p.is_done());
    let cards = done.filter_map(|p| {
        Some(IssuedCard {
            subscriber: p.subscriber.clone(),
            label: p.label.clone(),
            card: p.card()?,
            at: p.last?,
        })
    });
    let list = IssuedList {
        server: server.to_owned(),
        cards: cards.collect(),
    };
    issued::sign(&list, key).map_err(|e| ToolError::Other(format!("the list of issued cards: {e}")))
}
