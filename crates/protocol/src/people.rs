//! The list of people that operators write: a CSV file (RFC 4180, UTF-8) with a header. `simsync-server subscriber import`
//! takes `label` and perhaps `subscriber`; `simsync-card provision --batch` takes what that writes: `label`,
//! `subscriber`, `code`.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use simsync_card::ids::SubscriberId;
use zeroize::Zeroizing;

use crate::enrolment::EnrolmentCode;

/// Longest file, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Most people in one file.
pub const MAX_PEOPLE: usize = 10_000;
/// Longest label, in bytes: a card holds no more.
pub const LABEL_MAX: usize = 32;

/// What a file is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To add subscribers: `label`, perhaps `subscriber`.
    Import,
    /// To issue cards: `label`, `subscriber`, `code`.
    Issue,
}

impl Purpose {
    /// Names of the columns, and whether they must be there.
    fn columns(self) -> &'static [(&'static str, bool)] {
        match self {
            Self::Import => &[("label", true), ("subscriber", false)],
            Self::Issue => &[("label", true), ("subscriber", true), ("code", true)],
        }
    }
}

/// A person as one line of the file names them.
pub struct Person {
    /// Where it stands in the file, from 1; the header is line 1.
    pub line: u64,
    /// What the operator calls the person, 1 to 32 bytes.
    pub label: String,
    /// The subscriber's ID; always there when cards are issued.
    pub subscriber: Option<SubscriberId>,
    /// The enrolment code; always there when cards are issued.
    pub code: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Person({} {:?} {:?})",
            self.line, self.label, self.subscriber
        )
    }
}

/// What is wrong with one line. Does not repeat codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Number of the line in the file, from 1; the header is line 1.
    pub line: u64,
    /// What is wrong in that line, for a person.
    pub why: String,
}

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// No such file, or it cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// Over [`MAX_BYTES`].
    #[error("it is longer than {MAX_BYTES} bytes; make several files of it")]
    TooLong,
    /// Over [`MAX_PEOPLE`].
    #[error("it has more than {MAX_PEOPLE} people; make several files of it")]
    TooMany,
    /// Not UTF-8.
    #[error("it is not UTF-8 text; export it as CSV in UTF-8")]
    NotText,
    /// The first line does not name the columns that are wanted. The text says which, and is the whole sentence.
    #[error("{0}")]
    Header(String),
    /// No line follows the header.
    #[error("there is nobody in it")]
    Empty,
    /// Lines, all that are wrong.
    #[error("{}", tell(.0))]
    Lines(Vec<BadLine>),
}

fn tell(lines: &[BadLine]) -> String {
    let mut text = match lines {
        [_] => "one line is wrong:".to_owned(),
        _ => format!("{} lines are wrong:", lines.len()),
    };
    for bad in lines {
        text.push_str(&format!("\n  line {}: {}", bad.line, bad.why));
    }
    text
}

/// Reads a file. Nothing of it is taken if any line is wrong.
pub fn read(path: &Path, purpose: Purpose) -> Result<Vec<Person>, PeopleError> {
    let file = std::fs::File::open(path)?;
    // Reserved at once: codes leave no copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    parse(&bytes, purpose)
}

/// The same, of bytes.
pub fn parse(bytes: &[u8], purpose: Purpose) -> Result<Vec<Person>, PeopleError> {
    if bytes.len() > MAX_BYTES {
        return Err(PeopleError::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| PeopleError::NotText)?;
    // Spreadsheets begin UTF-8 with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let header = reader
        .headers()
        .map_err(|e| PeopleError::Header(e.to_string()))?
        .clone();
    let places = places(&header, purpose)?;
    let mut lines = Lines::default();
    let mut at = Place {
        text,
        byte: 0,
        line: 1,
    };
    for record in reader.records() {
        let record = record.map_err(|_| PeopleError::NotText)?;
        if lines.people.len() + lines.bad.len() >= MAX_PEOPLE {
            return Err(PeopleError::TooMany);
        }
        let from = record.position().map_or(0, csv::Position::byte);
        lines.take(at.line_of(from), &record, header.len(), &places);
    }
    match lines {
        Lines { bad, .. } if !bad.is_empty() => Err(PeopleError::Lines(bad)),
        Lines { people, .. } if people.is_empty() => Err(PeopleError::Empty),
        Lines { people, .. } => Ok(people),
    }
}

/// At which place each column stands.
fn places(
    header: &csv::StringRecord,
    purpose: Purpose,
) -> Result<HashMap<&'static str, usize>, PeopleError> {
    let columns = purpose.columns();
    let names: Vec<&str> = columns.iter().map(|c| c.0).collect();
    let wanted = names.join(", ");
    let mut places = HashMap::new();
    for (at, name) in header.iter().enumerate() {
        let Some(known) = names.iter().find(|n| **n == name) else {
            // What a file without header begins with may be anybody's name; it is theirs.
            return Err(PeopleError::Header(format!(
                "its first line must name the columns, with commas between them: {wanted}; {name:?} is none of them"
            )));
        };
        if places.insert(*known, at).is_some() {
            return Err(PeopleError::Header(format!("it has two columns {name}")));
        }
    }
    for (name, required) in columns {
        if *required && !places.contains_key(name) {
            return Err(PeopleError::Header(format!(
                "its first line must name the columns {wanted}; {name} is missing"
            )));
        }
    }
    Ok(places)
}

