//! `simsync card`

use simsync_codes::{CardState, Code};
use std::time::Duration;

use serde::Serialize;

use crate::args::{CardAddArgs, CardRemoveArgs, Common, SecretArgs};
use crate::client::{Client, ROOT, Signal};
use crate::failure::{Failure, Outcome};
use crate::job::JobView;
use crate::output::{Output, table};
use crate::properties::{Properties, get};
use crate::run::{Runner, interrupts};
use crate::secrets::Secrets;
use crate::snapshot::Card;

/// One of the person's cards.
#[derive(Debug, Serialize)]
struct Entry {
    card: String,
    in_use: bool,
    used_here: bool,
}

/// Shows the person's cards.
pub async fn list(common: &Common, output: &Output) -> Outcome<()> {
    let client = Client::connect(common.bus.as_deref()).await?;
    let entries: Vec<Properties> = client.call("Cards", &()).await?;
    let entries: Vec<Entry> = entries
        .iter()
        .map(|p| Entry {
            card: get(p, "card"),
            in_use: get(p, "in_use"),
            used_here: get(p, "used_here"),
        })
        .collect();
    output.result("cards", &entries, || {
        if entries.is_empty() {
            return "No card is known; pair this terminal: simsync pair".to_owned();
        }
        let word = |e: &Entry| {
            match (e.in_use, e.used_here) {
                (true, _) => "in use",
                (false, true) => "used here before",
                (false, false) => "never used here",
            }
            .to_owned()
        };
        let rows: Vec<_> = entries
            .iter()
            .map(|e| vec![e.card.clone(), word(e)])
            .collect();
        table(&rows)
    });
    Ok(())
}

/// Adds a card: one step, or all of them while the person changes cards.
pub async fn add(common: &Common, output: &Output, args: &CardAddArgs) -> Outcome<()> {
    if !args.step && args.secrets.pin_fd.is_some() {
        return Err(Failure::new(
            Code::Usage,
            "each card has a PIN of its own: with --pin-fd, add it step by step with --step",
        ));
    }
    // The PIN of the card that is waited for is typed ahead by many: that is not shown.
    let _interrupts = interrupts()?;
    let _silence = Secrets::new(SecretArgs::default(), false).silence();
    loop {
        let runner = Runner::new(common, output, &args.secrets);
        let job = match runner.give("AddCard", &()).await {
            Ok(Some(job)) => job,
            Ok(None) => return Ok(()),
            Err(failure) if failure.code == Code::NoNewCard && !args.step && !output.json() => {
                let said = "Take this card out and put the new card in.";
                wait_for_card(common, output, said, |c| c.state == CardState::Unpaired).await?;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let card = job.value("card").to_owned();
        let named = job.value("next") == "new-card";
        if args.step {
            output.result("job", &job, || told(&job, named));
            return Ok(());
        }
        if !named {
            let said = "The new card's keys are read. Take it out and put your usual card in.";
            wait_for_card(common, output, said, |c| {
                c.state == CardState::Paired && c.id.as_ref() != Some(&card)
            })
            .await?;
            continue;
        }
        let polite = Runner::new(common, output, &args.secrets);
        polite.give("Eject", &()).await?;
        let said = "Your cards know the new one. Take this card out and put the new card in.";
        wait_for_card(common, output, said, |c| {
            c.state == CardState::Paired && c.id.as_ref() == Some(&card)
        })
        .await?;
        let unlock = Runner::new(common, output, &args.secrets);
        if let Some(opened) = unlock.give("Unlock", &()).await? {
            output.result("job", &opened, || {
                format!("The card {card} is one of yours; it opened its first session.")
            });
        }
        return Ok(());
    }
}

fn told(job: &JobView, named: bool) -> String {
    if named {
        format!(
            "The card {} is one of yours now. Put it in and run `simsync unlock`; it takes your terminals in then.",
            job.value("card")
        )
    } else {
        format!(
            "The keys of the card {} are read. Put your usual card in and run the same command again.",
            job.value("card")
        )
    }
}

/// Says which card is wanted, and waits until it is in.
async fn wait_for_card(
    common: &Common,
    output: &Output,
    said: &str,
    wanted: impl Fn(&Card) -> bool,
) -> Outcome<()> {
    output.line(said);
    let client = Client::connect(common.bus.as_deref()).await?;
    let coming = async {
        let mut signals = client.signals(ROOT).await?;
        loop {
            if client.snapshot().await?.cards.iter().any(&wanted) {
                return Ok(());
            }
            if signals.next().await != Signal::Changed {
                return Err(Failure::no_daemon("it stopped while a card was waited for"));
            }
        }
    };
    let over = async {
        match common.timeout.map(Duration::from_secs) {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        result = coming => result,
        () = over => Err(Failure::new(Code::NoCard, "no card was put in in time; run it again to go on")),
        _ = tokio::signal::ctrl_c() => Err(Failure::new(Code::Cancelled, "cancelled; run it again to go on")),
    }
}

/// Takes a lost card out.
pub async fn remove(common: &Common, output: &Output, args: &CardRemoveArgs) -> Outcome<()> {
    let question = format!(
        "The card {} will open nothing any more, and cannot come back. Remove it?",
        args.card
    );
    let runner = Runner {
        yes: args.yes,
        question: Some(&question),
        ..Runner::new(common, output, &args.secrets)
    };
    if let Some(job) = runner.give("RemoveCard", &(args.card.as_str(),)).await? {
        output.result("job", &job, || {
            format!(
                "The card {} is none of yours any more; your vault has a new key.",
                job.value("card")
            )
        });
    }
    Ok(())
}
