//! The letter as one page of PDF, with the fonts that every reader has. They hold WinAnsi (Windows code page 1252,
//! ISO 32000-1, annex D) only: other characters are shown as `?`, and the letter says so.

use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str, TextStr};
use zeroize::Zeroizing;

use super::helvetica;
use super::sheet::{Letter, TITLE, grouped};

/// Codes 80 to 9F of WinAnsi; 0 where there is none.
const UPPER: [char; 32] = [
    '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', '\0', '‘',
    '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
];
const UNKNOWN: u8 = b'?';

/// A4 in points.
const PAGE: (f32, f32) = (595.0, 842.0);
const LEFT: f32 = 71.0;
const VALUES: f32 = 160.0;
const RIGHT: f32 = PAGE.0 - LEFT;
const PLAIN: Name<'_> = Name(b"F1");
const FIXED: Name<'_> = Name(b"F2");

fn code(c: char) -> Option<u8> {
    match c {
        ' '..='~' | '\u{a0}'..='\u{ff}' => u8::try_from(u32::from(c)).ok(),
        '\0' => None,
        c => {
            let at = UPPER.iter().position(|u| *u == c)?;
            u8::try_from(0x80 + at).ok()
        }
    }
}

/// WinAnsi, and whether every character has a place in it.
fn encoded(text: &str) -> (Vec<u8>, bool) {
    let codes: Vec<Option<u8>> = text.chars().map(code).collect();
    let whole = codes.iter().all(Option::is_some);
    let bytes = codes.into_iter().map(|c| c.unwrap_or(UNKNOWN)).collect();
    (bytes, whole)
}

struct Page {
    content: Content,
    y: f32,
    whole: bool,
}

impl Page {
    fn put(&mut self, font: Name<'_>, size: f32, x: f32, text: &str) {
        let (bytes, whole) = encoded(text);
        self.whole &= whole;
        self.content.begin_text();
        self.content.set_font(font, size);
        self.content.next_line(x, self.y);
        self.content.show(Str(&bytes));
        self.content.end_text();
    }

    /// A value that is no secret, made smaller where it would run off the page.
    fn row(&mut self, name: &str, value: &str) {
        let wide = helvetica::width(&encoded(value).0);
        self.put(PLAIN, 12.0, LEFT, name);
        self.put(PLAIN, 12.0_f32.min((RIGHT - VALUES) / wide), VALUES, value);
        self.y -= 12.0 * 1.6;
    }

    fn secret(&mut self, name: &str, value: &str) {
        self.put(PLAIN, 12.0, LEFT, name);
        self.put(FIXED, 20.0, VALUES, value);
        self.y -= 20.0 * 1.6;
    }

    fn line(&mut self, size: f32, text: &str) {
        self.put(PLAIN, size, LEFT, text);
        self.y -= size * 1.6;
    }
}

