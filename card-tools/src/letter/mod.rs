//! The letter with PIN and PUK: one page of text, HTML or PDF, written durably before the card is handed over.

mod helvetica;
mod html;
mod pdf;
mod sheet;

use std::io::Read;
use std::path::{Path, PathBuf};

use simsync_card::ids::CardId;
use zeroize::Zeroizing;

use crate::error::ToolError;
use crate::files;
use sheet::{CAPACITY, TITLE};

pub use sheet::Letter;

/// How a letter is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Plain text.
    Text,
    /// A page of HTML, to be printed by a browser.
    Html,
    /// A page of PDF.
    Pdf,
}

impl Format {
    /// How its files' names end.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::Html => "html",
            Self::Pdf => "pdf",
        }
    }
}

impl Letter<'_> {
    fn bytes(&self, format: Format) -> Zeroizing<Vec<u8>> {
        match format {
            Format::Text => Zeroizing::new(self.text().as_bytes().to_vec()),
            Format::Html => {
                let mut page = Zeroizing::new(String::with_capacity(CAPACITY));
                html::page(self, &mut page);
                Zeroizing::new(page.as_bytes().to_vec())
            }
            Format::Pdf => pdf::page(self),
        }
    }

    /// Writes it in each format, readable by its owner alone, and answers only when it is on the disk. Letters that this
    /// tool wrote there before are replaced, each at once.
    pub fn write(&self, files: &[(Format, PathBuf)]) -> Result<(), ToolError> {
        for (format, path) in files {
            check_free(path)?;
            files::replace(path, &self.bytes(*format)).map_err(|e| {
                ToolError::Other(format!(
                    "the letter {} cannot be written: {e}",
                    path.display()
                ))
            })?;
        }
        Ok(())
    }
}

/// Where the letter goes: the path itself for one format, else one file for each with its own ending.
pub fn places(path: &Path, formats: &[Format]) -> Vec<(Format, PathBuf)> {
    match formats {
        [one] => vec![(*one, path.to_owned())],
        many => many
            .iter()
            .map(|f| (*f, path.with_extension(f.extension())))
            .collect(),
    }
}

fn read(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(CAPACITY));
    let file = std::fs::File::open(path)?;
    file.take(CAPACITY as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The card that all of these letters are for, if it is one of those that `wanted` knows.
pub fn card_of(files: &[(Format, PathBuf)], wanted: impl Fn(&CardId) -> bool) -> Option<CardId> {
    let mut found = None;
    for (_, path) in files {
        let bytes = read(path).ok().filter(|bytes| is_letter(bytes))?;
        let words = bytes.split(|b| !b.is_ascii_alphanumeric());
        let mut ids = words.filter_map(|w| std::str::from_utf8(w).ok()?.parse().ok());
        let card = ids.find(|card| wanted(card))?;
        if found.is_some_and(|other| other != card) {
            return None;
        }
        found = Some(card);
    }
    found
}

/// A file that is no letter of ours is not overwritten.
pub fn check_free(path: &Path) -> Result<(), ToolError> {
    match read(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Ok(bytes) if is_letter(&bytes) => Ok(()),
        _ => Err(ToolError::Usage(format!(
            "{} exists and is no letter of this tool; choose another file",
            path.display()
        ))),
    }
}

fn is_letter(bytes: &[u8]) -> bool {
    let begins = bytes.starts_with(TITLE.as_bytes())
        || bytes.starts_with(b"<!DOCTYPE html>")
        || bytes.starts_with(b"%PDF-");
    begins && bytes.windows(TITLE.len()).any(|w| w == TITLE.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// Labels as people, and attackers, write them; each is at most 32 bytes.
    pub const LABELS: [&str; 7] = [
        "Zo\u{eb}'s \"desk\"",
        "<script>alert(1)</script>",
        "a\" onload='x' <b>&amp;",
        "\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{202e}abc",
        "\u{1F600}\u{1F600}\u{1F600}\u{1F600}\u{1F600}\u{1F600}\u{1F600}\u{1F600}",
        "\\) Tj ET (",
        "12345678901234567890123456789012",
    ];

    pub fn letter(label: &str) -> Letter<'_> {
        Letter {
            subscriber: "s",
            label,
            card: "c",
            server: "h",
            pin: "123456",
            puk: "87654321",
            change: true,
        }
    }

    #[test]
    fn a_letter_tells_its_card_in_every_format() {
        let dir = tempfile::tempdir().unwrap();
        let all = [Format::Text, Format::Html, Format::Pdf];
        let files = places(&dir.path().join("letter.txt"), &all);
        let [card, other] = [CardId([0xA7; 16]), CardId([0x13; 16])];
        let of = |files: &[_], card: CardId| card_of(files, |c| *c == card);
        assert_eq!(of(&files, card), None);
        for file in &files {
            let name = card.to_string();
            let letter = Letter {
                card: &name,
                ..letter("13131313131313131313131313131313")
            };
            letter.write(std::slice::from_ref(file)).unwrap();
            assert_eq!(of(std::slice::from_ref(file), card), Some(card));
        }
        assert_eq!(of(&files, card), Some(card));
        assert_eq!(of(&files[..1], CardId([0x55; 16])), None);
        // One that is lost, or another card's: nobody knows what the letters say.
        let name = other.to_string();
        let strange = Letter {
            card: &name,
            ..letter("x")
        };
        strange.write(&files[1..2]).unwrap();
        assert_eq!(of(&files, card), None);
    }

    #[test]
    fn a_letter_replaces_a_letter_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let all = [Format::Text, Format::Html, Format::Pdf];
        let files = places(&dir.path().join("letter.txt"), &all);
        for label in LABELS {
            assert!(label.len() <= 32, "{label}");
            letter(label).write(&files).unwrap();
        }
        letter("x").write(&files).unwrap();
        let mut names: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["letter.html", "letter.pdf", "letter.txt"]);
        let text = std::fs::read_to_string(&files[0].1).unwrap();
        assert!(text.contains("PIN         123456\n") && text.contains("PUK         87654321\n"));
        for (format, path) in &files {
            let mode = std::fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            for other in ["something else", "%PDF-1.7 of another", ""] {
                std::fs::write(path, other).unwrap();
                assert!(letter("x").write(&[(*format, path.clone())]).is_err());
                assert_eq!(std::fs::read_to_string(path).unwrap(), other);
            }
        }
    }
}
