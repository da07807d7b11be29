//! Orders that nobody takes back: which thing is meant, and whether the operator means it.

use std::path::Path;
use std::sync::Arc;

use simsync_shell::{Interrupt, Tty, visible};

use super::dispatch::execute;
use super::failure::Failure;
use super::id_prefix::{IdPrefix, LEAST};
use crate::admin::{AdminCommand, Outcome};
use crate::store::types::SubscriberState;

/// The one thing whose ID begins so, out of `(thing, ID)`.
fn the_one<T>(
    kind: &str,
    things: impl IntoIterator<Item = (T, String)>,
    which: &str,
) -> Result<T, Failure> {
    let mut fits: Vec<(T, String)> = things
        .into_iter()
        .filter(|(_, id)| id.starts_with(which))
        .collect();
    // An ID that is another one's beginning is still itself.
    if let Some(exact) = fits.iter().position(|(_, id)| id == which) {
        return Ok(fits.swap_remove(exact).0);
    }
    match (fits.len(), fits.pop()) {
        (1, Some((one, _))) if which.len() >= LEAST => Ok(one),
        (1, _) => Err(Failure {
            exit: 2,
            sentence: format!("{which} is too short; give {LEAST} characters of the ID or more"),
        }),
        (0, _) => Err(Failure {
            exit: 3,
            sentence: format!("there is no {kind} {which}"),
        }),
        (n, _) => Err(Failure {
            exit: 2,
            sentence: format!("{n} {kind}s begin with {which}; give more of the ID"),
        }),
    }
}

/// Asks, unless `yes` was said on the command line. Without anybody to ask nothing is done.
fn agreed(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let refused = |why: &str| Failure {
        exit: 4,
        sentence: format!("nothing was done: {why}"),
    };
    match Tty::open(Arc::default(), Interrupt::Ends) {
        Some(tty) if tty.confirm(question) => Ok(()),
        Some(_) => Err(refused("you did not say yes")),
        None => Err(refused(
            "this cannot be taken back and needs your word; run it on a terminal, or with --yes",
        )),
    }
}

/// `card revoke`.
pub async fn card(dir: &Path, which: &IdPrefix, yes: bool) -> Result<AdminCommand, Failure> {
    let Outcome::Cards(rows) = execute(dir, AdminCommand::CardList { subscriber: None }).await?
    else {
        return Err(no_list());
    };
    let rows = rows.into_iter().map(|r| {
        let id = r.card.to_string();
        (r, id)
    });
    let row = the_one("card", rows, which.as_str())?;
    agreed(
        &format!(
            "The card {} \"{}\" of {} will open nothing any more, for good. Revoke it?",
            row.card,
            visible(&row.label),
            row.subscriber
        ),
        yes,
    )?;
    Ok(AdminCommand::CardRevoke { card: row.card })
}

/// `terminal revoke`.
pub async fn terminal(dir: &Path, which: &IdPrefix, yes: bool) -> Result<AdminCommand, Failure> {
    let Outcome::Terminals(rows) =
        execute(dir, AdminCommand::TerminalList { subscriber: None }).await?
    else {
        return Err(no_list());
    };
    let rows = rows.into_iter().map(|r| {
        let id = r.terminal.to_string();
        (r, id)
    });
    let row = the_one("terminal", rows, which.as_str())?;
    agreed(
        &format!(
            "The terminal {} \"{}\" of {} will sync nothing any more, and has to be paired anew. Revoke it?",
            row.terminal.short(),
            visible(&row.label),
            row.subscriber
        ),
        yes,
    )?;
    Ok(AdminCommand::TerminalRevoke {
        terminal: row.terminal,
    })
}

/// `subscriber remove`.
pub async fn subscriber(dir: &Path, which: &str, yes: bool) -> Result<AdminCommand, Failure> {
    let Outcome::Subscribers(rows) = execute(dir, AdminCommand::SubscriberList).await? else {
        return Err(no_list());
    };
    let rows = rows.into_iter().map(|r| {
        let id = r.subscriber.to_string();
        (r, id)
    });
    let row = the_one("subscriber", rows, which)?;
    agreed(
        &format!(
            "The subscriber {} \"{}\" with {} cards and {} terminals is shut out for good. Remove it?",
            row.subscriber,
            visible(&row.label),
            row.cards,
            row.terminals
        ),
        yes,
    )?;
    Ok(AdminCommand::SubscriberSet {
        id: row.subscriber,
        state: SubscriberState::Removed,
    })
}

fn no_list() -> Failure {
    Failure {
        exit: 1,
        sentence: "the server gave no list".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_g3_the_beginning_of_an_id_is_enough_where_it_fits_one() {
        let ids = ["abcd11", "abcd22", "ab"].map(|id| (id, id.to_owned()));
        let one = |which: &str| the_one("card", ids.clone(), which).map_err(|f| f.exit);
        assert_eq!(one("abcd1"), Ok("abcd11"));
        assert_eq!(one("ab"), Ok("ab"));
        assert_eq!(one("abcd"), Err(2));
        assert_eq!(one("ffff"), Err(3));
        assert_eq!(
            the_one("card", [((), "abcd".to_owned())], "a").map_err(|f| f.exit),
            Err(2)
        );
    }
}
