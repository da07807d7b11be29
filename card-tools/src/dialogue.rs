//! What is asked, in which order. A secret is tried at the card as soon as it is given, before anything else is asked, shown
//! or made: nobody chooses a new PIN or writes a PUK down for nothing. A person is asked again with the tries that are left;
//! what a descriptor gave is tried once.

use simsync_card::client::{CardError, Pin, Puk, SecretError};
use simsync_card::status::Status;
use simsync_protocol::enrolment::EnrolmentCode;
use zeroize::Zeroizing;

use crate::error::ToolError;
use crate::reader::{self, Slot};
use crate::secrets;

/// Somebody who can be asked for secrets.
pub trait Asker {
    /// Asks for the secret that `prompt` names; an error if nobody can be asked or nothing is given.
    fn ask(&mut self, prompt: &str) -> Result<Zeroizing<String>, ToolError>;
    /// Whether asking once more may give another answer.
    fn is_person(&self) -> bool;
    /// Says why it is asked again.
    fn say(&mut self, text: &str);
}

/// A descriptor, or the person at the prompt.
pub struct Source(pub Option<i32>);

impl Asker for Source {
    fn ask(&mut self, prompt: &str) -> Result<Zeroizing<String>, ToolError> {
        secrets::read(self.0, prompt)
    }
    fn is_person(&self) -> bool {
        self.0.is_none()
    }
    fn say(&mut self, text: &str) {
        crate::card_pin::say(text);
    }
}

/// Asks until it is one by its format.
pub fn well_formed<T>(
    asker: &mut impl Asker,
    prompt: &str,
    parse: impl Fn(&[u8]) -> Result<T, SecretError>,
) -> Result<T, ToolError> {
    loop {
        let text = asker.ask(prompt)?;
        match parse(text.as_bytes()) {
            Ok(secret) => return Ok(secret),
            Err(e) if asker.is_person() => {
                asker.say(&format!("{e}; nothing was sent to the card."))
            }
            Err(e) => return Err(ToolError::Usage(e.to_string())),
        }
    }
}

/// Asks for an enrolment code until it has a code's format. Only the server knows whether it is good.
pub fn enrolment_code(asker: &mut impl Asker) -> Result<Zeroizing<String>, ToolError> {
    const BAD: &str = "that is no enrolment code: it has 26 letters and digits, dashes aside";
    loop {
        let text = asker.ask("Enrolment code")?;
        if EnrolmentCode::parse(&text).is_some() {
            return Ok(text);
        }
        if !asker.is_person() {
            return Err(ToolError::Usage(BAD.to_owned()));
        }
        asker.say(BAD);
    }
}

/// Asks for a new PIN, from a person twice.
pub fn new_pin(asker: &mut impl Asker) -> Result<Pin, ToolError> {
    loop {
        let pin = well_formed(asker, "New PIN", Pin::parse)?;
        if !asker.is_person() {
            return Ok(pin);
        }
        if Pin::parse(asker.ask("New PIN again")?.as_bytes()).is_ok_and(|again| again == pin) {
            return Ok(pin);
        }
        asker.say("The two are not the same.");
    }
}

/// Asks for a secret and has the card try it; asks again while it is wrong and the card has tries. The right one is answered.
fn tried<S: Slot, T: PartialEq>(
    card: &mut S,
    asker: &mut impl Asker,
    (name, mut left): (&str, u8),
    parse: impl Fn(&[u8]) -> Result<T, SecretError>,
    try_it: impl Fn(&mut S, &T) -> Result<Result<(), CardError>, ToolError>,
) -> Result<T, ToolError> {
    let mut refused: Vec<T> = Vec::new();
    loop {
        let prompt = format!("{name} ({left} tries left)");
        let secret = well_formed(asker, &prompt, &parse)?;
        if refused.contains(&secret) {
            asker.say(&format!(
                "The card refused this {name} before; it was not sent again."
            ));
            continue;
        }
        match try_it(card, &secret)? {
            Ok(()) => return Ok(secret),
            Err(e) => match e.status() {
                Some(Status::Wrong { tries_left, .. }) if tries_left > 0 && asker.is_person() => {
                    left = tries_left;
                    asker.say(&format!("Wrong {name}."));
                    refused.push(secret);
                }
                _ => return Err(e.into()),
            },
        }
    }
}

