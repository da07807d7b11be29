//! Readers: waiting for a card to come or go, by the events of PC/SC.

use std::ffi::{CStr, CString};
use std::time::Duration;

use pcsc::{Context, Error, ReaderState, State};

use crate::error::ToolError;
use crate::reader;

/// After so long without an event the reader is looked at all the same: events can be missed.
const LOOK: Duration = Duration::from_secs(1);

/// A reader and its connection to pcscd.
pub struct Watch {
    pub context: Context,
    /// PC/SC name of the reader.
    pub name: CString,
}

/// A card that is in. The reader counts comings and goings, so that one that was changed quickly is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insertion(u32);

impl Watch {
    /// Connects to pcscd, and fails if it does not run. The reader is not looked at yet.
    pub fn new(name: CString) -> Result<Self, ToolError> {
        Ok(Self {
            context: reader::context()?,
            name,
        })
    }

    /// The state now, and after waiting for a change from `known` if there is one.
    fn state(&self, known: Option<(State, u32)>) -> Result<(State, u32), ToolError> {
        let gone = |e: Error| {
            ToolError::Reader(format!(
                "the reader {} does not answer ({e}); plug it in, see that pcscd runs, and go on by running it again",
                self.name.to_string_lossy()
            ))
        };
        let mut states = [ReaderState::new(self.name.clone(), State::UNAWARE)];
        self.context
            .get_status_change(Duration::ZERO, &mut states)
            .map_err(gone)?;
        if known == Some((states[0].event_state(), states[0].event_count())) {
            states[0].sync_current_state();
            match self.context.get_status_change(LOOK, &mut states) {
                Ok(()) | Err(Error::Timeout) => {}
                Err(e) => return Err(gone(e)),
            }
        }
        let state = states[0].event_state();
        if state.intersects(State::UNKNOWN | State::UNAVAILABLE | State::IGNORE) {
            return Err(gone(Error::ReaderUnavailable));
        }
        Ok((state, states[0].event_count()))
    }

    /// Waits for a card; `None` if `end` says so before.
    pub fn inserted(&self, mut end: impl FnMut() -> bool) -> Result<Option<Insertion>, ToolError> {
        let mut known = None;
        loop {
            let (state, count) = self.state(known)?;
            if state.contains(State::PRESENT) {
                return Ok(Some(Insertion(count)));
            }
            if end() {
                return Ok(None);
            }
            known = Some((state, count));
        }
    }

    /// Waits until that card is gone, or `end` says so.
    pub fn removed(&self, card: Insertion, mut end: impl FnMut() -> bool) -> Result<(), ToolError> {
        let mut known = None;
        loop {
            let (state, count) = self.state(known)?;
            if !state.contains(State::PRESENT) || Insertion(count) != card || end() {
                return Ok(());
            }
            known = Some((state, count));
        }
    }
}

/// The readers that are meant: all, those of these names or parts of names, or the only one.
pub fn choose(wanted: &[String], single: Option<&str>) -> Result<Vec<CString>, ToolError> {
    let all = reader::readers(&reader::context()?)?;
    pick(all, wanted, single)
}

fn pick(
    all: Vec<CString>,
    wanted: &[String],
    single: Option<&str>,
) -> Result<Vec<CString>, ToolError> {
    if all.is_empty() {
        return Err(ToolError::Reader(
            "no card reader is connected; plug one in".to_owned(),
        ));
    }
    if wanted.iter().any(|w| w == "all") {
        return Ok(all);
    }
    let names: Vec<&str> = wanted.iter().map(String::as_str).chain(single).collect();
    if names.is_empty() {
        return match all.len() {
            1 => Ok(all),
            n => Err(ToolError::Usage(format!(
                "{n} readers are connected; say which with --readers all, or --readers NAME"
            ))),
        };
    }
    let mut chosen: Vec<CString> = Vec::new();
    for name in names {
        let one = find(&all, name)?.to_owned();
        if !chosen.contains(&one) {
            chosen.push(one);
        }
    }
    Ok(chosen)
}

fn find<'a>(all: &'a [CString], name: &str) -> Result<&'a CStr, ToolError> {
    let fits = |n: &&CString| n.to_string_lossy().contains(name);
    let matching: Vec<&CString> = all.iter().filter(fits).collect();
    let exact = matching.iter().find(|n| n.to_string_lossy() == name);
    match (exact, matching.as_slice()) {
        (Some(one), _) | (None, [one]) => Ok(one),
        (None, []) => Err(ToolError::Reader(format!(
            "no reader is called {name}; `simsync-card readers` lists them"
        ))),
        (None, many) => Err(ToolError::Usage(format!(
            "{} readers are called {name}; write more of the name",
            many.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_named_by_parts_that_no_other_has() {
        let all = || {
            vec![
                c"Desk A 00".to_owned(),
                c"Desk A 01".to_owned(),
                c"Desk B".to_owned(),
            ]
        };
        let of = |wanted: &[&str], single| {
            let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
            pick(all(), &wanted, single).map(|c| c.len())
        };
        assert_eq!(of(&["all"], None).unwrap(), 3);
        assert_eq!(of(&["01", "B", "B"], None).unwrap(), 2);
        assert_eq!(of(&[], Some("B")).unwrap(), 1);
        for (wanted, words) in [
            (&[][..], "3 readers"),
            (&["A"], "2 readers"),
            (&["C"], "no reader"),
        ] {
            let told = of(wanted, None).unwrap_err().to_string();
            assert!(told.contains(words), "{told}");
        }
        assert!(pick(Vec::new(), &[], None).is_err());
        assert_eq!(pick(vec![c"one".to_owned()], &[], None).unwrap().len(), 1);
    }
}
