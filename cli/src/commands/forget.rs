//! `simsync forget`

use simsync_shell::visible;

use crate::args::{Common, ForgetArgs};
use crate::failure::Outcome;
use crate::output::Output;
use crate::run::Runner;

/// Stops waiting for a terminal's unfinished upload.
pub async fn run(common: &Common, output: &Output, args: &ForgetArgs) -> Outcome<()> {
    let runner = Runner::new(common, output, &args.secrets);
    let body = (args.terminal.as_str(),);
    if let Some(job) = runner.give("Forget", &body).await? {
        output.result("job", &job, || {
            format!(
                "What {} had not uploaded is no longer waited for.",
                visible(&args.terminal)
            )
        });
    }
    Ok(())
}
