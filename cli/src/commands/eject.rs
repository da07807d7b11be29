//! `simsync eject`

use crate::args::{Common, EjectArgs};
use crate::commands::sync::report;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::Output;
use crate::run::Runner;

/// Uploads everything and closes the session.
pub async fn run(common: &Common, output: &Output, args: &EjectArgs) -> Outcome<Exit> {
    let runner = Runner::new(common, output, &args.secrets);
    let job = runner.give("Eject", &()).await?;
    report(common, output, job, |text| {
        format!("{text}\nYou can take the card now.")
    })
    .await
}
