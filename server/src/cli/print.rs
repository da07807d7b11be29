//! Output: tables for people, JSON for programs.

use std::io::Write as _;

use serde_json::{Value, json};
use simsync_card::ids::Hash;
use simsync_shell::{visible, visible_json, visible_path, visible_text};

use super::args::Import;
use crate::admin::issued::Differences;
use crate::admin::{ChainEnd, Outcome};
use crate::home::Home;
use crate::store::types::{CardRow, SubscriberRow, TerminalRow};

/// Version of all JSON output.
const SCHEMA_VERSION: u32 = 1;

/// How an outcome is shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// All of it: rows as a table, the audit log with its entries.
    Table,
    /// The audit log's chains only.
    Verification,
}

fn line(text: &str) {
    // A closed pipe is the reader's wish.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", visible_text(text));
    let _ = out.flush();
}

/// One JSON object, with the schema version.
pub fn json(value: &Value) {
    let mut all = json!({ "schema_version": SCHEMA_VERSION });
    if let (Some(all), Some(more)) = (all.as_object_mut(), value.as_object()) {
        all.extend(more.clone());
    }
    // A closed pipe is the reader's wish.
    let _ = writeln!(std::io::stdout(), "{}", visible_json(&all.to_string()));
}

/// After `init`.
pub fn init(home: &Home, pin: &Hash, as_json: bool) {
    let s = &home.settings;
    if as_json {
        json(&json!({ "server": s.server, "host": s.host, "listen": s.listen, "ca_pin": pin }));
    } else {
        line(&format!(
            "server          {}\nhost            {}\nlistens on      {}\nCA fingerprint  {pin}",
            s.server,
            visible(&s.host),
            visible(&s.listen)
        ));
    }
}

/// When `serve` is ready.
pub fn ready(address: &str, as_json: bool) {
    if as_json {
        json(&json!({ "ready": true, "listen": address }));
    } else {
        line(&format!("ready on {address}"));
    }
}

/// After an order.
pub fn outcome(outcome: &Outcome, shape: Shape, as_json: bool) {
    if as_json {
        return json(&to_json(outcome, shape));
    }
    match outcome {
        Outcome::Code {
            subscriber, code, ..
        } => line(&format!(
            "subscriber      {subscriber}\nenrolment code  {code}\n(shown this once; good for one card within 24 hours)"
        )),
        Outcome::Subscribers(rows) => rows.iter().for_each(subscriber),
        Outcome::Subscriber {
            subscriber: row,
            cards,
            terminals,
        } => {
            subscriber(row);
            cards.iter().for_each(card);
            terminals.iter().for_each(terminal);
        }
        Outcome::Imported { people, .. } => line(&format!("{people} people")),
        Outcome::CardCheck(found) => differences(found),
        Outcome::Cards(rows) => rows.iter().for_each(card),
        Outcome::Terminals(rows) => rows.iter().for_each(terminal),
        Outcome::Audit {
            entries,
            ends,
            broken,
        } => {
            if shape == Shape::Table {
                for e in entries {
                    let who = if e.subscriber.is_empty() {
                        "-"
                    } else {
                        &e.subscriber
                    };
                    line(&format!(
                        "{} {who} {} {} {} {}",
                        e.at,
                        e.number,
                        e.actor,
                        e.action,
                        visible(&e.detail)
                    ));
                }
            }
            match broken {
                Some(broken) => line(&broken.to_string()),
                None if shape == Shape::Verification => {
                    ends.iter().for_each(chain_end);
                    line(&format!("{} entries, all chains hold", entries.len()));
                }
                None => {}
            }
        }
        Outcome::Moving(Some(to)) => line(&format!(
            "terminals are told that this server moves to {}\nCA fingerprint there  {}",
            to.address, to.ca_pin
        )),
        Outcome::Moving(None) => line("nothing is announced"),
        Outcome::Done => line("done"),
    }
}

/// After `subscriber import`.
pub fn imported(outcome: &Outcome, args: &Import, as_json: bool) {
    let Outcome::Imported { people, expires } = outcome else {
        return;
    };
    let out = args.out.as_ref().filter(|_| !args.dry_run);
    if as_json {
        return json(&json!({
            "people": people, "expires": expires, "dry_run": args.dry_run, "file": out,
        }));
    }
    match out {
        Some(out) => line(&format!(
            "{people} people were added. Their enrolment codes are in {}, good for one card each within 24 hours:\nsimsync-card provision --batch {}",
            visible_path(out),
            visible_path(out)
        )),
        None => line(&format!("{people} people could be added; nothing was done")),
    }
}

fn differences(found: &Differences) {
    for (what, list) in [
        ("missing: not enrolled here for", &found.missing),
        ("revoked here, of", &found.revoked),
        ("more: not in the list, of", &found.more),
    ] {
        for one in list {
            line(&format!("card {} {what} {}", one.card, one.subscriber));
        }
    }
    line(&format!("{} cards agree", found.agree));
}

fn to_json(outcome: &Outcome, shape: Shape) -> Value {
    match outcome {
        Outcome::Code {
            subscriber,
            code,
            expires,
        } => json!({ "subscriber": subscriber, "code": code, "expires": expires }),
        Outcome::Imported { people, expires } => json!({ "people": people, "expires": expires }),
        Outcome::CardCheck(found) => json!(found),
        Outcome::Subscribers(rows) => json!({ "subscribers": rows }),
        Outcome::Subscriber {
            subscriber,
            cards,
            terminals,
        } => json!({ "subscriber": subscriber, "cards": cards, "terminals": terminals }),
        Outcome::Cards(rows) => json!({ "cards": rows }),
        Outcome::Terminals(rows) => json!({ "terminals": rows }),
        Outcome::Audit {
            entries,
            ends,
            broken,
        } => match shape {
            Shape::Table => json!({ "entries": entries, "ends": ends, "broken": broken }),
            Shape::Verification => {
                json!({ "count": entries.len(), "ends": ends, "broken": broken })
            }
        },
        Outcome::Moving(to) => json!({ "moving": to }),
        Outcome::Done => json!({ "done": true }),
    }
}

fn name<T: serde::Serialize>(state: T) -> String {
    match serde_json::to_value(state) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    }
}

fn subscriber(row: &SubscriberRow) {
    let head = row.head.map_or(0, |h| h.sequence);
    let rekey = if row.rekey_required {
        ", re-key due"
    } else {
        ""
    };
    line(&format!(
        "subscriber {} {} \"{}\" {} cards, {} terminals, commit {head}, {} bytes{rekey}",
        row.subscriber,
        name(row.state),
        visible(&row.label),
        row.cards,
        row.terminals,
        row.bytes
    ));
}

fn card(row: &CardRow) {
    line(&format!(
        "card {} {} \"{}\" of {}, last session {}",
        row.card,
        name(row.state),
        visible(&row.label),
        row.subscriber,
        row.last_n
    ));
}

fn terminal(row: &TerminalRow) {
    line(&format!(
        "terminal {} {} \"{}\" of {}, wants {}",
        row.terminal,
        name(row.state),
        visible(&row.label),
        row.subscriber,
        if row.attributes.is_empty() {
            "nothing".to_owned()
        } else {
            visible(&row.attributes.join(", ")).into_owned()
        }
    ));
}

fn chain_end(end: &ChainEnd) {
    let who = if end.subscriber.is_empty() {
        "-"
    } else {
        &end.subscriber
    };
    line(&format!("{who} {} {}", end.number, end.hash));
}
