//! `simsync log`

use serde::Serialize;

use crate::args::{Common, LogArgs};
use crate::client::Client;
use crate::failure::Outcome;
use crate::output::{Output, table};
use crate::properties::{Properties, get};

/// A commit as `--json` shows it.
#[derive(Debug, Serialize)]
struct Entry {
    sequence: u64,
    hash: String,
    terminal: String,
    label: String,
    session: u32,
    closing: bool,
    tails: u32,
}

/// Shows the newest commits.
pub async fn run(common: &Common, output: &Output, args: &LogArgs) -> Outcome<()> {
    let client = Client::connect(common.bus.as_deref()).await?;
    let entries: Vec<Properties> = client.call("Log", &(args.limit,)).await?;
    let entries: Vec<Entry> = entries
        .iter()
        .map(|p| Entry {
            sequence: get(p, "sequence"),
            hash: get(p, "hash"),
            terminal: get(p, "terminal"),
            label: get(p, "label"),
            session: get(p, "session"),
            closing: get(p, "closing"),
            tails: get(p, "tails"),
        })
        .collect();
    output.result("log", &entries, || text(&entries));
    Ok(())
}

fn text(entries: &[Entry]) -> String {
    if entries.is_empty() {
        return "No commit is known here yet.".to_owned();
    }
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|e| {
            let short: String = e.hash.chars().take(12).collect();
            let mut notes = Vec::new();
            if e.closing {
                notes.push("session closed".to_owned());
            }
            if e.tails > 0 {
                notes.push(crate::output::count(
                    u64::from(e.tails),
                    "tail merged",
                    "tails merged",
                ));
            }
            vec![
                e.sequence.to_string(),
                short,
                e.label.clone(),
                format!("session {}", e.session),
                notes.join(", "),
            ]
        })
        .collect();
    table(&rows)
}
