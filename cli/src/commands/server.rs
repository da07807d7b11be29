//! `simsync server`

use serde::Serialize;
use simsync_codes::Code;
use simsync_shell::visible;

use crate::args::{AcceptRestoredArgs, Common, ServerConfirmArgs};
use crate::client::Client;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::run::Runner;
use crate::snapshot::ServerMove;

#[derive(Debug, Serialize)]
struct Shown {
    address: Option<String>,
    online: Option<bool>,
    moves_to: Option<ServerMove>,
}

/// In groups, so that two people can compare it.
fn grouped(pin: &str) -> String {
    let groups: Vec<&str> = pin
        .as_bytes()
        .chunks(4)
        .filter_map(|c| std::str::from_utf8(c).ok())
        .collect();
    visible(&groups.join(" ")).into_owned()
}

fn announced(to: &ServerMove) -> String {
    format!(
        "It announces that it moves to {}, where the fingerprint of its authority is\n  {}\nCompare both with what your operator says, then run `simsync server confirm`.",
        visible(&to.address),
        grouped(&to.ca_pin)
    )
}

/// Shows where the server is, and where it says that it moves.
pub async fn show(common: &Common, output: &Output) -> Outcome<()> {
    let client = Client::connect(common.bus.as_deref()).await?;
    let snapshot = client.snapshot().await?;
    let shown = Shown {
        address: snapshot.server,
        online: snapshot.online,
        moves_to: snapshot.server_moves_to,
    };
    output.result("server", &shown, || {
        let Some(address) = &shown.address else {
            return "No server is known; pair this terminal: simsync pair".to_owned();
        };
        let word = match shown.online {
            Some(true) => "it answers",
            Some(false) => "it cannot be reached",
            None => "nobody has asked it yet",
        };
        let mut text = format!("The server is {}; {word}.", visible(address));
        if let Some(to) = &shown.moves_to {
            text.push('\n');
            text.push_str(&announced(to));
        }
        text
    });
    Ok(())
}

/// Agrees to what the server announces.
pub async fn confirm(common: &Common, output: &Output, args: &ServerConfirmArgs) -> Outcome<()> {
    let client = Client::connect(common.bus.as_deref()).await?;
    let Some(to) = client.snapshot().await?.server_moves_to else {
        return Err(Failure::new(
            Code::NoServerMove,
            "the server announces nothing that waits for your word; `simsync server` shows where it is",
        ));
    };
    let question = format!(
        "The server announces that it moves to {}, where the fingerprint of its authority is\n  {}\nIs that what your operator says?",
        visible(&to.address),
        grouped(&to.ca_pin)
    );
    let secrets = crate::args::SecretArgs::default();
    let runner = Runner {
        yes: args.yes,
        question: Some(&question),
        ..Runner::new(common, output, &secrets)
    };
    let body = (to.address.as_str(), to.ca_pin.as_str());
    if let Some(job) = runner.give("ConfirmServer", &body).await? {
        output.result("job", &job, || {
            format!(
                "This terminal looks for the server at {} once it has left its old place, and tells each card then.",
                visible(job.value("server"))
            )
        });
    }
    Ok(())
}

/// Goes on from what the server shows, where nobody can prove what the card remembers.
pub async fn accept_restored(
    common: &Common,
    output: &Output,
    args: &AcceptRestoredArgs,
) -> Outcome<()> {
    let client = Client::connect(common.bus.as_deref()).await?;
    let snapshot = client.snapshot().await?;
    let why = snapshot
        .reasons
        .iter()
        .find(|r| r.code == Code::RecordUnproven);
    let question = format!(
        "{}\nPut the card into every other terminal that you used lately first: one that has more than the server cannot go on after this.\nGo on from what the server shows?",
        why.map_or(String::new(), |r| r.sentence.clone())
    );
    let runner = Runner {
        yes: args.yes,
        question: Some(question.trim_start()),
        ..Runner::new(common, output, &args.secrets)
    };
    if let Some(job) = runner.give("AcceptRestored", &()).await? {
        output.result("job", &job, || {
            "The vault goes on from what the server shows, with a new key. If a terminal is to blame, take it out: simsync terminals remove".to_owned()
        });
    }
    Ok(())
}