/// The bytes of the PDF file. PIN and PUK stand in them, so they are wiped when dropped.
pub fn page(letter: &Letter<'_>) -> Zeroizing<Vec<u8>> {
    let mut page = Page {
        content: Content::new(),
        y: PAGE.1 - 100.0,
        whole: true,
    };
    page.line(20.0, TITLE);
    page.y -= 12.0;
    for (name, value) in letter.rows() {
        page.row(name, value);
    }
    page.y -= 12.0;
    page.secret("PIN", &grouped(letter.pin, 3));
    page.secret("PUK", &grouped(letter.puk, 4));
    page.y -= 12.0;
    for line in letter.advice() {
        page.line(11.0, line);
    }
    if !page.whole {
        page.y -= 12.0;
        page.line(9.0, "? stands for a character that this page's fonts lack.");
    }
    let content = Zeroizing::new(page.content.finish().into_vec());

    let [catalog, pages, sheet, plain, fixed, stream, info] = [1, 2, 3, 4, 5, 6, 7].map(Ref::new);
    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(pages);
    pdf.pages(pages).kids([sheet]).count(1);
    let mut one = pdf.page(sheet);
    one.media_box(Rect::new(0.0, 0.0, PAGE.0, PAGE.1));
    one.parent(pages).contents(stream);
    one.resources()
        .fonts()
        .pair(PLAIN, plain)
        .pair(FIXED, fixed);
    one.finish();
    for (font, name) in [(plain, &b"Helvetica"[..]), (fixed, b"Courier-Bold")] {
        let mut font = pdf.type1_font(font);
        font.base_font(Name(name));
        font.encoding_predefined(Name(b"WinAnsiEncoding"));
    }
    pdf.stream(stream, &content);
    pdf.document_info(info).title(TextStr(TITLE));
    Zeroizing::new(pdf.finish())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{LABELS, letter};
    use super::*;

    fn has(pdf: &[u8], part: &[u8]) -> bool {
        pdf.windows(part.len()).any(|w| w == part)
    }

    #[test]
    fn labels_outside_the_fonts_are_said_to_be_so() {
        assert_eq!(
            encoded("Zoë €5 – “x”"),
            (b"Zo\xeb \x805 \x96 \x93x\x94".to_vec(), true)
        );
        assert_eq!(encoded("a\u{1F600}שb\0\u{81}"), (b"a??b??".to_vec(), false));
        for label in LABELS {
            let pdf = page(&letter(label));
            assert!(
                pdf.starts_with(b"%PDF-1.") && has(&pdf, b"%%EOF"),
                "{label}"
            );
            assert!(
                has(&pdf, b"(123 456)") && has(&pdf, b"(8765 4321)"),
                "{label}"
            );
            assert_eq!(has(&pdf, b"? stands for"), !encoded(label).1, "{label}");
        }
        // Brackets and backslashes end no text.
        let pdf = page(&letter("a) Tj (b\\"));
        assert!(
            !has(&pdf, b"(a) Tj (b"),
            "{}",
            String::from_utf8_lossy(&pdf)
        );
    }

    /// What is shown: font size, place, and the text in WinAnsi, which has no bracket or backslash here.
    fn shown(pdf: &[u8]) -> Vec<(f32, f32, f32, Vec<u8>)> {
        let number = |word: &[u8]| std::str::from_utf8(word).unwrap().parse().unwrap();
        let mut found = Vec::new();
        let (mut size, mut place) = (0.0, (0.0, 0.0));
        for line in pdf.split(|b| *b == b'\n') {
            let words: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
            match words.as_slice() {
                [.., points, b"Tf"] => size = number(points),
                [x, y, b"Td"] => place = (number(x), number(y)),
                [.., b"Tj"] => {
                    // (text), or <hex>.
                    let text = &line[1..line.len() - b") Tj".len()];
                    let text = match line[0] {
                        b'<' => hex::decode(text).unwrap(),
                        _ => text.to_vec(),
                    };
                    found.push((size, place.0, place.1, text));
                }
                _ => {}
            }
        }
        found
    }

    /// The longest that a card holds, of the widest characters, and as people have them.
    #[test]
    fn nothing_runs_off_the_one_page() {
        let servers = [
            "simsync.department.university.example.org:8443",
            &"W".repeat(64),
        ];
        for (subscriber, label) in [("s", "x"), (&*"W".repeat(32), &*"\u{2014}".repeat(10))] {
            for (server, change) in servers.into_iter().zip([true, false]) {
                let pdf = page(&Letter {
                    subscriber,
                    server,
                    card: &"d".repeat(32),
                    change,
                    ..letter(label)
                });
                assert!(has(&pdf, b"/Count 1"));
                let shown = shown(&pdf);
                assert!(shown.len() > 16, "{}", shown.len());
                for (size, x, y, text) in shown {
                    // Courier's characters are all 0.6 wide.
                    let wide = match size {
                        20.0 if x == VALUES => 0.6 * text.len() as f32,
                        _ => helvetica::width(&text),
                    };
                    let text = String::from_utf8_lossy(&text);
                    assert!(
                        x + wide * size <= RIGHT + 0.1 && y > 71.0,
                        "{text} at {x}, {y}"
                    );
                    assert!(size > 5.0, "{text} cannot be read");
                }
            }
        }
    }
}
