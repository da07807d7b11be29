//! `simsync conflicts`

use serde::Serialize;

use crate::args::Common;
use crate::client::Client;
use crate::failure::Outcome;
use crate::output::{Output, table, time};
use crate::properties::{Properties, get};

/// A kept-aside version.
#[derive(Debug, Serialize)]
struct Entry {
    id: i64,
    collection: String,
    path: String,
    aside: String,
    time_ms: i64,
}

/// Shows versions that were kept aside.
pub async fn run(common: &Common, output: &Output) -> Outcome<()> {
    let client = Client::connect(common.bus.as_deref()).await?;
    let entries: Vec<Properties> = client.call("Conflicts", &()).await?;
    let entries: Vec<Entry> = entries
        .iter()
        .map(|p| Entry {
            id: get(p, "id"),
            collection: get(p, "collection"),
            path: get(p, "path"),
            aside: get(p, "aside"),
            time_ms: get(p, "time_ms"),
        })
        .collect();
    output.result("conflicts", &entries, || text(&entries));
    Ok(())
}

fn text(entries: &[Entry]) -> String {
    if entries.is_empty() {
        return "No conflicts.".to_owned();
    }
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|e| {
            vec![
                time(e.time_ms),
                e.collection.clone(),
                e.path.clone(),
                format!("kept aside as {}", e.aside),
            ]
        })
        .collect();
    format!(
        "{}Look at both, keep what you want under the first name and delete the other.",
        table(&rows)
    )
}
