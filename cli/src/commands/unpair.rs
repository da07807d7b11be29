//! `simsync unpair`

use crate::args::{Common, UnpairArgs};
use crate::failure::Outcome;
use crate::output::Output;
use crate::run::Ordering;

/// Undoes the pairing.
pub async fn run(common: &Common, output: &Output, args: &UnpairArgs) -> Outcome<()> {
    let ordering = Ordering {
        yes: args.yes,
        question: Some(
            "This terminal will no longer sync with your card. Its files stay. Unpair it?",
        ),
        ..Ordering::new(common, output, &args.secrets)
    };
    if let Some(job) = ordering.give("Unpair", &()).await? {
        output.result("job", &job, || {
            let mut text =
                "This terminal is no longer paired; its files stay where they are.".to_owned();
            text.push_str(&super::sync::left(&job));
            text
        });
    }
    Ok(())
}
