//! Who may have put into the vault what cannot be used: labels of terminals, for the owner to know where to look.

use std::collections::HashMap;

use simsync_card::ids::TerminalId;
use simsync_vault::ids::ObjectId;

use super::EngineError;
use crate::outstanding::{Report, Unsynced};
use crate::store::{Collection, RootThen, Store};

/// Labels that are named.
const NAMED_MAX: usize = 3;
/// Commits that are looked through, the newest: a terminal that was away for longer is told of "others".
const LOOKED_AT: u32 = 1_000;

/// Terminals that changed a collection.
#[derive(Debug, PartialEq, Eq)]
struct Authors {
    /// The newest first, each once.
    terminals: Vec<TerminalId>,
    /// There are commits that were not looked at.
    and_more: bool,
}

/// Those who changed a root since it was `base`, by what each commit left of it, the newest first. This terminal itself is
/// named only where nobody else is: what it goes on from is what others made.
fn authors(base: &ObjectId, commits: &[RootThen], own: &TerminalId) -> Authors {
    let since = commits.iter().take_while(|c| c.root != *base).count();
    let mut out: Vec<TerminalId> = Vec::new();
    for (i, commit) in commits.iter().enumerate().take(since) {
        let before = commits.get(i + 1).map_or(ObjectId::ZERO, |c| c.root);
        if commit.root != before && !out.contains(&commit.terminal) {
            out.push(commit.terminal);
        }
    }
    if out.iter().any(|t| t != own) {
        out.retain(|t| t != own);
    }
    Authors {
        terminals: out,
        and_more: since >= LOOKED_AT as usize,
    }
}

/// `terminal "A"`, or `terminal "A", "B" or others`. Labels are what somebody else chose.
fn one_of(labels: &[String], and_more: bool) -> Option<String> {
    let quoted = |l: &String| format!("\"{}\"", simsync_shell::visible(l));
    let mut names: Vec<String> = labels.iter().take(NAMED_MAX).map(quoted).collect();
    if and_more || labels.len() > NAMED_MAX {
        names.push("others".to_owned());
    }
    let last = names.pop()?;
    Some(match names.as_slice() {
        [] => format!("terminal {last}"),
        before => format!("terminal {} or {last}", before.join(", ")),
    })
}

/// What every terminal of the vault is called, also those that left.
pub(super) fn labels(store: &Store) -> Result<HashMap<TerminalId, String>, EngineError> {
    let objects = store.key_objects()?;
    let all = objects.iter().flat_map(|o| &o.body.terminals);
    Ok(all.map(|t| (t.id(), t.label.clone())).collect())
}

/// Adds to reports of what the vault has who may have written that: who changed the collection since the state that this
/// terminal, `own`, had taken last. Which of them it was would take every listing of every commit between.
pub(super) fn name_authors(
    store: &Store,
    own: &TerminalId,
    collection: &Collection,
    reports: &mut [Report],
) -> Result<(), EngineError> {
    let mut foreign: Vec<&mut Report> = reports
        .iter_mut()
        .filter(|r| is_of_the_vault(r.code))
        .collect();
    if foreign.is_empty() {
        return Ok(());
    }
    let commits = store.roots_back(&collection.id, LOOKED_AT)?;
    let found = authors(&collection.base_root, &commits, own);
    let labels = labels(store)?;
    let label = |t: &TerminalId| labels.get(t).cloned().unwrap_or_else(|| t.short());
    let labels: Vec<String> = found.terminals.iter().map(label).collect();
    let Some(who) = one_of(&labels, found.and_more) else {
        return Ok(());
    };
    for report in &mut foreign {
        report.detail = format!("{}; from {who}", report.detail);
    }
    Ok(())
}

/// Whether a report is of something that is in the vault, and not of this terminal's disk.
fn is_of_the_vault(code: Unsynced) -> bool {
    matches!(
        code,
        Unsynced::VaultDamaged
            | Unsynced::VaultIncomplete
            | Unsynced::TooDeep
            | Unsynced::ListingTooLarge
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(terminal: u8, root: u8) -> RootThen {
        RootThen {
            terminal: TerminalId([terminal; 32]),
            root: ObjectId([root; 32]),
        }
    }

    /// By whom a root was changed since the one that is all of `base`.
    fn who(base: u8, commits: &[(u8, u8)]) -> Vec<u8> {
        let commits: Vec<RootThen> = commits.iter().map(|(t, r)| commit(*t, *r)).collect();
        let own = TerminalId([1; 32]);
        let found = authors(&ObjectId([base; 32]), &commits, &own);
        assert!(!found.and_more);
        found.terminals.iter().map(|t| t.0[0]).collect()
    }

    #[test]
    fn w_1_authors_are_those_who_changed_it_since() {
        // Not who committed and left it as it was, and not who made what was taken already.
        assert_eq!(who(7, &[(6, 9), (3, 9), (2, 8), (4, 7), (5, 6)]), [3, 2]);
        // Each once, and not this terminal, which wrote beside the others.
        assert_eq!(who(7, &[(1, 10), (2, 9), (1, 8), (2, 11), (4, 7)]), [2]);
        // But where nobody else was.
        assert_eq!(who(7, &[(1, 10), (4, 7)]), [1]);
        // From the beginning on.
        assert_eq!(who(0, &[(2, 8), (4, 7)]), [2, 4]);
        assert_eq!(who(0, &[(2, 8), (4, 7), (5, 0)]), [2, 4]);
        assert_eq!(who(7, &[(4, 7)]), [0; 0]);
    }

    #[test]
    fn w_1_of_many_authors_three_are_named_and_no_label_speaks_for_us() {
        let labels: Vec<String> = ["A", "B", "C", "D"].map(str::to_owned).to_vec();
        let one = |n: usize, more| one_of(&labels[..n], more);
        assert_eq!(one(0, false), None);
        assert_eq!(one(1, false).as_deref(), Some("terminal \"A\""));
        assert_eq!(one(2, false).as_deref(), Some("terminal \"A\" or \"B\""));
        let three = "terminal \"A\", \"B\" or \"C\"";
        assert_eq!(one(3, false).as_deref(), Some(three));
        let more = "terminal \"A\", \"B\", \"C\" or others";
        assert_eq!(one(4, false).as_deref(), Some(more));
        assert_eq!(one(1, true).as_deref(), Some("terminal \"A\" or others"));
        let evil = ["x\u{1b}[2J\u{202e}\n".to_owned()];
        let shown = one_of(&evil, false).unwrap();
        assert_eq!(shown, "terminal \"x\\u{1b}[2J\\u{202e}\\n\"");
    }

    #[test]
    fn w_1_commits_that_were_not_looked_at_are_others() {
        let commits = vec![commit(2, 9); LOOKED_AT as usize];
        let own = TerminalId([1; 32]);
        let found = authors(&ObjectId([7; 32]), &commits, &own);
        assert!(found.and_more && found.terminals.len() == 1);
        let found = authors(&ObjectId([7; 32]), &commits[1..], &own);
        assert!(!found.and_more);
    }
}
