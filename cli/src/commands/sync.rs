//! `simsync sync`

use std::collections::HashMap;

use zbus::Variant;

use crate::args::{Common, SyncArgs};
use crate::failure::Outcome;
use crate::job::JobView;
use crate::output::{Output, bytes, count};
use crate::run::Ordering;

/// Syncs now.
pub async fn run(common: &Common, output: &Output, args: &SyncArgs) -> Outcome<()> {
    let options = HashMap::from([
        ("review", Variant::from(args.review)),
        ("allow_deletions", Variant::from(args.allow_deletions)),
    ]);
    let ordering = Ordering {
        yes: args.yes,
        ..Ordering::new(common, output, &args.secrets)
    };
    if let Some(job) = ordering.give("Sync", &(options,)).await? {
        output.result("job", &job, || summary(&job));
    }
    Ok(())
}

/// What a sync did.
pub fn summary(job: &JobView) -> String {
    let (applied, published) = (job.number("applied"), job.number("published"));
    let mut out = if applied == 0 && published == 0 {
        "Everything is in sync; nothing had to move.".to_owned()
    } else {
        format!(
            "In sync: {} taken ({}), {} given.",
            count(applied, "change", "changes"),
            bytes(job.number("bytes-applied")),
            count(published, "change", "changes"),
        )
    };
    let conflicts = job.number("conflicts");
    if conflicts > 0 {
        out.push_str(&format!(
            "\n{} kept as both; `simsync conflicts` lists them.",
            count(conflicts, "conflict was", "conflicts were")
        ));
    }
    for problem in job.value("problems").lines() {
        out.push_str(&format!("\n  • {problem}"));
    }
    out
}
