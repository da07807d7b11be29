//! `simsync status`

use simsync_codes::{CardState, JobState, State};
use simsync_shell::visible;

use crate::args::{Common, StatusArgs};
use crate::client::Client;
use crate::failure::Outcome;
use crate::output::{Output, Style, table, time};
use crate::snapshot::{Card, Outstanding, Snapshot};
use crate::word::Word;

/// Most lines of what is not in sync.
pub const SHOWN: usize = 20;

/// Shows what simsync is doing, and if it does nothing, why.
pub async fn run(common: &Common, output: &Output, args: &StatusArgs) -> Outcome<()> {
    let client = Client::connect(common.bus.as_deref()).await?;
    let snapshot = client.snapshot().await?;
    let most = if args.all { usize::MAX } else { SHOWN };
    output.result("status", &snapshot, || text(&snapshot, output, most));
    Ok(())
}

/// What a state means, in a few words.
pub fn state_sentence(state: &Word<State>) -> &'static str {
    let Some(state) = state.known() else {
        return "";
    };
    match state {
        State::Unpaired => "this terminal is not paired with a card",
        State::Pairing => "this terminal is being paired",
        State::Waiting => "waiting for your card",
        State::Locked => "your card is in; no session is open",
        State::Opening => "opening the session",
        State::Synced => "everything is in sync",
        State::Syncing => "syncing",
        State::Pending => "some changes are not in sync yet",
        State::Offline => "the server does not answer; changes wait here",
        State::Attention => "some of your files are not in sync, and need you",
        State::Closing => "sealing what the last session left",
        State::ReadOnly => "reading only",
        State::Closed => "everything is uploaded and the session is closed",
    }
}

fn style_of(state: &Word<State>) -> Style {
    match state.known() {
        Some(State::Synced | State::Syncing | State::Closed) => Style::Good,
        Some(State::ReadOnly | State::Unpaired | State::Attention) => Style::Bad,
        _ => Style::Warn,
    }
}

/// Name and value.
fn row(name: &str, value: String) -> Vec<String> {
    vec![name.to_owned(), value]
}

/// The card's state in words.
pub fn card_sentence(card: &Card) -> String {
    let mut out = match card.state.known() {
        Some(CardState::Looking) => "being looked at".to_owned(),
        Some(CardState::Foreign) => "not a simsync card".to_owned(),
        Some(CardState::Sim) => "a SIM, not a simsync card".to_owned(),
        Some(CardState::Unpaired) => "a simsync card, not paired with this terminal".to_owned(),
        Some(CardState::Paired) if card.in_use => "yours, in use".to_owned(),
        Some(CardState::Paired) => "yours".to_owned(),
        Some(CardState::Blocked) => "yours, its PIN is blocked".to_owned(),
        Some(CardState::Failed) => "cannot be talked to".to_owned(),
        None => card.state.to_string(),
    };
    if let Some(tries) = card
        .pin_tries
        .filter(|t| *t < 3 && card.state == CardState::Paired)
    {
        out.push_str(&format!(", {tries} PIN tries left"));
    }
    if card.pin_must_change {
        out.push_str(", its PIN must be changed");
    }
    out
}

/// The status for people.
pub fn text(s: &Snapshot, output: &Output, most: usize) -> String {
    let mut out = format!(
        "{}  {}\n",
        output.paint(style_of(&s.state), &s.state.to_string()),
        state_sentence(&s.state)
    );
    for reason in &s.reasons {
        out.push_str(&format!(
            "  {} {}\n",
            output.paint(Style::Warn, "•"),
            visible(&reason.sentence)
        ));
    }
    if let Some(error) = &s.last_error {
        out.push_str(&format!(
            "  {} {}\n",
            output.paint(Style::Bad, "✗"),
            visible(&error.sentence)
        ));
    }
    for job in s
        .jobs
        .iter()
        .filter(|j| matches!(j.state.known(), Some(JobState::Running | JobState::Waiting)))
    {
        let files = if job.files_total > 0 {
            format!(" {}/{}", job.files_done, job.files_total)
        } else {
            String::new()
        };
        out.push_str(&format!(
            "  {} {} {}{files}\n",
            output.paint(Style::Good, "▸"),
            visible(&job.kind),
            visible(&job.step)
        ));
    }
    out.push_str(outstanding(&s.outstanding, most).trim_start_matches('\n'));
    if !s.outstanding.is_empty() {
        out.push('\n');
    }
    out.push('\n');
    out.push_str(&facts(s));
    let section = |title: &str, rows: Vec<Vec<String>>| {
        if rows.is_empty() {
            String::new()
        } else {
            format!("\n{}\n{}", output.paint(Style::Bold, title), table(&rows))
        }
    };
    out.push_str(&section("Cards", cards(s)));
    out.push_str(&section("SIMs", sims(s)));
    out.push_str(&section("Collections", collections(s)));
    out.push_str(&section("Terminals", terminals(s)));
    out
}

