//! Where secrets come from and go to: file descriptors of a script, or the person at the terminal.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use zeroize::Zeroizing;

use crate::args::SecretArgs;
use crate::questions::Questions;
use simsync_shell::{Interrupt, Secret, Silence, Tty, visible};

/// Longest secret that is read from a descriptor, in bytes.
const SECRET_MAX: usize = 256;
/// Words of the recovery code that are asked back.
const WORDS_ASKED: usize = 2;

/// A PIN that the daemon asks for.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// `card-pin`, `new-card-pin`, `terminal-pin` or `new-terminal-pin`.
    pub kind: String,
    /// Tries left, when known.
    pub tries_left: Option<u32>,
    /// The last one was wrong.
    pub retry: bool,
    /// The card's reader.
    pub reader: Option<String>,
    /// A sentence to say before.
    pub hint: Option<String>,
}

/// A PIN that is to be typed on the reader.
#[derive(Debug, Clone, Default)]
pub struct PadEntry {
    /// Name of the reader with the PIN pad.
    pub reader: String,
    /// What the PIN is for: `open`, `change`, `sign` and others. The sentence leaves out a word that it does not know.
    pub purpose: String,
    /// Tries left, when known.
    pub tries_left: Option<u32>,
    /// The last one was wrong.
    pub retry: bool,
}

impl PadEntry {
    fn sentence(&self) -> String {
        let tries = tries(self.tries_left);
        let reader = visible(&self.reader);
        if self.purpose == "change" {
            return format!(
                "Type on the reader {reader}: the PIN{tries}, the new PIN, and the new PIN again."
            );
        }
        let why = match self.purpose.as_str() {
            "open" => " to open the session",
            "enter" => " to enter the vault",
            "read" => " to see whose card it is",
            "add-terminal" => " to write this terminal onto the card",
            "end-record" => " to go on from what the server shows",
            "set-server" => " to write the server's new address onto the card",
            "remove-terminal" => " to take a terminal off the card",
            "sign" => " to sign the list of your terminals and collections",
            _ => "",
        };
        format!("Type the PIN on the reader {reader}{why}{tries}.")
    }
}

fn tries(left: Option<u32>) -> String {
    match left {
        Some(1) => ", last try".to_owned(),
        Some(n @ 0..=9) => format!(", {n} tries left"),
        _ => String::new(),
    }
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Somebody else may be asked.
    NotMine,
    /// The person said no.
    Declined,
}

/// The sources of one command. A PIN is asked for once, however often the daemon needs it.
pub struct Secrets {
    args: SecretArgs,
    /// The new PIN is the terminal's, not the card's.
    new_is_terminals: bool,
    /// The command has no need of a session.
    opens_none: bool,
    tty: Option<Tty>,
    questions: Questions,
    given: HashMap<String, Secret>,
    /// The kind of a secret from a descriptor that was refused.
    rejected: Option<String>,
}

impl Secrets {
    /// The sources that the command line names, and the terminal if somebody sits there.
    pub fn new(args: SecretArgs, new_is_terminals: bool) -> Self {
        let questions = Questions::default();
        Self {
            args,
            new_is_terminals,
            opens_none: false,
            tty: Tty::open(questions.begin(), Interrupt::IsHandled),
            questions,
            given: HashMap::new(),
            rejected: None,
        }
    }

    /// A session that the daemon would open beside the command is not what the person is here for: with a PIN pad they would
    /// have to type once more for it, and the reader would wait on after the command.
    pub fn open_no_session(&mut self) {
        self.opens_none = true;
    }

    /// Shows nothing of what is typed, from before something is asked until the command is done.
    pub fn silence(&self) -> Option<Silence> {
        self.tty.as_ref()?.silence()
    }

    /// Whether anything can be given at all.
    pub fn any(&self) -> bool {
        let a = &self.args;
        self.tty.is_some()
            || [
                a.pin_fd,
                a.new_pin_fd,
                a.terminal_pin_fd,
                a.puk_fd,
                a.recovery_fd,
            ]
            .iter()
            .any(Option::is_some)
    }

    /// The questions that are put to it.
    pub fn questions(&self) -> Questions {
        self.questions.clone()
    }

    /// What is asked now, which this calls off. False: it was called off already.
    fn begin(&mut self, cancelled: Arc<AtomicBool>) -> bool {
        let is_wanted = !cancelled.load(Ordering::Relaxed);
        if let Some(tty) = &mut self.tty {
            tty.called_off_by(cancelled);
        }
        is_wanted
    }

    /// The kind of the secret from a descriptor that was wrong, if one was.
    pub fn rejected(&self) -> Option<&str> {
        self.rejected.as_deref()
    }

    fn descriptor(&self, kind: &str) -> Option<u32> {
        match kind {
            "card-pin" => self.args.pin_fd,
            "new-card-pin" => self.args.new_pin_fd,
            "terminal-pin" => self.args.terminal_pin_fd,
            "new-terminal-pin" if self.new_is_terminals => self.args.new_pin_fd,
            "new-terminal-pin" => self.args.terminal_pin_fd,
            _ => None,
        }
    }

