//! `simsync collections`

use simsync_codes::{Code, Unsynced};
use simsync_shell::{visible, visible_path};

use crate::args::{AddArgs, AnswerArgs, CollectionAnswer, Common, RemoveArgs};
use crate::client::Client;
use crate::commands::status;
use crate::commands::sync::{left, report};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, table};
use crate::run::Runner;

/// Syncs a folder.
pub async fn add(common: &Common, output: &Output, args: &AddArgs) -> Outcome<Exit> {
    let shown = visible_path(&args.path);
    let path = std::path::absolute(&args.path)
        .map_err(|e| Failure::new(Code::BadArgument, format!("{shown} cannot be used: {e}")))?;
    if !path.is_dir() {
        return Err(Failure::new(
            Code::BadArgument,
            format!("{shown} is not a folder; make it first"),
        ));
    }
    let text = path.to_str().ok_or_else(|| {
        Failure::new(
            Code::BadArgument,
            format!("{shown} is not valid UTF-8; choose another folder"),
        )
    })?;
    let runner = Runner::new(common, output, &args.secrets);
    let body = (args.attribute.as_str(), args.name.as_str(), text);
    let job = runner.give("AddCollection", &body).await?;
    report(common, output, job, |summary| {
        format!(
            "{} is synced as {}.\n{summary}",
            visible(text),
            visible(&args.name)
        )
    })
    .await
}

/// Says what is to become of a collection of which much is missing.
pub async fn answer(common: &Common, output: &Output, args: &AnswerArgs) -> Outcome<Exit> {
    let word = match args.answer {
        CollectionAnswer::Deleted => "deleted",
        CollectionAnswer::GiveBack => "give-back",
        CollectionAnswer::Stop => {
            let args = RemoveArgs {
                collection: args.collection.clone(),
                secrets: args.secrets.clone(),
            };
            return remove(common, output, &args).await.map(|()| Exit::Ok);
        }
    };
    let (question, shown) = match args.answer {
        CollectionAnswer::Deleted => {
            let (asked, shown) = what_goes(common, &args.collection).await?;
            (Some(asked), shown)
        }
        _ => (None, String::new()),
    };
    let runner = Runner {
        yes: args.yes,
        question: question.as_deref(),
        only_persons: true,
        ..Runner::new(common, output, &args.secrets)
    };
    let body = (args.collection.as_str(), word, shown.as_str());
    let job = runner.give("AnswerCollection", &body).await?;
    report(common, output, job, |summary| summary).await
}

/// Everything that one yes is to, for there may be more than one question; and what stands for it on the bus.
async fn what_goes(common: &Common, collection: &str) -> Outcome<(String, String)> {
    let client = Client::connect(common.bus.as_deref()).await?;
    let named = |c: &&crate::snapshot::Collection| c.name == collection || c.id == collection;
    // Before the list: if that is newer, the answer is refused, and nobody says yes to what was not shown.
    let before = client.snapshot().await?;
    let shown = before.collections.iter().find(named);
    let shown = shown.map_or_else(String::new, |c| c.question.clone());
    let snapshot = client.snapshot().await?;
    let name = snapshot
        .collections
        .iter()
        .find(named)
        .map(|c| c.name.as_str());
    let of_it = |r: &&crate::snapshot::Outstanding| {
        Some(r.collection.as_str()) == name && r.code.known().is_some_and(Unsynced::asks)
    };
    let rows: Vec<_> = snapshot.outstanding.iter().filter(of_it).collect();
    let mut out = String::from("What is gone here is deleted on all your terminals:");
    for row in rows {
        let what = if row.path.is_empty() {
            "all of it"
        } else {
            row.path.as_str()
        };
        out.push_str(&format!(
            "\n  • {}: {} {}",
            visible(what),
            row.code.to_string().replace('-', " "),
            visible(&row.detail)
        ));
    }
    out.push_str("\nIs all of that meant?");
    Ok((out, shown))
}

/// Shows the collections.
pub async fn list(common: &Common, output: &Output) -> Outcome<()> {
    let client = Client::connect(common.bus.as_deref()).await?;
    let snapshot = client.snapshot().await?;
    output.result("collections", &snapshot.collections, || {
        if snapshot.collections.is_empty() {
            "Nothing is synced yet: simsync collections add NAME FOLDER".to_owned()
        } else {
            table(&status::collections(&snapshot))
        }
    });
    Ok(())
}

/// Stops syncing a collection here.
pub async fn remove(common: &Common, output: &Output, args: &RemoveArgs) -> Outcome<()> {
    let runner = Runner::new(common, output, &args.secrets);
    let body = (args.collection.as_str(),);
    if let Some(job) = runner.give("RemoveCollection", &body).await? {
        output.result("job", &job, || {
            let mut text = format!(
                "{} is no longer synced here; its files stay where they are.",
                visible(&args.collection)
            );
            text.push_str(&left(&job));
            text
        });
    }
    Ok(())
}
