//! `simsync pair`

use std::collections::HashMap;

use simsync_shell::visible;
use zbus::Variant;

use crate::args::{Common, PairArgs};
use crate::failure::Outcome;
use crate::output::Output;
use crate::run::Runner;

/// Pairs this terminal with the card that is in.
pub async fn run(common: &Common, output: &Output, args: &PairArgs) -> Outcome<()> {
    let mut options: HashMap<&str, Variant<'_>> = HashMap::new();
    if let Some(label) = &args.label {
        options.insert("label", Variant::from(label.as_str()));
    }
    let runner = Runner::new(common, output, &args.secrets);
    if let Some(job) = runner.give("Pair", &(options,)).await? {
        output.result("job", &job, || {
            let vault = match job.value("vault") {
                "made" => "a new vault was made",
                _ => "it joined your vault",
            };
            let label = visible(job.value("label"));
            let same = match job.value("same-label") {
                "" => String::new(),
                ids => format!(
                    "\nAnother of your terminals is called {label} too ({}); give this one a name of its own: simsync pair --label NAME",
                    visible(ids)
                ),
            };
            format!(
                "This terminal is paired as {label} at {}; {vault}.{same}\nChoose what it syncs: simsync collections add NAME FOLDER",
                visible(job.value("server")),
            )
        });
    }
    Ok(())
}
