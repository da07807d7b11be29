//! Finding the issuer security domain, and GET DATA, all without authentication.

use simsync_card::apdu::{Command, Response};
use simsync_card::transport::{Transport, exchange};

use crate::aid::Aid;
use crate::card_data::{CardData, FreeMemory, KeyInformation, ProductionData};
use crate::error::GpError;
use crate::tlv;

/// AIDs of issuer security domains: GlobalPlatform's, and VISA's from before it.
const USUAL: [[u8; 8]; 2] = [
    [0xA0, 0, 0, 1, 0x51, 0, 0, 0],
    [0xA0, 0, 0, 0, 0x03, 0, 0, 0],
];

const LOCKED: u16 = 0x6283;

/// The issuer security domain, selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Application identifier (ISO 7816-5).
    pub aid: Aid,
    /// SELECT warned that the card is locked.
    pub locked: bool,
    /// What it says of itself, here or to GET DATA.
    pub card_data: Option<CardData>,
}

/// SELECT by AID; an empty one selects what the card selects by default.
pub(crate) fn select<T: Transport + ?Sized>(
    transport: &mut T,
    aid: &[u8],
) -> Result<Response, GpError> {
    let command = Command::new(0x00, 0xA4, 0x04, 0x00).expecting_any();
    send(transport, "SELECT", command, aid)
}

/// Sends a command without a channel.
pub(crate) fn send<T: Transport + ?Sized>(
    transport: &mut T,
    name: &'static str,
    command: Command,
    data: &[u8],
) -> Result<Response, GpError> {
    let failed = |source| GpError::Transport {
        command: name,
        source,
    };
    let command = command.with_data(data).map_err(|e| failed(e.into()))?;
    exchange(transport, &command).map_err(failed)
}

/// Selects the issuer security domain: by default, else by its usual names. Ends what was selected and opened before.
pub fn select_issuer_domain<T: Transport + ?Sized>(transport: &mut T) -> Result<Domain, GpError> {
    let default = select(transport, &[])?;
    let mut found = read_selected(&default);
    for aid in USUAL {
        if found.is_some() {
            break;
        }
        let answer = select(transport, &aid)?;
        if answer.sw == 0x9000 || answer.sw == LOCKED {
            // Some answer no template to their own name.
            found = read_selected(&answer).or_else(|| {
                Some(Domain {
                    aid: Aid::new(&aid)?,
                    locked: answer.sw == LOCKED,
                    card_data: None,
                })
            });
        }
    }
    let Some(mut domain) = found else {
        // A terminated card answers nothing but GET DATA (GPCS 5.1.1.5).
        let answers =
            get_data(transport, 0x9F7F)?.is_some() || get_data(transport, 0x66)?.is_some();
        return Err(if answers {
            GpError::Terminated
        } else {
            GpError::NoSecurityDomain
        });
    };
    if domain.card_data.is_none() {
        domain.card_data = get_data(transport, 0x66)?
            .as_deref()
            .and_then(CardData::parse);
    }
    tracing::info!(aid = %domain.aid, locked = domain.locked, "card manager");
    Ok(domain)
}

/// The answer of a security domain (GPCS 11.9.3.1): 6F with 84, and A5 with 73 or 9F65. An ordinary application that is
/// selected by default has neither of the two.
fn read_selected(answer: &Response) -> Option<Domain> {
    if answer.sw != 0x9000 && answer.sw != LOCKED {
        return None;
    }
    let template = tlv::find(&answer.data, 0x6F)?;
    let aid = Aid::new(tlv::find(template, 0x84)?)?;
    let own = tlv::find(template, 0xA5)?;
    let card_data = tlv::find(own, 0x73).and_then(CardData::parse_recognition);
    if card_data.is_none() && tlv::find(own, 0x9F65).is_none() {
        return None;
    }
    Some(Domain {
        aid,
        locked: answer.sw == LOCKED,
        card_data,
    })
}

/// GET DATA of the selected security domain; none for whatever status word but 9000, since all of these objects are
/// optional and cards say so in many ways.
fn get_data<T: Transport + ?Sized>(
    transport: &mut T,
    tag: u16,
) -> Result<Option<Vec<u8>>, GpError> {
    let [high, low] = tag.to_be_bytes();
    let command = Command::new(0x80, 0xCA, high, low).expecting_any();
    let answer = send(transport, "GET DATA", command, &[])?;
    Ok((answer.sw == 0x9000).then(|| answer.data.to_vec()))
}

