//! `simsync pair`

use std::collections::HashMap;

use zbus::Variant;

use crate::args::{Common, PairArgs};
use crate::failure::Outcome;
use crate::output::Output;
use crate::run::Ordering;

/// Pairs this terminal with the card that is in.
pub async fn run(common: &Common, output: &Output, args: &PairArgs) -> Outcome<()> {
    let mut options: HashMap<&str, Variant<'_>> = HashMap::new();
    if let Some(label) = &args.label {
        options.insert("label", Variant::from(label.as_str()));
    }
    let ordering = Ordering::new(common, output, &args.secrets);
    if let Some(job) = ordering.give("Pair", &(options,)).await? {
        output.result("job", &job, || {
            let vault = match job.value("vault") {
                "made" => "a new vault was made",
                _ => "it joined your vault",
            };
            format!(
                "This terminal is paired as {} at {}; {vault}.\nChoose what it syncs: simsync collections add NAME FOLDER",
                job.value("label"),
                job.value("server"),
            )
        });
    }
    Ok(())
}
