//! Commands to open the session, and which of them the question for the PIN is asked for.
//!
//! A command stands until its caller has heard what came of it. The newest one is asked for: whoever ordered last sits in front of
//! it. What one of them answers ends that one; the others were not asked yet, so they are.

use crate::api::{Caller, Reason};

/// A command to open the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlock {
    /// The job that tells how it went.
    pub job: u64,
    /// Whose command it is; none if the caller is not known.
    pub by: Option<Caller>,
    /// Its caller has an agent of its own. Any other command leads to the default agent, which takes no question from anybody.
    pub has_agent: bool,
}

/// The commands that stand, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unlocks {
    standing: Vec<Unlock>,
    /// Those that ended by what their own callers answered, and have not told them yet.
    over: Vec<(u64, Reason)>,
}

impl Unlocks {
    /// For whose command the question is asked now; none if nobody gave one.
    pub fn asked(&self) -> Option<&Caller> {
        let own = self.standing.iter().rev().find(|u| u.has_agent);
        own.or_else(|| self.standing.last())?.by.as_ref()
    }

    /// Why this job's command ended, if its own caller's answer ended it.
    pub fn refusal(&self, job: u64) -> Option<&Reason> {
        let over = self.over.iter().find(|(of, _)| *of == job);
        over.map(|(_, why)| why)
    }

    /// Whether any command stands.
    pub(super) fn stand(&self) -> bool {
        !self.standing.is_empty()
    }

    pub(super) fn command(&mut self, command: Unlock) {
        self.standing.push(command);
    }

    /// The question was asked for the command of one caller, by the agent of maybe another, and nothing came of it. Commands without
    /// an agent of their own would only lead there again.
    pub(super) fn in_vain(&mut self, of: Option<&Caller>, at: Option<&Caller>, why: &Reason) {
        let is_it = |u: &Unlock| {
            let by = u.by.as_ref();
            !u.has_agent || by == of || by == at
        };
        for u in self.standing.extract_if(.., |u| is_it(u)) {
            self.over.push((u.job, why.clone()));
        }
    }

    /// The job's caller knows how it went, or waits no longer.
    pub(super) fn ended(&mut self, job: u64) {
        self.standing.retain(|u| u.job != job);
        self.over.retain(|(of, _)| *of != job);
    }
}
