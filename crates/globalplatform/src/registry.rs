//! The card's registry, as GET STATUS tells it (GPCS 11.4): security domain, applications, load files.

use simsync_card::apdu::Command;
use simsync_card::transport::Transport;

use crate::aid::Aid;
use crate::error::GpError;
use crate::session::Session;
use crate::tlv;

/// P1: which part of the registry.
const ISSUER_DOMAIN: u8 = 0x80;
const APPLICATIONS: u8 = 0x40;
const LOAD_FILES: u8 = 0x20;
const LOAD_FILES_AND_MODULES: u8 = 0x10;
/// P2: the format, and whether it goes on.
const TLV_FORMAT: u8 = 0x02;
const OLD_FORMAT: u8 = 0x00;
const NEXT: u8 = 0x01;

const MORE: u16 = 0x6310;
const NOTHING: u16 = 0x6A88;
/// Answers to one question; no card has so many entries, and a card that never ends is cut.
const MOST_ANSWERS: usize = 64;

/// What GET STATUS tells of one application, security domain or load file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Application identifier (ISO 7816-5).
    pub aid: Aid,
    /// Its life cycle state.
    pub state: u8,
    /// Its privileges, 1 or 3 bytes; none for load files.
    pub privileges: Vec<u8>,
    /// The load file that it comes from, if told.
    pub load_file: Option<Aid>,
    /// Major and minor version, if told (load files).
    pub version: Option<(u8, u8)>,
    /// Modules (load files).
    pub modules: Vec<Aid>,
}

/// The whole registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// The issuer security domain; its state is the card's.
    pub domain: Option<Entry>,
    /// Applications, and other security domains.
    pub applications: Vec<Entry>,
    /// Executable load files.
    pub load_files: Vec<Entry>,
}

/// The card's life cycle (GPCS 5.1.1), as the issuer security domain's state tells it.
pub fn card_state_name(state: u8) -> &'static str {
    match state {
        0x01 => "OP_READY",
        0x07 => "INITIALIZED",
        0x0F => "SECURED",
        0x7F => "CARD_LOCKED",
        0xFF => "TERMINATED",
        _ => "unknown",
    }
}

/// An application's life cycle (GPCS 5.3.1).
pub fn application_state_name(state: u8) -> &'static str {
    match state {
        s if s & 0x80 != 0 => "LOCKED",
        0x03 => "INSTALLED",
        0x07 => "SELECTABLE",
        s if s & 0x07 == 0x07 => "SELECTABLE, its own state",
        _ => "unknown",
    }
}

/// Privileges by name (GPCS, tables 11-7 to 11-9).
pub fn privilege_names(bytes: &[u8]) -> Vec<&'static str> {
    const NAMES: [&str; 20] = [
        "Security Domain",
        "DAP Verification",
        "Delegated Management",
        "Card Lock",
        "Card Terminate",
        "Card Reset",
        "CVM Management",
        "Mandated DAP Verification",
        "Trusted Path",
        "Authorized Management",
        "Token Verification",
        "Global Delete",
        "Global Lock",
        "Global Registry",
        "Final Application",
        "Global Service",
        "Receipt Generation",
        "Ciphered Load File Data Block",
        "Contactless Activation",
        "Contactless Self-Activation",
    ];
    let bit = |n: usize| bytes.get(n / 8).is_some_and(|b| b & (0x80 >> (n % 8)) != 0);
    NAMES
        .iter()
        .enumerate()
        .filter(|(n, _)| bit(*n))
        .map(|(_, name)| *name)
        .collect()
}

impl Registry {
    /// Asks the card for all of it.
    pub fn read<T: Transport>(session: &mut Session<T>) -> Result<Self, GpError> {
        let domain = read_part(session, ISSUER_DOMAIN)?.into_iter().next();
        let applications = read_part(session, APPLICATIONS)?;
        // Cards that do not tell modules refuse to be asked for them.
        let load_files = match read_part(session, LOAD_FILES_AND_MODULES) {
            Err(GpError::Refused { .. }) => read_part(session, LOAD_FILES)?,
            other => other?,
        };
        Ok(Self {
            domain,
            applications,
            load_files,
        })
    }

    /// The application of this AID.
    pub fn application(&self, aid: &Aid) -> Option<&Entry> {
        self.applications.iter().find(|e| e.aid == *aid)
    }

    /// The load file of this AID.
    pub fn load_file(&self, aid: &Aid) -> Option<&Entry> {
        self.load_files.iter().find(|e| e.aid == *aid)
    }
}

fn read_part<T: Transport>(session: &mut Session<T>, part: u8) -> Result<Vec<Entry>, GpError> {
    match read_in(session, part, TLV_FORMAT) {
        // From before the format was there.
        Err(GpError::Refused {
            sw: 0x6A80 | 0x6A86 | 0x6D00,
            ..
        }) => read_in(session, part, OLD_FORMAT),
        other => other,
    }
}

fn read_in<T: Transport>(
    session: &mut Session<T>,
    part: u8,
    format: u8,
) -> Result<Vec<Entry>, GpError> {
    const NAME: &str = "GET STATUS";
    let mut bytes = Vec::new();
    for answer in 0..MOST_ANSWERS {
        let next = if answer == 0 { 0 } else { NEXT };
        let command = Command::new(0x80, 0xF2, part, format | next).expecting_any();
        // An empty AID: all of them.
        let response = session.send(NAME, command, &[0x4F, 0x00])?;
        match response.sw {
            0x9000 | MORE => bytes.extend_from_slice(&response.data),
            NOTHING => return Ok(Vec::new()),
            sw => return Err(GpError::Refused { command: NAME, sw }),
        }
        if response.sw == 0x9000 {
            let entries = if format == TLV_FORMAT {
                parse_tlv(&bytes)
            } else {
                parse_old(&bytes, part)
            };
            return entries.ok_or(GpError::Answer {
                command: NAME,
                what: "its entries do not add up",
            });
        }
    }
    Err(GpError::Answer {
        command: NAME,
        what: "it does not end",
    })
}

