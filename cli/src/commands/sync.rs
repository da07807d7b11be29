//! `simsync sync`

use std::collections::HashMap;

use simsync_shell::visible;
use zbus::Variant;

use crate::args::{Common, SyncArgs};
use crate::client::Client;
use crate::commands::status;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::job::JobView;
use crate::output::{Output, bytes, count};
use crate::run::Runner;

/// Syncs now.
pub async fn run(common: &Common, output: &Output, args: &SyncArgs) -> Outcome<Exit> {
    let options = HashMap::from([
        ("review", Variant::from(args.review)),
        ("allow_deletions", Variant::from(args.allow_deletions)),
    ]);
    let runner = Runner {
        yes: args.yes,
        ..Runner::new(common, output, &args.secrets)
    };
    let job = runner.give("Sync", &(options,)).await?;
    report(common, output, job, |text| text).await
}

/// Most lines of what is not in sync that are shown after a job.
const SHOWN: usize = 10;

/// Tells what a job that syncs did, and what it could not do. None: it was only started.
pub async fn report(
    common: &Common,
    output: &Output,
    job: Option<JobView>,
    frame: impl FnOnce(String) -> String,
) -> Outcome<Exit> {
    let Some(job) = job else {
        return Ok(Exit::Ok);
    };
    let mut text = summary(&job);
    let mut exit = Exit::Ok;
    if job.number("outstanding") > 0 {
        exit = Exit::Partial;
        let client = Client::connect(common.bus.as_deref()).await?;
        text.push_str(&status::outstanding(&client.outstanding().await?, SHOWN));
    }
    let untold = job.value("card-not-told");
    if !untold.is_empty() {
        exit = Exit::Partial;
        text.push_str(&format!("\n  • {}", visible(untold)));
    }
    output.result("job", &job, || frame(text));
    Ok(exit)
}

/// What was not in sync when syncing ended here, as a line of its own; empty if nothing was.
pub fn left(job: &JobView) -> String {
    match job.number("left") {
        0 => String::new(),
        n => format!(
            "\n{} not in sync; what is here and in the vault may differ.",
            count(n, "path was", "paths were")
        ),
    }
}

/// What a sync did.
pub fn summary(job: &JobView) -> String {
    let (applied, published) = (job.number("applied"), job.number("published"));
    // Also of the card: who reads the first words only must not be told that all is well.
    let whole = job.number("outstanding") == 0 && job.value("card-not-told").is_empty();
    let mut out = match (applied == 0 && published == 0, whole) {
        (true, true) => "Everything is in sync; nothing had to move.".to_owned(),
        (true, false) => "Nothing was moved.".to_owned(),
        (false, _) => format!(
            "{}{} taken ({}), {} given.",
            if whole { "In sync: " } else { "" },
            count(applied, "change", "changes"),
            bytes(job.number("bytes-applied")),
            count(published, "change", "changes"),
        ),
    };
    let conflicts = job.number("conflicts");
    if conflicts > 0 {
        out.push_str(&format!(
            "\n{} kept as both; `simsync conflicts` lists them.",
            count(conflicts, "conflict was", "conflicts were")
        ));
    }
    out
}
