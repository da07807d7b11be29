//! Text from elsewhere, as a person may see it: file names, labels, readers' names, a server's sentences.
//!
//! Whoever chooses such a text could move the cursor, forge a line of ours, or turn the order of letters around. Characters
//! that are not seen as themselves are written as escapes, `\n`, `\u{1b}` or `\u{202e}`; a byte that is no UTF-8 as `\xff`. A
//! backslash stays as it is, so a text that was made visible before does not change.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

/// Whether a character is shown as itself.
fn is_plain(c: char) -> bool {
    match c {
        ' '..='~' => true,
        // Joiners: scripts of Iran and India, and emoji, are spelt with them.
        '\u{200c}' | '\u{200d}' => true,
        // Line and paragraph separators are white space too.
        '\u{2028}' | '\u{2029}' => false,
        c if c.is_control() => false,
        c if c.is_whitespace() => true,
        // What the standard library knows to be printable. The letter before it keeps a combining mark from being escaped.
        c => {
            let mut buffer = [b'a', 0, 0, 0, 0];
            let len = c.encode_utf8(&mut buffer[1..]).len();
            std::str::from_utf8(&buffer[..=len]).is_ok_and(|s| s.escape_debug().count() == 2)
        }
    }
}

fn push(out: &mut String, c: char) {
    if is_plain(c) {
        out.push(c);
    } else {
        out.extend(c.escape_debug());
    }
}

/// One line: no character of it does anything but being seen.
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    text.chars().for_each(|c| push(&mut out, c));
    Cow::Owned(out)
}

/// A text of ours of several lines: the same, but for line breaks.
pub fn visible_text(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| c == '\n' || is_plain(c)) {
        return Cow::Borrowed(text);
    }
    let lines: Vec<Cow<'_, str>> = text.split('\n').map(visible).collect();
    Cow::Owned(lines.join("\n"))
}

/// JSON text whose strings hold the very same characters, with escapes for those that are not seen as themselves.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    if json.chars().all(is_plain) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    let mut units = [0; 2];
    for c in json.chars() {
        if is_plain(c) || c == '\n' {
            // A line break can only stand between values: in strings it is escaped already.
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    Cow::Owned(out)
}

/// Bytes that should be UTF-8 and may not be.
pub fn visible_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut out, c));
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// A path of this machine.
pub fn visible_path(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    visible_bytes(path.as_os_str().as_bytes())
}

/// At most so many bytes from the front, and no letter in pieces. Bytes that are no UTF-8 are cut anywhere.
pub fn cut(bytes: &[u8], at_most: usize) -> &[u8] {
    if bytes.len() <= at_most {
        return bytes;
    }
    // A character has four bytes at most, the first of which does not look like the others.
    let goes_on = |i: &usize| bytes[*i] & 0xC0 == 0x80;
    let least = at_most.saturating_sub(3);
    let end = (least..=at_most).rev().find(|i| !goes_on(i));
    &bytes[..end.unwrap_or(at_most)]
}

/// A log's lines, each as one that can be seen. Every write is taken for one event with a line break at its end, as
/// `tracing-subscriber` writes them.
pub struct VisibleLines<W>(pub W);

impl<W: Write> Write for VisibleLines<W> {
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        let (line, end): (_, &[u8]) = match event.strip_suffix(b"\n") {
            Some(line) => (line, b"\n"),
            None => (event, b""),
        };
        let mut out = visible_bytes(line).into_bytes();
        out.extend_from_slice(end);
        self.0.write_all(&out)?;
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn f_g1_what_drives_a_terminal_emulator_is_seen_instead() {
        for (text, seen) in [
            ("plain.txt", "plain.txt"),
            ("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("\u{7f}", "\\u{7f}"),
            // Overrides, embeddings, isolates and marks of the order of letters.
            ("gpj\u{202e}exe", "gpj\\u{202e}exe"),
            (
                "\u{2066}x\u{2069}\u{200e}\u{200f}\u{61c}",
                "\\u{2066}x\\u{2069}\\u{200e}\\u{200f}\\u{61c}",
            ),
            ("a\u{2028}b\u{feff}", "a\\u{2028}b\\u{feff}"),
            // Tags: letters that nobody sees.
            ("\u{e0041}", "\\u{e0041}"),
        ] {
            assert_eq!(visible(text), seen);
        }
    }

    #[test]
    fn f_g1_names_of_all_scripts_stay_as_they_are() {
        for text in [
            "Übung",
            "e\u{301}te\u{301}",
            "résumé 日本語\u{3000}한국어 עברית العربية",
            "می\u{200c}خواهم",
            "👨\u{200d}👩\u{200d}👧 ❤\u{fe0f}",
            "Screenshot 3.04.05\u{202f}PM",
            "it's \"quoted\" \\ back",
        ] {
            assert_eq!(visible(text), text);
        }
    }

    #[test]
    fn f_g1_bytes_that_are_no_text_are_seen_too() {
        use std::os::unix::ffi::OsStrExt;
        assert_eq!(visible_bytes(b"a\xffb\n"), "a\\xffb\\n");
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/d/\xc3(\x1b"));
        assert_eq!(visible_path(path), "/d/\\xc3(\\u{1b}");
    }

    #[test]
    fn f_g1_json_holds_the_same_data_and_drives_nothing() {
        assert_eq!(
            visible_json("{\"a\":\"\u{9b}2J\u{202e}\u{e0041}ü\"}"),
            "{\"a\":\"\\u009b2J\\u202e\\udb40\\udc41ü\"}"
        );
        assert_eq!(visible_json("{\n}"), "{\n}");
    }

    #[test]
    fn f_g3_names_are_cut_between_letters() {
        assert_eq!(cut("ärger".as_bytes(), 1), b"");
        assert_eq!(cut("ärger".as_bytes(), 2), "ä".as_bytes());
        assert_eq!(cut("a日本".as_bytes(), 6), "a日".as_bytes());
        assert_eq!(cut("a👨".as_bytes(), 4), b"a");
        assert_eq!(cut(b"abc", 3), b"abc");
        assert_eq!(cut(&[0x80; 9], 5), &[0x80; 5]);
        assert_eq!(cut(b"abc", 0), b"");
    }

    #[test]
    fn f_g1_a_log_line_stays_one_line() {
        let mut out = Vec::new();
        VisibleLines(&mut out)
            .write_all(b"WARN path=/d/a\nERROR forged\x1b[2J\n")
            .unwrap();
        assert_eq!(out, b"WARN path=/d/a\\nERROR forged\\u{1b}[2J\n");
    }

    proptest! {
        #[test]
        fn f_g1_what_is_visible_has_no_control_and_does_not_change_again(text in any::<String>()) {
            let once = visible(&text).into_owned();
            prop_assert!(!once.chars().any(char::is_control));
            prop_assert_eq!(visible(&once).into_owned(), once.clone());
            let lines = visible_text(&text).into_owned();
            prop_assert_eq!(lines.matches('\n').count(), text.matches('\n').count());
        }
    }
}