/// What is not in sync, at most so many lines, each after a line's end.
pub fn outstanding(rows: &[Outstanding], most: usize) -> String {
    let mut out = String::new();
    // What needs a person first: the rest goes by itself.
    let (person, waiting): (Vec<_>, Vec<_>) = rows.iter().partition(|r| r.needs_person);
    let ordered: Vec<&Outstanding> = person.into_iter().chain(waiting).collect();
    for row in ordered.iter().take(most) {
        let what = match (row.path.as_str(), row.count) {
            ("", 1) => visible(&row.collection).into_owned(),
            ("", more) => format!("{}: {more} more", visible(&row.collection)),
            (path, _) => format!("{}: {}", visible(&row.collection), visible(path)),
        };
        let why = row.code.to_string().replace('-', " ");
        let detail = if row.detail.is_empty() {
            String::new()
        } else {
            format!(" ({})", visible(&row.detail))
        };
        out.push_str(&format!(
            "\n  • {what}: {why}{detail}, since {}: {}",
            time(row.since_ms),
            row.remedy
        ));
    }
    let hidden: u64 = ordered.iter().skip(most).map(|r| r.count).sum();
    if hidden > 0 {
        out.push_str(&format!(
            "\n  and {hidden} more: `simsync status --all` lists them"
        ));
    }
    out
}

fn facts(s: &Snapshot) -> String {
    let mut rows = vec![row("This terminal", s.label.clone())];
    if let Some(subscriber) = &s.subscriber {
        rows.push(row("Subscriber", subscriber.clone()));
    }
    if let Some(agent) = &s.default_agent {
        rows.push(row("Asks at an insertion", agent.clone()));
    }
    if let Some(server) = &s.server {
        let online = match s.online {
            Some(true) => "",
            Some(false) => " (does not answer)",
            None => " (not tried yet)",
        };
        rows.push(row("Server", format!("{server}{online}")));
    }
    if s.sequence > 0 {
        rows.push(row("Newest commit", s.sequence.to_string()));
    }
    if let Some(ms) = s.last_sync_ms {
        rows.push(row("Last sync", time(ms)));
    }
    if s.conflicts > 0 {
        rows.push(row(
            "Conflicts",
            format!("{}; `simsync conflicts` lists them", s.conflicts),
        ));
    }
    table(&rows)
}

/// Cards and empty readers.
fn cards(s: &Snapshot) -> Vec<Vec<String>> {
    s.readers
        .iter()
        .map(|reader| {
            let card = s.cards.iter().find(|c| c.reader == *reader);
            let what = card.map_or_else(|| "no card".to_owned(), card_sentence);
            vec![reader.clone(), what]
        })
        .collect()
}

/// SIMs, one a row.
fn sims(s: &Snapshot) -> Vec<Vec<String>> {
    s.sims
        .iter()
        .map(|sim| {
            let what = if sim.registered {
                "registered; it unlocks nothing"
            } else {
                "not registered"
            };
            vec![sim.iccid.clone(), sim.place.clone(), what.to_owned()]
        })
        .collect()
}

/// Collections, one a row.
pub fn collections(s: &Snapshot) -> Vec<Vec<String>> {
    s.collections
        .iter()
        .map(|c| {
            let path = c
                .path
                .clone()
                .unwrap_or_else(|| "not synced here".to_owned());
            vec![c.name.clone(), c.attribute.clone(), path]
        })
        .collect()
}

/// Terminals, one a row.
pub fn terminals(s: &Snapshot) -> Vec<Vec<String>> {
    s.terminals
        .iter()
        .map(|t| {
            let mut notes = t.collections.join(", ");
            if t.own {
                notes = format!("this one; {notes}");
            }
            if t.unfinished {
                notes.push_str("; has not finished uploading");
            }
            if s.terminals.iter().filter(|o| o.label == t.label).count() > 1 {
                notes.push_str("; has the same name as another");
            }
            let short: String = t.id.chars().take(8).collect();
            vec![
                t.label.clone(),
                short,
                notes.trim_end_matches("; ").to_owned(),
            ]
        })
        .collect()
}