/// GPCS, table 11-36: one E3 an entry.
fn parse_tlv(bytes: &[u8]) -> Option<Vec<Entry>> {
    tlv::parse(bytes)?
        .into_iter()
        .filter(|object| object.tag == 0xE3)
        .map(|object| {
            let mut entry = Entry {
                aid: Aid::new(tlv::find(object.value, 0x4F)?)?,
                state: *tlv::find(object.value, 0x9F70)?.first()?,
                privileges: Vec::new(),
                load_file: None,
                version: None,
                modules: Vec::new(),
            };
            for part in tlv::parse(object.value)? {
                match (part.tag, part.value) {
                    (0xC5, privileges) => entry.privileges = privileges.to_vec(),
                    (0xC4, aid) => entry.load_file = Aid::new(aid),
                    (0xCE, [major, minor]) => entry.version = Some((*major, *minor)),
                    (0x84, aid) => entry.modules.extend(Aid::new(aid)),
                    _ => {}
                }
            }
            Some(entry)
        })
        .collect()
}

/// GPCS 2.1.1, tables 9-22 and 9-23: lengths and AIDs, a byte of state, a byte of privileges; then, for
/// load files with modules, their number and their AIDs.
fn parse_old(mut bytes: &[u8], part: u8) -> Option<Vec<Entry>> {
    fn aid<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
        let (length, rest) = bytes.split_first()?;
        let (aid, rest) = rest.split_at_checked((*length).into())?;
        *bytes = rest;
        Some(aid)
    }
    fn byte(bytes: &mut &[u8]) -> Option<u8> {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        Some(*first)
    }
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let name = aid(&mut bytes)?;
        let (state, privileges) = (byte(&mut bytes)?, byte(&mut bytes)?);
        let mut modules = Vec::new();
        if part == LOAD_FILES_AND_MODULES {
            for _ in 0..byte(&mut bytes)? {
                modules.extend(Aid::new(aid(&mut bytes)?));
            }
        }
        let of_load_file = matches!(part, LOAD_FILES | LOAD_FILES_AND_MODULES);
        entries.push(Entry {
            aid: Aid::new(name)?,
            state,
            privileges: if of_load_file {
                Vec::new()
            } else {
                vec![privileges]
            },
            load_file: None,
            version: None,
            modules,
        });
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unhex(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    /// GPShell's listing of a Nokia phone's card (globalplatform-users, 2009-09-30).
    #[test]
    fn the_old_format_as_a_card_gives_it() {
        let text = "07A000000003535001000CD276000005AA04036001041001000BD276000005AA0503E0040101000BD276000005AA0503E005010100";
        let entries = parse_old(&unhex(text), LOAD_FILES).unwrap();
        let aids: Vec<String> = entries.iter().map(|e| e.aid.to_string()).collect();
        assert_eq!(
            aids,
            [
                "A0000000035350",
                "D276000005AA040360010410",
                "D276000005AA0503E00401",
                "D276000005AA0503E00501"
            ]
        );
        assert!(entries.iter().all(|e| e.state == 1));
        assert!(parse_old(&unhex(&text[..40]), LOAD_FILES).is_none());
    }

    #[test]
    fn the_old_format_with_modules() {
        let text = "05A0000000010100 02 06A00000000101 06A00000000102".replace(' ', "");
        let entries = parse_old(&unhex(&text), LOAD_FILES_AND_MODULES).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].modules.len(), 2);
        assert_eq!(entries[0].modules[1].to_string(), "A00000000102");
    }

    #[test]
    fn the_tlv_format() {
        let text =
            "E31E 4F09F053494D53594E4301 9F700107 C503000000 C408F053494D53594E43".replace(' ', "");
        let entries = parse_tlv(&unhex(&text)).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].aid, Aid::our_applet());
        assert_eq!(entries[0].load_file, Some(Aid::our_package()));
        assert_eq!(application_state_name(entries[0].state), "SELECTABLE");
        let file =
            "E31D 4F08F053494D53594E43 9F700101 CE020100 8409F053494D53594E4301".replace(' ', "");
        let entries = parse_tlv(&unhex(&file)).unwrap();
        assert_eq!(entries[0].version, Some((1, 0)));
        assert_eq!(entries[0].modules, [Aid::our_applet()]);
        assert!(parse_tlv(&unhex("E3034F0100")).is_none());
    }

    #[test]
    fn names() {
        assert_eq!(
            privilege_names(&[0x9E, 0xFE, 0x80]),
            [
                "Security Domain",
                "Card Lock",
                "Card Terminate",
                "Card Reset",
                "CVM Management",
                "Trusted Path",
                "Authorized Management",
                "Token Verification",
                "Global Delete",
                "Global Lock",
                "Global Registry",
                "Final Application",
                "Receipt Generation",
            ]
        );
        assert!(privilege_names(&[0]).is_empty() && privilege_names(&[]).is_empty());
        assert_eq!(card_state_name(0x7F), "CARD_LOCKED");
        assert_eq!(application_state_name(0x87), "LOCKED");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_tlv(&bytes);
            let _ = parse_old(&bytes, LOAD_FILES);
            let _ = parse_old(&bytes, LOAD_FILES_AND_MODULES);
        }
    }
}
