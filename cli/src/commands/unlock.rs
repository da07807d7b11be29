//! `simsync unlock`

use crate::args::{Common, UnlockArgs};
use crate::failure::Outcome;
use crate::output::Output;
use crate::run::Runner;

/// Gives the PIN and opens the session.
pub async fn run(common: &Common, output: &Output, args: &UnlockArgs) -> Outcome<()> {
    let mut runner = Runner::new(common, output, &args.secrets);
    runner.await_card = args.await_card;
    if let Some(job) = runner.give("Unlock", &()).await? {
        output.result("job", &job, || "The session is open.".to_owned());
    }
    Ok(())
}
