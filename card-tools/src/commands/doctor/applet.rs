//! The applet, wherever it is: its version and life, tries, how long it takes.

use std::time::{Duration, Instant};

use simsync_card::client::{Applet, CardError, Lifecycle, Selected, VERSION};
use simsync_card::pinpad::Control;
use simsync_card::transport::Transport;

use super::checks::{Checks, Finding};
use crate::card_pin::CardPin;
use crate::error::ToolError;
use crate::reader;

/// Signing more slowly than this makes people wait; the slowest cards that are known to work take half of it.
const SLOW: Duration = Duration::from_millis(500);

/// Looks at the applet, and has it sign if there is a PIN.
pub fn examine<T: Transport + Control>(
    checks: &mut Checks,
    applet: &mut Applet<T>,
    pin: Option<&CardPin>,
) -> Result<(), ToolError> {
    let start = Instant::now();
    let selected = match applet.select() {
        Ok(selected) => selected,
        Err(e) if e.status().is_some() => {
            checks.failed(
                "applet",
                "the card has no simsync applet",
                "`simsync-card lock-info` and `simsync-card install` put it there, if you have the card's keys",
            );
            return Ok(());
        }
        Err(e @ CardError::Version { major, .. }) => {
            checks.failed("applet", e.to_string(), other_version(major));
            return Ok(());
        }
        Err(e) => return Err(e.into()),
    };
    let answered = start.elapsed();
    life(checks, &selected);
    checks.ok("time to answer", milliseconds(answered));
    if selected.lifecycle == Lifecycle::Enrolled {
        tries(checks, &selected);
        time_to_sign(checks, applet, &selected, pin)?;
    }
    Ok(())
}

/// What helps with an applet of another major version: the same card again does not.
fn other_version(major: u8) -> &'static str {
    if major > VERSION {
        "install a newer simsync on this machine"
    } else {
        "use the older simsync; or wipe the card and its keys, and provision it anew: `simsync-card install --replace --destroy-keys`"
    }
}

fn life(checks: &mut Checks, selected: &Selected) {
    let (major, minor) = selected.version;
    let sentence = format!(
        "version {major}.{minor}, {}",
        reader::lifecycle_word(selected.lifecycle)
    );
    match selected.lifecycle {
        Lifecycle::Enrolled => checks.ok("applet", sentence),
        Lifecycle::Installed | Lifecycle::Personalised => checks.add(
            "applet",
            Finding::Warning,
            sentence,
            Some("`simsync-card provision` makes it somebody's"),
        ),
        Lifecycle::Terminated => checks.failed(
            "applet",
            sentence,
            "it is wiped for good; `simsync-card install --replace` makes it a blank one",
        ),
    }
}

fn tries(checks: &mut Checks, selected: &Selected) {
    let sentence = format!(
        "{} for the PIN, {} for the PUK",
        selected.pin_tries, selected.puk_tries
    );
    match (selected.pin_tries, selected.puk_tries) {
        (0, 0) => checks.failed("tries", sentence, "only another card helps"),
        (0, _) => checks.failed("tries", sentence, "`simsync-card pin unblock` with the PUK"),
        (3, 10) if !selected.pin_due => checks.ok("tries", sentence),
        (3, 10) => checks.add(
            "tries",
            Finding::Warning,
            format!("{sentence}; the PIN must be changed"),
            Some("`simsync pair`, or `simsync-card pin change`"),
        ),
        _ => checks.add(
            "tries",
            Finding::Warning,
            sentence,
            Some("the right one, given once, makes them full again"),
        ),
    }
}

/// The card signs its keys: a signature that changes nothing. It needs the PIN.
fn time_to_sign<T: Transport + Control>(
    checks: &mut Checks,
    applet: &mut Applet<T>,
    selected: &Selected,
    pin: Option<&CardPin>,
) -> Result<(), ToolError> {
    let (Some(pin), false) = (pin, selected.pin_due || selected.pin_tries == 0) else {
        checks.add(
            "time to sign",
            Finding::Unknown,
            "not measured",
            Some("give --pin to measure it"),
        );
        return Ok(());
    };
    pin.verify(applet, "to measure how long the card takes to sign")?;
    let nonce: [u8; 32] = rand::random();
    let start = Instant::now();
    applet.read_keys(&nonce)?;
    let took = start.elapsed();
    if took > SLOW {
        checks.add(
            "time to sign",
            Finding::Warning,
            milliseconds(took),
            Some("it works; a card with a faster processor opens sessions sooner"),
        );
    } else {
        checks.ok("time to sign", milliseconds(took));
    }
    Ok(())
}

fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use simsync_card::model::{Model, SoftChip};
    use simsync_card::transport::TransportError;

    /// A card whose applet says that it has this major version.
    struct Dated(Model<SoftChip>, u8);

    impl Transport for Dated {
        fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, TransportError> {
            let mut answer = self.0.transmit(apdu)?;
            answer[0] = self.1;
            Ok(answer)
        }
    }

    impl Control for Dated {
        fn features(&mut self) -> Result<Vec<u8>, TransportError> {
            Err(TransportError::Unsupported)
        }

        fn control(&mut self, _: u32, _: &[u8]) -> Result<Vec<u8>, TransportError> {
            Err(TransportError::Unsupported)
        }
    }

    #[test]
    fn an_applet_of_another_version_is_not_to_be_put_in_again() {
        for (major, wanted) in [
            (VERSION, None),
            (VERSION + 1, Some("newer simsync on this machine")),
            (VERSION - 1, Some("--replace")),
        ] {
            let mut checks = Checks::default();
            let card = Dated(Model::soft([7; 16]), major);
            examine(&mut checks, &mut Applet::new(card), None).unwrap();
            let check = &checks.0[0];
            let version = format!("version {major}.1");
            assert!(check.name == "applet" && check.sentence.contains(&version));
            let Some(remedy) = wanted else {
                assert_eq!(check.finding, Finding::Warning);
                continue;
            };
            assert_eq!((checks.0.len(), check.finding), (1, Finding::Failed));
            let told = check.remedy.unwrap_or_default();
            assert!(
                told.contains(remedy) && !told.contains("put it in"),
                "{told}"
            );
        }
    }
}
