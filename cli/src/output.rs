//! What is printed: text for people, JSON for programs.

use std::io::{IsTerminal, Write};

use serde::Serialize;
use serde_json::{Value, json};
use simsync_shell::{visible, visible_json};

use crate::failure::Failure;

/// Version of the JSON's shape. It changes when a field is removed or means something else.
pub const SCHEMA_VERSION: u32 = 1;

/// Where output goes and how.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    command: &'static str,
    json: bool,
    color: bool,
}

/// Ends every look.
const PLAIN: &str = "\x1b[0m";

/// How a word looks on a terminal.
#[derive(Debug, Clone, Copy)]
pub enum Style {
    /// Bold: a heading.
    Bold,
    /// All well.
    Good,
    /// Look here.
    Warn,
    /// Something is wrong.
    Bad,
    /// Less important.
    Dim,
}

impl Style {
    const ALL: [Self; 5] = [Self::Bold, Self::Good, Self::Warn, Self::Bad, Self::Dim];

    fn begins(self) -> &'static str {
        match self {
            Self::Bold => "\x1b[1m",
            Self::Good => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Bad => "\x1b[31m",
            Self::Dim => "\x1b[2m",
        }
    }
}

impl Output {
    /// Output of a command.
    pub fn new(command: &'static str, json: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self {
            command,
            json,
            color: !plain && std::io::stdout().is_terminal(),
        }
    }

    /// Whether programs read it.
    pub fn json(&self) -> bool {
        self.json
    }

    /// A word with a look, where looks are wanted.
    pub fn paint(&self, style: Style, text: &str) -> String {
        let text = visible(text);
        if !self.color {
            return text.into_owned();
        }
        format!("{}{text}{PLAIN}", style.begins())
    }

    /// A line for people.
    pub fn line(&self, text: &str) {
        if !self.json {
            print(&self.safe(text));
        }
    }

    /// A JSON object of a command that goes on.
    pub fn object(&self, value: &Value) {
        print_json(value);
    }

    /// The result: as JSON under its own name, or as text that is made only when it is wanted.
    pub fn result(&self, name: &str, value: &impl Serialize, text: impl FnOnce() -> String) {
        if self.json {
            print_json(&self.envelope(name, value));
        } else {
            print(&self.safe(text().trim_end_matches('\n')));
        }
    }

    /// The last look at a text before somebody sees it: nothing but line breaks and our own looks does anything. Names are made
    /// visible where they are put in: a line break in one of them would get through here.
    fn safe(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((at, sign)) = self.next_sign(rest) {
            out.push_str(&visible(&rest[..at]));
            out.push_str(sign);
            rest = &rest[at + sign.len()..];
        }
        out.push_str(&visible(rest));
        out
    }

    /// The first line break or look.
    fn next_sign(&self, text: &str) -> Option<(usize, &'static str)> {
        let styles = Style::ALL.iter().map(|l| l.begins()).chain([PLAIN]);
        let own = styles.filter(|_| self.color).chain(["\n"]);
        own.filter_map(|sign| text.find(sign).map(|at| (at, sign)))
            .min()
    }

    fn envelope(&self, name: &str, value: &impl Serialize) -> Value {
        json!({
            "schema_version": SCHEMA_VERSION,
            "command": self.command,
            "ok": true,
            // Our own types hold nothing that JSON cannot say.
            name: serde_json::to_value(value).unwrap_or(Value::Null),
        })
    }

    /// Why it failed.
    pub fn failure(&self, failure: &Failure) {
        if self.json {
            let value = json!({
                "schema_version": SCHEMA_VERSION,
                "command": self.command,
                "ok": false,
                "error": {
                    "code": failure.code,
                    "sentence": failure.sentence,
                    "exit_code": failure.exit() as u8,
                },
            });
            print_json(&value);
        } else {
            let sentence = visible(&failure.sentence);
            // Standard error may be closed; there is nobody left to tell then.
            let _ = writeln!(std::io::stderr(), "simsync: {sentence}");
        }
    }
}

fn print_json(value: &Value) {
    print(&visible_json(&value.to_string()));
}

fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    // A reader that went away (`simsync log | head`) is no failure.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Columns that line up; the last one is as long as it is. Whatever the cells hold, each row is one line.
pub fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<_>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| visible(cell)).collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| {
        rows.iter()
            .filter_map(|r| r.get(i))
            .map(|c| c.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let mut line = String::from(" ");
        for (i, cell) in row.iter().enumerate() {
            line.push(' ');
            line.push_str(cell);
            let pad = widths[i].saturating_sub(cell.chars().count()) + 1;
            line.extend(std::iter::repeat_n(' ', pad));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A time in milliseconds since 1970 as RFC 3339, in UTC.
pub fn time(ms: i64) -> String {
    let days = ms.div_euclid(86_400_000);
    let rest = ms.rem_euclid(86_400_000) / 1000;
    // Howard Hinnant's days-to-civil.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

/// A number of bytes for people.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{n} bytes")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// A number with its noun: `one` goes with 1, `many` with any other number.
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_read_well() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(951_827_696_123), "2000-02-29T12:34:56Z");
        assert_eq!(bytes(12), "12 bytes");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(count(1, "file", "files"), "1 file");
    }

    #[test]
    fn f_g1_names_in_tables_and_texts_drive_nothing() {
        let rows = [vec!["a\nb\x1b[31m".to_owned(), "\u{202e}c".to_owned()]];
        assert_eq!(table(&rows), "  a\\nb\\u{1b}[31m  \\u{202e}c\n");
        let mut output = Output::new("test", false);
        for color in [false, true] {
            output.color = color;
            let text = format!(
                "{} x\x1b]0;t\x07\u{9b}\nnext",
                output.paint(Style::Bad, "a\x1b[0m")
            );
            let safe = output.safe(&text);
            let (on, off) = if color {
                ("\x1b[31m", "\x1b[0m")
            } else {
                ("", "")
            };
            assert_eq!(
                safe,
                format!("{on}a\\u{{1b}}[0m{off} x\\u{{1b}}]0;t\\u{{7}}\\u{{9b}}\nnext")
            );
        }
    }

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["a".to_owned(), "b".to_owned()],
            vec!["long".to_owned(), "c".to_owned()],
        ];
        assert_eq!(table(&rows), "  a     b\n  long  c\n");
    }
}