/// CPLC, tag 9F7F.
pub fn production_data<T: Transport + ?Sized>(
    transport: &mut T,
) -> Result<Option<ProductionData>, GpError> {
    Ok(get_data(transport, 0x9F7F)?
        .as_deref()
        .and_then(ProductionData::parse))
}

/// Key information template, tag E0; empty if not told.
pub fn key_information<T: Transport + ?Sized>(
    transport: &mut T,
) -> Result<Vec<KeyInformation>, GpError> {
    Ok(get_data(transport, 0xE0)?
        .as_deref()
        .and_then(KeyInformation::parse_all)
        .unwrap_or_default())
}

/// Extended card resources, tag FF21.
pub fn free_memory<T: Transport + ?Sized>(
    transport: &mut T,
) -> Result<Option<FreeMemory>, GpError> {
    Ok(get_data(transport, 0xFF21)?
        .as_deref()
        .and_then(FreeMemory::parse))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card_data::Protocol;
    use simsync_card::transport::{Replay, Transcript};

    fn replay(text: &str) -> Replay {
        Replay::new(Transcript::parse(text).unwrap())
    }

    /// SELECT's answer of an Oberthur Cosmo (GlobalPlatformPro, issue 113), which tells SCP03 i=70 at once.
    #[test]
    fn the_default_is_taken_when_it_is_a_security_domain() {
        let mut card = replay(
            "> 00A4040000\n< 6F408407A0000001510000A535732F06072A864886FC6B01600C060A2A864886FC6B02020201630906072A864886FC6B03640B06092A864886FC6B0403709F6501FF9000",
        );
        let domain = select_issuer_domain(&mut card).unwrap();
        assert_eq!(domain.aid.to_string(), "A0000001510000");
        assert_eq!(
            domain.card_data.unwrap().protocols,
            [Protocol { scp: 3, i: 0x70 }]
        );
        assert!(!domain.locked && card.is_finished());
    }

    /// SELECT and GET DATA of a sysmoISIM-SJA2 (GlobalPlatformPro, issue 253).
    #[test]
    fn what_select_does_not_tell_is_asked_for() {
        let mut card = replay(
            "> 00A4040000\n< 6F108408A000000003000000A5049F6501FF9000\n> 80CA006600\n< 6631732F06072A864886FC6B01600C060A2A864886FC6B02020101630906072A864886FC6B03640B06092A864886FC6B0402159000",
        );
        let data = select_issuer_domain(&mut card).unwrap().card_data.unwrap();
        assert_eq!(data.protocols, [Protocol { scp: 2, i: 0x15 }]);
        assert_eq!(data.version.as_deref(), Some("2.1.1"));
    }

    #[test]
    fn another_default_application_is_passed_over() {
        // An applet without data, then two with templates of their own; the domain answers to its name only.
        for default in [
            "9000",
            "6F098407A00000000304009000",
            "6F0D8407A0000000030400A50288009000",
            "6A82",
            "6D00",
        ] {
            let mut card = replay(&format!(
                "> 00A4040000\n< {default}\n> 00A4040008A00000015100000000\n< 6283\n> 80CA006600\n< 6A88"
            ));
            let domain = select_issuer_domain(&mut card).unwrap();
            assert_eq!(domain.aid.to_string(), "A000000151000000");
            assert!(domain.locked && domain.card_data.is_none());
        }
    }

    #[test]
    fn a_card_without_a_domain_and_a_terminated_one_are_told_apart() {
        let none = "> 00A4040000\n< 6A82\n> 00A4040008A00000015100000000\n< 6A82\n> 00A4040008A00000000300000000\n< 6A82\n";
        let mut plain = replay(&format!("{none}> 80CA9F7F00\n< 6E00\n> 80CA006600\n< 6D00"));
        assert!(matches!(
            select_issuer_domain(&mut plain),
            Err(GpError::NoSecurityDomain)
        ));
        let mut dead = replay(&format!("{none}> 80CA9F7F00\n< 9F7F0100 9000").replace(' ', ""));
        assert!(matches!(
            select_issuer_domain(&mut dead),
            Err(GpError::Terminated)
        ));
    }

    #[test]
    fn odd_status_words_mean_not_told() {
        for sw in ["6A88", "6A80", "6D00", "6E00", "6985", "6F00", "6300"] {
            let mut card = replay(&format!(
                "> 80CA9F7F00\n< {sw}\n> 80CA00E000\n< {sw}\n> 80CAFF2100\n< {sw}"
            ));
            assert!(production_data(&mut card).unwrap().is_none());
            assert!(key_information(&mut card).unwrap().is_empty());
            assert!(free_memory(&mut card).unwrap().is_none());
        }
    }
}
