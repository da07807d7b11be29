//! `simsync terminals`

use crate::args::Common;
use crate::client::Client;
use crate::commands::status;
use crate::failure::Outcome;
use crate::output::{Output, table};

/// Shows the person's terminals.
pub async fn list(common: &Common, output: &Output) -> Outcome<()> {
    let client = Client::connect(common.bus.as_deref()).await?;
    let snapshot = client.snapshot().await?;
    output.result("terminals", &snapshot.terminals, || {
        if snapshot.terminals.is_empty() {
            "No terminal is known; pair this one: simsync pair".to_owned()
        } else {
            table(&status::terminals(&snapshot))
        }
    });
    Ok(())
}