/// Counts lines; the reader's own count is behind where lines end with CR LF, or are empty.
struct Place<'a> {
    text: &'a str,
    byte: usize,
    line: u64,
}

impl Place<'_> {
    /// The line of a record that begins at this byte, or after line ends there.
    fn line_of(&mut self, byte: u64) -> u64 {
        let bytes = self.text.as_bytes();
        let from = usize::try_from(byte)
            .unwrap_or(bytes.len())
            .min(bytes.len());
        let ends = bytes[from..]
            .iter()
            .take_while(|b| matches!(b, b'\r' | b'\n'));
        let start = from + ends.count();
        let passed = bytes.get(self.byte..start).unwrap_or_default();
        self.line += passed.iter().filter(|b| **b == b'\n').count() as u64;
        self.byte = start.max(self.byte);
        self.line
    }
}

#[derive(Default)]
struct Lines {
    people: Vec<Person>,
    bad: Vec<BadLine>,
    /// Where each subscriber stood first.
    seen: HashMap<SubscriberId, u64>,
}

impl Lines {
    fn take(
        &mut self,
        line: u64,
        record: &csv::StringRecord,
        columns: usize,
        places: &HashMap<&'static str, usize>,
    ) {
        let mut wrong = Vec::new();
        if record.len() != columns {
            self.bad.push(BadLine {
                line,
                why: format!("it has {} columns, the header {columns}", record.len()),
            });
            return;
        }
        let field = |name| places.get(name).and_then(|at| record.get(*at));
        let label = field("label").unwrap_or_default().to_owned();
        if let Err(why) = check_label(&label) {
            wrong.push(why);
        }
        // Where cards are issued each has an ID; where people are added, one is drawn for whom the field is empty.
        let id = field("subscriber").filter(|s| places.contains_key("code") || !s.is_empty());
        let subscriber = match id.map(str::parse::<SubscriberId>) {
            None => None,
            Some(Ok(id)) => match self.seen.insert(id.clone(), line) {
                Some(first) => {
                    wrong.push(format!("{id} is on line {first} already"));
                    None
                }
                None => Some(id),
            },
            Some(Err(e)) => {
                wrong.push(e.to_string());
                None
            }
        };
        let code = field("code").map(|c| Zeroizing::new(c.to_owned()));
        if code.as_ref().is_some_and(|c| !is_code(c)) {
            wrong.push(
                "the enrolment code is not one: 26 letters and digits, dashes aside".to_owned(),
            );
        }
        if wrong.is_empty() {
            self.people.push(Person {
                line,
                label,
                subscriber,
                code,
            });
        } else {
            self.bad.push(BadLine {
                line,
                why: wrong.join("; "),
            });
        }
    }
}

/// A file that `provision --batch` reads: label, subscriber and code of each.
pub fn to_issue<'a>(
    people: impl IntoIterator<Item = (&'a str, &'a SubscriberId, &'a str)>,
) -> std::io::Result<Zeroizing<Vec<u8>>> {
    // Reserved at once: codes leave no copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * MAX_BYTES));
    let mut writer = csv::Writer::from_writer(&mut *bytes);
    writer.write_record(["label", "subscriber", "code"])?;
    for (label, subscriber, code) in people {
        writer.write_record([label, subscriber.as_str(), code])?;
    }
    writer.flush()?;
    drop(writer);
    Ok(bytes)
}

