//! `simsync pin`

use crate::args::{Common, PinChangeArgs};
use crate::failure::Outcome;
use crate::output::Output;
use crate::run::Runner;

/// Changes the card's PIN, or this terminal's.
pub async fn change(common: &Common, output: &Output, args: &PinChangeArgs) -> Outcome<()> {
    let runner = Runner {
        new_is_terminals: args.terminal,
        ..Runner::new(common, output, &args.secrets)
    };
    let (method, whose) = if args.terminal {
        ("ChangeTerminalPin", "This terminal's")
    } else {
        ("ChangeCardPin", "The card's")
    };
    if let Some(job) = runner.give(method, &()).await? {
        output.result("job", &job, || format!("{whose} PIN is changed."));
    }
    Ok(())
}
