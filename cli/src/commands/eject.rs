//! `simsync eject`

use crate::args::{Common, EjectArgs};
use crate::commands::sync::summary;
use crate::failure::Outcome;
use crate::output::Output;
use crate::run::Ordering;

/// Uploads everything and closes the session.
pub async fn run(common: &Common, output: &Output, args: &EjectArgs) -> Outcome<()> {
    let ordering = Ordering::new(common, output, &args.secrets);
    if let Some(job) = ordering.give("Eject", &()).await? {
        output.result("job", &job, || {
            format!("{}\nYou can take the card now.", summary(&job))
        });
    }
    Ok(())
}
