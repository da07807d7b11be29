//! What stands on the sheet, whatever it is written as.

use zeroize::Zeroizing;

pub(super) const TITLE: &str = "Your simsync card";
/// No letter is longer, in bytes. What holds secrets is reserved at once, so that it leaves no copies when it grows.
pub(super) const CAPACITY: usize = 16 << 10;

/// What the letter says.
pub struct Letter<'a> {
    /// ID of the subscriber whose card it is.
    pub subscriber: &'a str,
    /// What the card is called.
    pub label: &'a str,
    /// The card's ID.
    pub card: &'a str,
    /// Address of the server, as the card carries it.
    pub server: &'a str,
    /// The first PIN, as digits without spaces.
    pub pin: &'a str,
    /// The first PUK, as digits without spaces.
    pub puk: &'a str,
    /// The PIN must be changed at first use.
    pub change: bool,
}

/// Digits in groups, from the left.
pub(super) fn grouped(digits: &str, size: usize) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(2 * digits.len()));
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % size == 0 {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

impl Letter<'_> {
    /// What is no secret.
    pub(super) fn rows(&self) -> [(&'static str, &str); 4] {
        [
            ("Subscriber", self.subscriber),
            ("Label", self.label),
            ("Card", self.card),
            ("Server", self.server),
        ]
    }

    /// What to do, one line each.
    pub(super) fn advice(&self) -> Vec<&'static str> {
        let mut lines = if self.change {
            vec![
                "The card asks you to choose a PIN of your own at its first use.",
                "You get a new PUK then: keep that one, this one ends.",
            ]
        } else {
            vec!["Change the PIN when you like: simsync pin change"]
        };
        lines.extend([
            "PIN and PUK are digits only; spaces between them are not typed.",
            "Put the card into your terminal and run: simsync pair",
            "Three wrong PINs block the card; the PUK unblocks it: simsync-card pin unblock",
            "Keep this letter apart from the card.",
        ]);
        lines
    }

    pub(super) fn text(&self) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(CAPACITY));
        let secrets = [("PIN", self.pin), ("PUK", self.puk)];
        for part in [TITLE, "\n\n"] {
            out.push_str(part);
        }
        for (name, value) in self.rows().into_iter().chain(secrets) {
            if name == "PIN" {
                out.push('\n');
            }
            out.push_str(&format!("{name:<12}"));
            out.push_str(value);
            out.push('\n');
        }
        out.push('\n');
        for line in self.advice() {
            out.push_str(line);
            out.push('\n');
        }
        out
    }
}