    /// Answers a question, until it is called off. Blocks while a person types.
    pub fn answer(
        &mut self,
        question: &Question,
        cancelled: Arc<AtomicBool>,
    ) -> Result<Secret, Refusal> {
        if !self.begin(cancelled) {
            return Err(Refusal::Declined);
        }
        let kind = question.kind.as_str();
        if question.retry {
            self.given.remove(kind);
        } else if let Some(known) = self.given.get(kind) {
            return Ok(known.clone());
        }
        let secret = match self.descriptor(kind) {
            // What a script gave does not get better by giving it again, and a try is precious.
            Some(_) if question.retry => {
                self.rejected = Some(kind.to_owned());
                return Err(Refusal::Declined);
            }
            Some(n) => read_descriptor(n).ok_or(Refusal::Declined)?,
            None => self.ask(question)?,
        };
        // A changed PIN is the PIN from then on.
        if let Some(old) = kind.strip_prefix("new-") {
            self.given.insert(old.to_owned(), secret.clone());
        }
        self.given.insert(kind.to_owned(), secret.clone());
        Ok(secret)
    }

    fn ask(&self, question: &Question) -> Result<Secret, Refusal> {
        let tty = self.tty.as_ref().ok_or(Refusal::NotMine)?;
        let what = match question.kind.as_str() {
            "card-pin" => "PIN of the card",
            "new-card-pin" => "New PIN for the card (4 to 8 digits or letters)",
            "terminal-pin" => "PIN of this terminal",
            "new-terminal-pin" => "New PIN for this terminal (8 characters or more)",
            _ => return Err(Refusal::NotMine),
        };
        if question.retry {
            tty.say("That was not accepted.\n");
        }
        if let Some(hint) = &question.hint {
            tty.say(&format!("{}\n", visible(hint)));
        }
        let reader = question
            .reader
            .as_ref()
            .map_or_else(String::new, |r| format!(" in {}", visible(r)));
        let tries = tries(question.tries_left);
        loop {
            let typed = tty.hidden(&format!("{what}{reader}{tries}: "));
            if typed.is_none() && self.questions.were_withdrawn() {
                tty.say("It is not asked for here any more.\n");
            }
            let secret = typed.filter(|s| !s.is_empty()).ok_or(Refusal::Declined)?;
            if !question.kind.starts_with("new-") {
                return Ok(secret);
            }
            let again = tty.hidden("Once more: ").ok_or(Refusal::Declined)?;
            if *again == *secret {
                return Ok(secret);
            }
            tty.say("The two are not the same.\n");
        }
    }

    /// Tells the person to type the PIN on the reader. Not where a script gives the PIN.
    pub fn show_pin_pad(&mut self, entry: &PadEntry) -> Result<(), Refusal> {
        let changes = entry.purpose == "change" && self.args.new_pin_fd.is_some();
        if self.args.pin_fd.is_some() || changes {
            return Err(Refusal::NotMine);
        }
        if self.opens_none && entry.purpose == "open" {
            return Err(Refusal::Declined);
        }
        let mut text = String::new();
        if entry.retry {
            text.push_str("That was not accepted. ");
        }
        text.push_str(&entry.sentence());
        text.push('\n');
        match &self.tty {
            Some(tty) => tty.say(&text),
            // Nothing is typed here, so nobody has to sit here.
            None => eprint!("{}", simsync_shell::visible_text(&text)),
        }
        Ok(())
    }

    /// Shows a secret that was made; true once it was taken note of. Blocks while a person reads.
    pub fn show(
        &mut self,
        what: &str,
        secret: &Secret,
        cancelled: Arc<AtomicBool>,
    ) -> Result<bool, Refusal> {
        if !self.begin(cancelled) {
            return Err(Refusal::Declined);
        }
        let descriptor = match what {
            "puk" => self.args.puk_fd,
            "recovery-code" => self.args.recovery_fd,
            _ => None,
        };
        if let Some(n) = descriptor {
            return Ok(write_descriptor(n, secret));
        }
        let tty = self.tty.as_ref().ok_or(Refusal::NotMine)?;
        match what {
            "recovery-code" => Ok(show_recovery(tty, secret)),
            "puk" => {
                tty.say(&format!(
                    "\nThe card's new PUK, which unblocks its PIN. It is shown once; keep it apart from the card:\n\n    {}\n\n",
                    secret.as_str()
                ));
                Ok(tty.confirm("Did you write it down?"))
            }
            _ => Err(Refusal::NotMine),
        }
    }

    /// Asks the person at the terminal a yes or no; none if nobody sits there.
    pub fn confirm(&mut self, question: &str) -> Option<bool> {
        // What was called off before is no answer to this.
        let cancelled = self.questions.begin();
        self.begin(cancelled);
        self.tty.as_ref().map(|t| t.confirm(question))
    }
}

