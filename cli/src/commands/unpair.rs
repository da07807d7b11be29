//! `simsync unpair`

use crate::args::{Common, UnpairArgs};
use crate::failure::Outcome;
use crate::output::Output;
use crate::run::Ordering;

/// Undoes the pairing.
pub async fn run(common: &Common, output: &Output, args: &UnpairArgs) -> Outcome<()> {
    if args.forget {
        return forget(common, output, args).await;
    }
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

/// Forgets the pairing here, without card and server.
async fn forget(common: &Common, output: &Output, args: &UnpairArgs) -> Outcome<()> {
    let ordering = Ordering {
        yes: args.yes,
        question: Some(
            "This terminal forgets that it is paired. Its files stay, also those that were not uploaded; nothing else has these. Card, server and your other terminals are not told. Forget it?",
        ),
        ..Ordering::new(common, output, &args.secrets)
    };
    if let Some(job) = ordering.give("ForgetPairing", &()).await? {
        output.result("job", &job, || {
            format!(
                "This terminal is no longer paired; its files stay where they are. Your card and the server still know it: take \"{}\" out on another terminal with `simsync terminals remove`.",
                simsync_shell::visible(job.value("label"))
            )
        });
    }
    Ok(())
}