/// The PIN, verified once.
pub fn right_pin<S: Slot>(
    card: &mut S,
    asker: &mut impl Asker,
    tries: u8,
) -> Result<Pin, ToolError> {
    tried(card, asker, ("PIN", tries), Pin::parse, |card, pin| {
        let mut applet = reader::transaction(card)?;
        reader::select(&mut applet)?;
        Ok(applet.verify(pin))
    })
}

/// Sets a new PIN with the PUK.
///
/// The card has no command that only looks at a PUK. So a person's PUK is tried with a PIN that nobody knows, which takes the
/// place of one that is forgotten or blocked anyway; the new PIN is asked for then. If that is broken off, the PUK still sets
/// one.
pub fn unblock<S: Slot>(
    card: &mut S,
    for_puk: &mut impl Asker,
    for_pin: &mut impl Asker,
    tries: u8,
) -> Result<(), ToolError> {
    let unblock = |card: &mut S, puk: &Puk, pin: &Pin| {
        let mut applet = reader::transaction(card)?;
        reader::select(&mut applet)?;
        Ok::<_, ToolError>(applet.unblock(puk, pin))
    };
    if !for_pin.is_person() {
        // Nobody waits for an answer: one command does all.
        let new = new_pin(for_pin)?;
        tried(card, for_puk, ("PUK", tries), Puk::parse, |card, puk| {
            unblock(card, puk, &new)
        })?;
        return Ok(());
    }
    let nobodys = secrets::digits(8);
    let nobodys = Pin::parse(nobodys.as_bytes()).map_err(|e| ToolError::Other(e.to_string()))?;
    let puk = tried(card, for_puk, ("PUK", tries), Puk::parse, |card, puk| {
        unblock(card, puk, &nobodys)
    })?;
    for_pin.say("The PUK is right.");
    let new = new_pin(for_pin).map_err(|e| {
        ToolError::Other(format!(
            "{e}: the PUK is right, and the card has no PIN that anybody knows; run it again and choose one"
        ))
    })?;
    Ok(unblock(card, &puk, &new)??)
}

#[cfg(test)]
mod tests {
    use super::*;
    use simsync_card::client::{Applet, Personalisation, TransportSecret};
    use simsync_card::ids::Hash;
    use simsync_card::model::{Model, SoftChip};
    use simsync_card::transport::{Transport, TransportError};
    use std::cell::RefCell;
    use std::rc::Rc;

    /// What was asked, said and sent, in order.
    type Log = Rc<RefCell<Vec<String>>>;

    struct Script {
        answers: Vec<&'static str>,
        person: bool,
        log: Log,
    }

    impl Asker for Script {
        fn ask(&mut self, prompt: &str) -> Result<Zeroizing<String>, ToolError> {
            self.log.borrow_mut().push(format!("? {prompt}"));
            if self.answers.is_empty() {
                return Err(ToolError::Usage("nothing was given".to_owned()));
            }
            Ok(Zeroizing::new(self.answers.remove(0).to_owned()))
        }
        fn is_person(&self) -> bool {
            self.person
        }
        fn say(&mut self, text: &str) {
            self.log.borrow_mut().push(format!("! {text}"));
        }
    }

