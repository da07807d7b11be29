//! `simsync monitor`

use std::time::Duration;

use serde_json::json;
use simsync_shell::visible;

use crate::args::Common;
use crate::client::{Client, ROOT, Signal};
use crate::commands::status;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, SCHEMA_VERSION};
use crate::snapshot::Snapshot;

/// Shows the status whenever it changes, until it is interrupted or the time is over.
pub async fn run(common: &Common, output: &Output) -> Outcome<()> {
    let client = Client::connect(common.bus.as_deref()).await?;
    let watching = watch(&client, output);
    let Some(limit) = common.timeout.map(Duration::from_secs) else {
        return tokio::select! {
            result = watching => result,
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
    };
    tokio::select! {
        result = watching => result,
        () = tokio::time::sleep(limit) => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn watch(client: &Client, output: &Output) -> Outcome<()> {
    let mut signals = client.signals(ROOT).await?;
    let mut last: Option<Snapshot> = None;
    let mut started = false;
    let mut there = true;
    loop {
        match client.snapshot().await {
            Ok(now) => {
                (started, there) = (true, true);
                if last.as_ref() != Some(&now) {
                    tell(output, &now, last.as_ref());
                    last = Some(now);
                }
            }
            // At the start it is an error; later the daemon may come back.
            Err(failure) if !started => return Err(failure),
            Err(failure) => {
                if std::mem::take(&mut there) {
                    gone(output, &failure);
                }
                // What it shows when it is back is news, even if it is what it showed before.
                last = None;
            }
        }
        if signals.next().await == Signal::Ended {
            return Err(Failure::no_daemon("the bus ended"));
        }
    }
}

fn tell(output: &Output, now: &Snapshot, last: Option<&Snapshot>) {
    if output.json() {
        let line = json!({
            "schema_version": SCHEMA_VERSION,
            "command": "monitor",
            "event": "status",
            "status": now,
        });
        output.object(&line);
        return;
    }
    let Some(last) = last else {
        output.line(&status::text(now, output, status::SHOWN));
        return;
    };
    if now.state != last.state {
        output.line(&format!(
            "{}  {}",
            now.state,
            status::state_sentence(&now.state)
        ));
    }
    for reason in now.reasons.iter().filter(|r| !last.reasons.contains(r)) {
        output.line(&format!("  • {}", visible(&reason.sentence)));
    }
    if let Some(error) = now.last_error.as_ref()
        && now.last_error != last.last_error
    {
        output.line(&format!("  ✗ {}", visible(&error.sentence)));
    }
    for card in now.cards.iter().filter(|c| !last.cards.contains(c)) {
        output.line(&format!(
            "  {}: {}",
            visible(&card.reader),
            status::card_sentence(card)
        ));
    }
    for card in &last.cards {
        if !now.cards.iter().any(|c| c.reader == card.reader) {
            output.line(&format!("  {}: no card", visible(&card.reader)));
        }
    }
    if now.sequence != last.sequence {
        output.line(&format!("  commit {}", now.sequence));
    }
}

fn gone(output: &Output, failure: &Failure) {
    if output.json() {
        let line = json!({
            "schema_version": SCHEMA_VERSION,
            "command": "monitor",
            "event": "gone",
            "error": { "code": failure.code, "sentence": failure.sentence },
        });
        output.object(&line);
    } else {
        output.line("simsyncd left the bus; waiting for it to come back");
    }
}