/// Says no more than is so: nothing can be opened with a code yet.
const RECOVERY: &str = "
The recovery code, for the day when you have lost every card.
This version of simsync cannot use it yet. Until a later one can, only another card opens your data: make a spare one
with `simsync card add`. The code is shown once; write it down and keep it apart from the cards:

";

fn show_recovery(tty: &Tty, secret: &Secret) -> bool {
    let words: Vec<&str> = secret.split_whitespace().collect();
    tty.say(RECOVERY);
    for (i, word) in words.iter().enumerate() {
        tty.say(&format!("  {:>2}. {word}\n", i + 1));
    }
    if words.len() < WORDS_ASKED {
        return tty.confirm("Did you write it down?");
    }
    for index in ask_back(words.len()) {
        loop {
            let Some(word) = tty.shown(&format!("\nWord {}: ", index + 1)) else {
                return false;
            };
            if word.trim().eq_ignore_ascii_case(words[index]) {
                break;
            }
            tty.say("That is another word; look again (ctrl-D gives up).");
        }
    }
    true
}

/// Which words are asked back: two different ones, not known before.
fn ask_back(count: usize) -> [usize; WORDS_ASKED] {
    use std::hash::{BuildHasher, Hasher};
    // The hasher's keys are random; that is enough for a choice that only keeps a person honest.
    let draw = |bound: usize| {
        let random = std::hash::RandomState::new().build_hasher().finish();
        usize::try_from(random % (bound.max(1) as u64)).unwrap_or(0)
    };
    let first = draw(count);
    let step = 1 + draw(count - 1);
    [first, (first + step) % count]
}

/// Reads up to the end of what a script gave; one line break at the end is not part of it.
fn read_descriptor(n: u32) -> Option<Secret> {
    let mut file = std::fs::File::open(format!("/dev/fd/{n}")).ok()?;
    let mut buffer = Zeroizing::new([0u8; SECRET_MAX + 1]);
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]).ok()? {
            0 => break,
            read => filled += read,
        }
    }
    if filled == 0 || filled > SECRET_MAX {
        return None;
    }
    let text = std::str::from_utf8(&buffer[..filled]).ok()?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    Some(Zeroizing::new(text.to_owned()))
}

fn write_descriptor(n: u32, secret: &Secret) -> bool {
    let file = std::fs::File::options()
        .append(true)
        .open(format!("/dev/fd/{n}"));
    file.and_then(|mut f| {
        f.write_all(secret.as_bytes())?;
        f.write_all(b"\n")
    })
    .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_different_words_are_asked_back() {
        for count in 2..30 {
            let [a, b] = ask_back(count);
            assert!(a < count && b < count && a != b);
        }
    }

    #[test]
    fn a_pin_pad_is_told_of_unless_a_script_has_the_pin() {
        let entry = |purpose: &str| PadEntry {
            reader: "R".to_owned(),
            purpose: purpose.to_owned(),
            tries_left: Some(1),
            retry: true,
        };
        let mut secrets = Secrets::new(SecretArgs::default(), false);
        assert_eq!(secrets.show_pin_pad(&entry("open")), Ok(()));
        secrets.open_no_session();
        assert_eq!(secrets.show_pin_pad(&entry("open")), Err(Refusal::Declined));
        assert_eq!(secrets.show_pin_pad(&entry("sign")), Ok(()));
        for pin_fd in [Some(3), None] {
            let args = SecretArgs {
                pin_fd,
                new_pin_fd: Some(4),
                ..SecretArgs::default()
            };
            let mut secrets = Secrets::new(args, false);
            let change = secrets.show_pin_pad(&entry("change"));
            assert_eq!(change, Err(Refusal::NotMine));
        }
        assert_eq!(
            entry("sign").sentence(),
            "Type the PIN on the reader R to sign the list of your terminals and collections, last try."
        );
        assert_eq!(
            entry("something new").sentence(),
            "Type the PIN on the reader R, last try."
        );
    }

    #[test]
    fn a_pin_of_a_script_is_given_once_and_not_again_when_it_was_wrong() {
        use std::os::fd::AsRawFd;
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"1234\n").unwrap();
        drop(writer);
        let args = SecretArgs {
            pin_fd: Some(reader.as_raw_fd() as u32),
            ..SecretArgs::default()
        };
        let mut secrets = Secrets::new(args, false);
        assert!(secrets.any());
        let question = Question {
            kind: "card-pin".to_owned(),
            ..Question::default()
        };
        let wanted = Arc::<AtomicBool>::default;
        assert_eq!(*secrets.answer(&question, wanted()).unwrap(), "1234");
        assert_eq!(*secrets.answer(&question, wanted()).unwrap(), "1234");
        // Called off before its turn came.
        let called_off = Arc::new(AtomicBool::new(true));
        assert_eq!(
            secrets.answer(&question, called_off),
            Err(Refusal::Declined)
        );
        let again = Question {
            retry: true,
            ..question
        };
        assert_eq!(secrets.answer(&again, wanted()), Err(Refusal::Declined));
        assert_eq!(secrets.rejected(), Some("card-pin"));
    }
}