/// A label that a card can hold.
pub fn check_label(label: &str) -> Result<(), String> {
    if label.is_empty() {
        return Err("the label is missing".to_owned());
    }
    if label.len() > LABEL_MAX {
        return Err(format!(
            "the label has {} bytes; a card holds {LABEL_MAX}",
            label.len()
        ));
    }
    if label.chars().any(char::is_control) {
        return Err("the label has control characters".to_owned());
    }
    Ok(())
}

fn is_code(text: &str) -> bool {
    EnrolmentCode::parse(text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CODE: &str = "00000-11111-22222-33333-444440";

    fn issue(text: &str) -> Result<Vec<Person>, PeopleError> {
        parse(text.as_bytes(), Purpose::Issue)
    }

    #[test]
    fn a_list_as_people_write_it() {
        let text = format!(
            "\u{feff}subscriber,label,code\r\nalice,\"Alice, desk \"\"1\"\"\",{CODE}\r\n\r\nbob, Bøb <x> ,{CODE}\r\n"
        );
        let people = issue(&text).unwrap();
        assert_eq!(people.len(), 2);
        assert_eq!(people[0].label, "Alice, desk \"1\"");
        assert_eq!((people[1].label.as_str(), people[1].line), ("Bøb <x>", 4));
        assert_eq!(people[1].subscriber.as_ref().unwrap().as_str(), "bob");
        assert_eq!(people[0].code.as_ref().unwrap().as_str(), CODE);
        assert!(!format!("{people:?}").contains(CODE));
        for text in [
            "label\nAlice\nAlice\n",
            "label,subscriber\nAlice,\nAlice,\n",
        ] {
            let people = parse(text.as_bytes(), Purpose::Import).unwrap();
            assert!(people.len() == 2 && people[0].subscriber.is_none());
        }
        assert!(issue(&format!("label,subscriber,code\nAlice,,{CODE}\n")).is_err());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (alice, bob) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        let rows = [("=\"1\", x", &alice, CODE), ("Bøb", &bob, CODE)];
        let people = parse(&to_issue(rows).unwrap(), Purpose::Issue).unwrap();
        assert_eq!(people[0].label, "=\"1\", x");
        assert_eq!(people[1].subscriber, Some(bob));
    }

    #[test]
    fn every_bad_line_is_told_with_its_number() {
        let long = "ä".repeat(17);
        let text = format!(
            "label,subscriber,code\nAlice,alice,{CODE}\n,b,{CODE}\n{long},c,{CODE}\nDora,d d,{CODE}\nEve,alice,{CODE}\nFay,f\nGus,g,SECRET-CODE\nHal,h,{CODE}\n"
        );
        let Err(PeopleError::Lines(bad)) = issue(&text) else {
            panic!("taken");
        };
        let lines: Vec<u64> = bad.iter().map(|b| b.line).collect();
        assert_eq!(lines, [3, 4, 5, 6, 7, 8]);
        let told = PeopleError::Lines(bad).to_string();
        for words in [
            "6 lines are wrong",
            "line 3: the label is missing",
            "34 bytes",
            "alice is on line 2 already",
            "it has 2 columns",
            "26 letters",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert!(!told.contains("SECRET"), "{told}");
    }

    #[test]
    fn headers_and_limits() {
        for (text, words) in [
            ("Alice,alice\n".to_owned(), "first line must name"),
            ("label;subscriber;code\n".to_owned(), "commas"),
            ("label,subscriber\n".to_owned(), "code is missing"),
            ("label,label,subscriber,code\n".to_owned(), "two columns"),
            ("label,subscriber,code\n".to_owned(), "nobody"),
            (String::new(), "is missing"),
            (" ".repeat(MAX_BYTES + 1), "longer than"),
        ] {
            let told = issue(&text).unwrap_err().to_string();
            assert!(told.contains(words), "{told}");
        }
        let many = |n: usize| format!("label\n{}", "a\n".repeat(n));
        let read = |n| parse(many(n).as_bytes(), Purpose::Import);
        assert_eq!(read(MAX_PEOPLE).unwrap().len(), MAX_PEOPLE);
        assert!(matches!(read(MAX_PEOPLE + 1), Err(PeopleError::TooMany)));
        assert!(matches!(
            parse(b"label\n\xff\xfe\n", Purpose::Import),
            Err(PeopleError::NotText)
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, Purpose::Issue);
            let _ = parse(&[b"label,subscriber,code\n", &bytes[..]].concat(), Purpose::Issue);
        }
    }
}
