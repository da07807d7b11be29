//! What PC/SC answers where something is wrong, and what helps.

use pcsc::Error;

use super::checks::Checks;

/// There is no context. `installed`: the service's program is on this machine.
pub fn no_service(checks: &mut Checks, error: Error, installed: bool) {
    if error == Error::SecurityViolation {
        checks.ok("pcscd", "the smart card service answers");
        return checks.failed(
            "polkit",
            "the smart card service refuses you",
            "log in at the machine itself, or let polkit allow org.debian.pcsc-lite.access_pcsc for your user",
        );
    }
    let (sentence, remedy) = if installed {
        (
            format!("the smart card service is installed and does not answer ({error})"),
            "start it: systemctl enable --now pcscd.socket",
        )
    } else {
        (
            format!("there is no smart card service on this machine ({error})"),
            "install it: apt install pcscd",
        )
    };
    checks.failed("pcscd", sentence, remedy);
}

/// No reader fits. `named`: the service knows others; `usb`: how many the kernel sees on USB.
pub fn no_reader(checks: &mut Checks, named: bool, usb: usize) {
    match (named, usb) {
        (true, _) => checks.failed(
            "reader",
            "no reader has this name",
            "`simsync-card readers` lists them",
        ),
        (false, 0) => checks.failed(
            "reader",
            "no card reader is connected",
            "plug one in; if it is in, try another port or cable",
        ),
        (false, n) => checks.failed(
            "driver",
            format!("{n} USB card readers are connected, and the service knows none of them"),
            "install their driver: apt install libccid; then systemctl restart pcscd",
        ),
    }
}

/// The card in a reader cannot be reached. Answers whether there is one; that there is none is said for all readers at once.
pub fn no_connection(checks: &mut Checks, error: Error) -> bool {
    match error {
        Error::NoSmartcard | Error::RemovedCard => return false,
        Error::SharingViolation => checks.failed(
            "card",
            "another program has the card for itself",
            "close it: gpg's scdaemon and card managers do that",
        ),
        Error::SecurityViolation => checks.failed(
            "polkit",
            "the smart card service refuses you this card",
            "let polkit allow org.debian.pcsc-lite.access_card for your user",
        ),
        Error::UnresponsiveCard | Error::UnpoweredCard => checks.failed(
            "card",
            format!("the card does not answer the reader ({error})"),
            "turn it round, clean its contacts, try another card",
        ),
        error => checks.failed(
            "card",
            format!("the card cannot be reached: {error}"),
            "take it out and put it in again; then systemctl restart pcscd",
        ),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::checks::Finding;
    use super::*;

    /// The last check failed, and is the only one that did: its name, and that sentence and remedy have these words.
    #[track_caller]
    fn only(checks: &Checks, name: &str, sentence: &str, remedy: &str) {
        let failed = |finding| finding == Finding::Failed;
        let (last, before) = checks.0.split_last().expect("a check");
        assert!(
            before.iter().all(|c| c.finding == Finding::Ok),
            "{checks:?}"
        );
        assert!(failed(last.finding) && last.name == name, "{last:?}");
        assert!(last.sentence.contains(sentence), "{last:?}");
        assert!(last.remedy.is_some_and(|r| r.contains(remedy)), "{last:?}");
    }

    #[test]
    fn a_service_that_refuses_is_there() {
        for installed in [true, false] {
            let mut checks = Checks::default();
            no_service(&mut checks, Error::SecurityViolation, installed);
            only(&checks, "polkit", "refuses you", "pcsc-lite.access_pcsc");
            assert_eq!(checks.0[0].name, "pcscd");
        }
        for (error, installed, sentence, remedy) in [
            (Error::NoService, true, "does not answer", "pcscd.socket"),
            (Error::NoService, false, "there is no", "apt install pcscd"),
            (
                Error::InternalError,
                true,
                "does not answer",
                "pcscd.socket",
            ),
        ] {
            let mut checks = Checks::default();
            no_service(&mut checks, error, installed);
            only(&checks, "pcscd", sentence, remedy);
            // What the service itself said is told too.
            only(&checks, "pcscd", &error.to_string(), remedy);
            assert_eq!(checks.0.len(), 1);
        }
    }

    #[test]
    fn a_reader_may_be_missing_nameless_or_without_a_driver() {
        for (named, usb, name, sentence, remedy) in [
            (
                false,
                0,
                "reader",
                "no card reader is connected",
                "plug one in",
            ),
            (false, 2, "driver", "2 USB card readers", "libccid"),
            (true, 0, "reader", "has this name", "simsync-card readers"),
            (true, 2, "reader", "has this name", "simsync-card readers"),
        ] {
            let mut checks = Checks::default();
            no_reader(&mut checks, named, usb);
            only(&checks, name, sentence, remedy);
        }
    }

    #[test]
    fn each_refusal_of_a_card_has_its_own_remedy() {
        for (error, name, sentence, remedy) in [
            (
                Error::SharingViolation,
                "card",
                "another program",
                "close it",
            ),
            (
                Error::SecurityViolation,
                "polkit",
                "refuses you this card",
                "pcsc-lite.access_card",
            ),
            (
                Error::UnresponsiveCard,
                "card",
                "does not answer",
                "turn it round",
            ),
            (
                Error::UnpoweredCard,
                "card",
                "does not answer",
                "turn it round",
            ),
            (
                Error::ProtoMismatch,
                "card",
                "cannot be reached",
                "put it in again",
            ),
            (
                Error::ReaderUnavailable,
                "card",
                "cannot be reached",
                "restart pcscd",
            ),
        ] {
            let mut checks = Checks::default();
            assert!(no_connection(&mut checks, error), "{error}");
            only(&checks, name, sentence, remedy);
        }
        for error in [Error::NoSmartcard, Error::RemovedCard] {
            let mut checks = Checks::default();
            assert!(!no_connection(&mut checks, error), "{error}");
            assert!(checks.0.is_empty(), "{checks:?}");
        }
    }
}
