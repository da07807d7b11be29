//! `simsync unpair`

use crate::args::{Common, UnpairArgs};
use crate::client::Client;
use crate::failure::Outcome;
use crate::output::Output;
use crate::run::Runner;
use crate::snapshot::Snapshot;

/// Undoes the pairing.
pub async fn run(common: &Common, output: &Output, args: &UnpairArgs) -> Outcome<()> {
    if args.forget {
        return forget(common, output, args).await;
    }
    let runner = Runner {
        yes: args.yes,
        question: Some(
            "This terminal will no longer sync with your card. Its files stay. Unpair it?",
        ),
        ..Runner::new(common, output, &args.secrets)
    };
    if let Some(job) = runner.give("Unpair", &()).await? {
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
    let question = if args.yes {
        String::new()
    } else {
        let client = Client::connect(common.bus.as_deref()).await?;
        question(&client.snapshot().await?)
    };
    let runner = Runner {
        yes: args.yes,
        question: Some(&question),
        ..Runner::new(common, output, &args.secrets)
    };
    if let Some(job) = runner.give("ForgetPairing", &()).await? {
        output.result("job", &job, || {
            let dropped = match job.number("dropped") {
                0 => String::new(),
                n => format!(
                    "\nThe sealed changes of {} were dropped before the server had them; your files here are as they were.",
                    files(n)
                ),
            };
            format!(
                "This terminal is no longer paired; its files stay where they are. Your card and the server still know it: take \"{}\" out on another terminal with `simsync terminals remove`.{dropped}",
                simsync_shell::visible(job.value("label"))
            )
        });
    }
    Ok(())
}

fn files(n: u64) -> String {
    if n == 1 {
        "1 file".to_owned()
    } else {
        format!("{n} files")
    }
}

/// What is lost with the pairing, as far as it is known, before it is.
fn question(now: &Snapshot) -> String {
    let mut out = "This terminal forgets that it is paired. Its files stay, also those that were not uploaded; nothing else has these. Card, server and your other terminals are not told.".to_owned();
    if now.sealed_changes > 0 {
        out.push_str(&format!(
            " The changes of {} that are sealed here and not delivered are dropped: your other terminals never get them.",
            files(now.sealed_changes)
        ));
    }
    match now.need_attention + now.tried_again {
        0 => {}
        n => out.push_str(&format!(
            " Not in sync: {}; `simsync status` names what.",
            files(n)
        )),
    }
    out.push_str(" Forget it?");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_g_the_question_names_what_is_dropped() {
        let plain = question(&Snapshot::default());
        assert!(
            !plain.contains("sealed") && !plain.contains("in sync"),
            "{plain}"
        );
        let sealed = Snapshot {
            sealed_changes: 1,
            tried_again: 2,
            need_attention: 3,
            ..Snapshot::default()
        };
        let told = question(&sealed);
        assert!(told.contains("changes of 1 file that are sealed"), "{told}");
        assert!(told.contains("Not in sync: 5 files"), "{told}");
        assert!(told.ends_with("Forget it?"));
    }
}
