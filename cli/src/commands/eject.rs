//! `simsync eject`

use crate::args::{Common, EjectArgs};
use crate::commands::sync::report;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;
use crate::run::Ordering;

/// Uploads everything and closes the session.
pub async fn run(common: &Common, output: &Output, args: &EjectArgs) -> Outcome<Exit> {
    let ordering = Ordering::new(common, output, &args.secrets);
    let job = ordering.give("Eject", &()).await?;
    report(common, output, job, |text| {
        format!("{text}\nYou can take the card now.")
    })
    .await
}
