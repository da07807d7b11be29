//! `simsync terminals`

use simsync_shell::visible;

use crate::args::{Common, TerminalRemoveArgs};
use crate::client::Client;
use crate::commands::status;
use crate::failure::Outcome;
use crate::output::{Output, table};
use crate::run::Runner;

/// Shows the person's terminals.
pub async fn list(common: &Common, output: &Output) -> Outcome<()> {
    let client = Client::connect(common.bus.as_deref()).await?;
    let snapshot = client.snapshot().await?;
    output.result("terminals", &snapshot.terminals, || {
        if snapshot.terminals.is_empty() {
            "No terminal is known; pair this one: simsync pair".to_owned()
        } else {
            table(&status::terminals(&snapshot))
        }
    });
    Ok(())
}

/// Takes a lost terminal out.
pub async fn remove(common: &Common, output: &Output, args: &TerminalRemoveArgs) -> Outcome<()> {
    let question = format!(
        "The terminal {} will sync nothing any more, and has to be paired anew to come back. Remove it?",
        visible(&args.terminal)
    );
    let runner = Runner {
        yes: args.yes,
        question: Some(&question),
        ..Runner::new(common, output, &args.secrets)
    };
    if let Some(job) = runner
        .give("RemoveTerminal", &(args.terminal.as_str(),))
        .await?
    {
        output.result("job", &job, || {
            format!(
                "The terminal {} is none of yours any more; your vault has a new key.",
                visible(&args.terminal)
            )
        });
    }
    Ok(())
}
