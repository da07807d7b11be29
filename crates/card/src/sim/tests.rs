use super::*;

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn digits_are_swapped_halves_and_nothing_else() {
    for (file, digits) in [
        ("98100000000000000810", Some("89010000000000008001")),
        ("981000000000000008f1", Some("8901000000000000801")),
        // A filler in the middle, no digit, too few digits, nothing.
        ("98100000000000f80810", None),
        ("9810000000000000081a", None),
        ("9810ffffffffffffffff", None),
        ("ffffffffffffffffffff", None),
        ("", None),
    ] {
        assert_eq!(iccid_digits(&bytes(file)).as_deref(), digits, "{file}");
    }
}

#[test]
fn an_imsi_has_a_length_and_a_parity() {
    let imsi = bytes("080910100000000010");
    assert_eq!(imsi_digits(&imsi).as_deref(), Some("001010000000001"));
    for wrong in ["", "00", "09ffff", "02f9", "08", "ff0910100000000010"] {
        assert_eq!(imsi_digits(&bytes(wrong)), None, "{wrong}");
    }
}

#[test]
fn a_pin_is_found_in_the_status_template() {
    for (status, enabled) in [
        ("c606900180830101", Some(true)),
        ("c606900100830101", Some(false)),
        // The universal PIN first, then PIN1.
        ("c609900140830111830101", Some(true)),
        ("c609900180830111830101", Some(false)),
        // No PIN1, no states, cut short, nothing.
        ("c606900180830111", None),
        ("c603830101", None),
        ("c6069001808301", None),
        ("", None),
    ] {
        let parameters = bytes(&format!("62{:02x}{status}", status.len() / 2));
        assert_eq!(pin_enabled(&parameters), enabled, "{status}");
    }
    assert_eq!(pin_enabled(&[]), None);
}

const ICCID: &str = "981000000000000008f1";
const IMSI: &str = "080910100000000010";

/// A card that answers these commands, by how they begin, so, and has no file but them.
struct Script(Vec<(&'static str, String)>);

impl Transport for Script {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, TransportError> {
        let asked = hex::encode(apdu);
        let answer = self.0.iter().find(|(begin, _)| asked.starts_with(begin));
        Ok(bytes(answer.map_or("6a82", |(_, answer)| answer)))
    }
}

/// A SIM with these flags and this state of CHV1, which answers so when its IMSI is read.
fn sim(flags: u8, state: u8, imsi: &str) -> Script {
    let told = format!(
        "{}{flags:02x}00000000{state:02x}0000009000",
        "00".repeat(13)
    );
    Script(vec![
        ("a0a40000023f00", "9f16".to_owned()),
        ("a0a40000022fe2", "9f0f".to_owned()),
        ("a0a40000027f20", "9f16".to_owned()),
        ("a0a40000026f07", "9f0f".to_owned()),
        ("a0c0000016", told),
        ("a0c000000f", format!("{}9000", "00".repeat(15))),
        ("a0b000000a", format!("{ICCID}9000")),
        ("a0b0000009", imsi.to_owned()),
    ])
}

/// A UICC, more answers first.
fn uicc_with(more: &[(&'static str, &str)]) -> Script {
    let mut answers: Vec<_> = more.iter().map(|(c, a)| (*c, (*a).to_owned())).collect();
    answers.extend([
        ("00a40004023f00", "62009000".to_owned()),
        ("00a40004022fe2", "62009000".to_owned()),
        ("00b000000a", format!("{ICCID}9000")),
    ]);
    Script(answers)
}

fn told(mut card: Script) -> Sim {
    let told = read(&mut card).unwrap_or_else(|e| panic!("{e}"));
    let told = told.unwrap_or_else(|| panic!("no SIM"));
    assert_eq!(told.iccid, Read::Digits("8901000000000000801".to_owned()));
    told
}

#[test]
fn a_sim_tells_how_many_tries_its_pin_has() {
    let open = format!("{IMSI}9000");
    let digits = Read::Digits("001010000000001".to_owned());
    for (flags, state, imsi, enabled, tries, read) in [
        (0x00, 0x83, "9804", true, Some(3), Read::Locked),
        (0x00, 0x82, "9804", true, Some(2), Read::Locked),
        (0x00, 0x81, "9804", true, Some(1), Read::Locked),
        // Blocked.
        (0x00, 0x80, "9840", true, Some(0), Read::Locked),
        // Switched off: the tries are those of before.
        (0x80, 0x81, &open, false, Some(1), digits),
        // No CHV1 was ever set.
        (0x80, 0x03, "9404", false, None, Read::Absent),
    ] {
        let sim = told(sim(flags, state, imsi));
        let chv = Chv {
            enabled: Some(enabled),
            tries,
        };
        assert_eq!((sim.kind, sim.chv, sim.imsi), (Kind::Sim, chv, read));
    }
}

const SELECT_DIR: &str = "00a40004022f00";
const FIRST_RECORD: &str = "00b20104";
const SELECT_USIM: &str = "00a404040ca0000000871002ff49ff0589";
/// An application template with the AID of [`SELECT_USIM`].
const USIM_RECORD: &str = "610e4f0ca0000000871002ff49ff05899000";

#[test]
fn a_usim_tells_how_many_tries_its_pin_has() {
    for (status, tries) in [
        ("63c3", Some(3)),
        ("63c2", Some(2)),
        ("63c1", Some(1)),
        ("63c0", Some(0)),
        // Blocked; verified by another program; a reference that it does not know.
        ("6983", Some(0)),
        ("9000", None),
        ("6a88", None),
    ] {
        let sim = told(uicc_with(&[
            (SELECT_DIR, "62009000"),
            (FIRST_RECORD, USIM_RECORD),
            (SELECT_USIM, "6208c6069001808301019000"),
            ("00200001", status),
            ("00a40004026f07", "62009000"),
            ("00b0000009", "6982"),
        ]));
        let chv = Chv {
            enabled: Some(true),
            tries,
        };
        assert_eq!(
            (sim.kind, sim.chv, sim.imsi),
            (Kind::Usim, chv, Read::Locked)
        );
    }
}

#[test]
fn a_uicc_without_a_usim_has_no_imsi_and_no_pin_of_it() {
    let dir = (SELECT_DIR, "62009000");
    // What would be wrong to ask: there is no application whose PIN this is.
    let pin = ("00200001", "63c3");
    for more in [
        // No list of applications, an empty one, one of an ISIM, one of a USIM that cannot be selected.
        vec![pin],
        vec![dir, (FIRST_RECORD, "6a83"), pin],
        vec![dir, (FIRST_RECORD, "61094f07a00000008710049000"), pin],
        vec![dir, (FIRST_RECORD, USIM_RECORD), (SELECT_USIM, "6a82"), pin],
    ] {
        let sim = told(uicc_with(&more));
        let wanted = (Kind::Uicc, Chv::default(), Read::Absent);
        assert_eq!((sim.kind, sim.chv, sim.imsi), wanted, "{more:?}");
    }
}

#[test]
fn what_is_neither_uicc_nor_sim_is_none() {
    assert_eq!(read(&mut Script(Vec::new())).ok(), Some(None));
}