    struct Held(Model<SoftChip>, Log);
    struct Wire<'a>(&'a mut Held);

    impl Transport for Wire<'_> {
        fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, TransportError> {
            let name = match apdu[1] {
                0x20 => Some("VERIFY"),
                0x24 => Some("CHANGE"),
                0x2C => Some("UNBLOCK"),
                _ => None,
            };
            self.0.1.borrow_mut().extend(name.map(str::to_owned));
            self.0.0.transmit(apdu)
        }
    }

    impl Slot for Held {
        type Taken<'a> = Wire<'a>;
        fn take(&mut self) -> Result<Wire<'_>, ToolError> {
            Ok(Wire(self))
        }
    }

    fn card() -> (Held, Log) {
        let secret = TransportSecret::new([7; 16]);
        let mut card = Model::soft([7; 16]);
        let mut applet = Applet::new(&mut card);
        applet.select().unwrap();
        let person = Personalisation {
            subscriber: "alice".parse().unwrap(),
            label: "desk".to_owned(),
            server: "sync.example.org".to_owned(),
            ca_pin: Hash::ZERO,
            pin: Pin::parse(b"123456").unwrap(),
            puk: Puk::parse(b"12345678").unwrap(),
            contactless: false,
            pin_due: true,
        };
        applet.personalise(&secret, &person).unwrap();
        applet.generate_keys(&secret, &[0; 32]).unwrap();
        applet.enrolled(&secret).unwrap();
        let log = Log::default();
        (Held(card, log.clone()), log)
    }

    fn script(log: &Log, person: bool, answers: &[&'static str]) -> Script {
        Script {
            answers: answers.to_vec(),
            person,
            log: log.clone(),
        }
    }

    #[test]
    fn f_g2_a_pin_is_tried_before_anything_else_is_asked_and_asked_again_with_the_tries() {
        let (mut card, log) = card();
        let mut person = script(&log, true, &["12", "4711", "4711", "123456"]);
        let pin = right_pin(&mut card, &mut person, 3).unwrap();
        assert!(pin == Pin::parse(b"123456").unwrap());
        let log = log.borrow().join("\n");
        assert_eq!(
            log,
            "? PIN (3 tries left)\n! a PIN is 4 to 8 digits or letters (A to Z, a to z); nothing was sent to the card.\n\
             ? PIN (3 tries left)\nVERIFY\n! Wrong PIN.\n\
             ? PIN (2 tries left)\n! The card refused this PIN before; it was not sent again.\n\
             ? PIN (2 tries left)\nVERIFY"
        );
        assert_eq!(card.0.tries().0, 3);
    }

    #[test]
    fn f_g2_a_pin_of_a_script_is_tried_once() {
        let (mut card, log) = card();
        let mut script = script(&log, false, &["4711", "4711", "4711"]);
        let refused = right_pin(&mut card, &mut script, 3).unwrap_err();
        assert_eq!(refused.exit_code(), 5);
        assert_eq!(card.0.tries().0, 2);
    }

    #[test]
    fn f_g2_unblock_tries_the_puk_before_it_asks_for_a_new_pin() {
        let (mut card, log) = card();
        let mut person = script(&log, true, &["00000000", "12345678"]);
        let mut chooses = script(&log, true, &["2468", "1357", "2468", "2468"]);
        unblock(&mut card, &mut person, &mut chooses, 10).unwrap();
        assert_eq!(
            log.borrow().join("\n"),
            "? PUK (10 tries left)\nUNBLOCK\n! Wrong PUK.\n? PUK (9 tries left)\nUNBLOCK\n! The PUK is right.\n\
             ? New PIN\n? New PIN again\n! The two are not the same.\n? New PIN\n? New PIN again\nUNBLOCK"
        );
        let mut applet = Applet::new(Wire(&mut card));
        applet.select().unwrap();
        applet.verify(&Pin::parse(b"2468").unwrap()).unwrap();
    }

    #[test]
    fn f_g2_a_code_of_another_format_is_asked_for_again() {
        let log = Log::default();
        let code = "00000-11111-22222-33333-444440";
        let mut person = script(&log, true, &["a-typo", code]);
        assert_eq!(*enrolment_code(&mut person).unwrap(), code);
        let mut script = script(&log, false, &["a-typo"]);
        assert_eq!(enrolment_code(&mut script).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn f_g2_unblock_that_is_broken_off_can_be_run_again() {
        let (mut card, log) = card();
        let mut person = script(&log, true, &["12345678"]);
        let mut leaves = script(&log, true, &[]);
        let told = unblock(&mut card, &mut person, &mut leaves, 10).unwrap_err();
        assert!(told.to_string().contains("run it again"), "{told}");
        let mut person = script(&log, true, &["12345678"]);
        let mut script = script(&log, false, &["2468"]);
        unblock(&mut card, &mut person, &mut script, 10).unwrap();
        let mut applet = Applet::new(Wire(&mut card));
        applet.select().unwrap();
        applet.verify(&Pin::parse(b"2468").unwrap()).unwrap();
    }
}
