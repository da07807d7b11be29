//! docs/errors.md says the same as the tables.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use simsync_codes::{CardState, Code, Exit, JobState, State, Unsynced};

fn rows(begin: &str) -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
    let text = std::fs::read_to_string(path).unwrap();
    let cells = |line: &str| {
        // In the document a bar that ends no cell is escaped.
        let line = line.replace("\\|", "\0");
        let cells = line.split('|').map(|c| c.trim().replace('\0', "|"));
        cells.collect::<Vec<String>>()
    };
    text.lines()
        .filter(|line| line.starts_with(begin))
        .map(cells)
        .collect()
}

#[test]
fn every_code_has_its_row_with_its_name_on_the_bus_and_its_exit_code() {
    let rows = rows("| `");
    let mut found = 0;
    for row in &rows {
        // The other tables of the document are of simsync-card's sentences.
        let Ok(code) = row[1].trim_matches('`').parse::<Code>() else {
            assert!(row.len() < 10, "{} is no code", row[1]);
            continue;
        };
        let (bus, exit) = (row[5].trim_matches('`'), row[6].as_str());
        if bus != "–" {
            assert_eq!(bus, code.bus_name(), "{code}");
        }
        if exit != "–" {
            assert_eq!(exit, (code.exit() as u8).to_string(), "{code}");
        }
        found += 1;
    }
    assert_eq!(found, Code::ALL.len());
}

#[test]
fn every_code_is_found_by_its_word_and_by_its_name_on_the_bus() {
    for code in Code::ALL {
        assert_eq!(code.as_str().parse(), Ok(*code));
        let back = Code::of_bus_name(code.bus_name()).unwrap();
        // Closing a prompt and saying no are one error on the bus.
        assert!(back == *code || (*code, back) == (Code::PinDeclined, Code::Declined));
        assert_eq!(back.exit(), code.exit());
        let quoted = serde_json::to_string(code).unwrap();
        assert_eq!(quoted, format!("\"{code}\""));
        assert_eq!(serde_json::from_str::<Code>(&quoted).unwrap(), *code);
    }
    assert!("something".parse::<Code>().is_err());
    assert_eq!(Code::of_bus_name("Something"), None);
    assert_eq!(Code::PinIncorrect.bus_name(), "PinIncorrect");
    assert_eq!(Code::PinIncorrect.exit(), Exit::Pin);
}

#[test]
fn what_is_not_in_sync_has_its_row_with_what_helps() {
    let rows = rows("| *");
    assert_eq!(rows.len(), Unsynced::ALL.len());
    for code in Unsynced::ALL {
        let name = format!("*{}*", code.as_str());
        let row = rows.iter().find(|r| r[1] == name);
        let row = row.unwrap_or_else(|| panic!("no row {name}"));
        let who = if code.needs_person() {
            "you"
        } else {
            "by itself"
        };
        assert_eq!((row[2].as_str(), row[4].as_str()), (who, code.remedy()));
        assert_eq!(code.as_str().parse(), Ok(*code));
    }
    assert!("something".parse::<Unsynced>().is_err());
}

#[test]
fn every_state_is_found_by_its_word() {
    let states = State::ALL.iter().map(|s| s.as_str().parse() == Ok(*s));
    let jobs = JobState::ALL.iter().map(|s| s.as_str().parse() == Ok(*s));
    let cards = CardState::ALL.iter().map(|s| s.as_str().parse() == Ok(*s));
    let all: Vec<bool> = states.chain(jobs).chain(cards).collect();
    assert_eq!((all.len(), all.iter().all(|found| *found)), (25, true));
    assert_eq!(State::ReadOnly.to_string(), "read-only");
}
