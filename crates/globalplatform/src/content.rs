//! The commands that change what is on a card: DELETE, INSTALL, LOAD (GPCS 11.2, 11.5, 11.6).

use simsync_card::apdu::Command;
use simsync_card::client::TransportSecret;
use simsync_card::transport::Transport;
use zeroize::Zeroizing;

use crate::aid::Aid;
use crate::cap::CapFile;
use crate::error::GpError;
use crate::session::Session;

/// INSTALL's P1 (GPCS, table 11-42).
const FOR_LOAD: u8 = 0x02;
const FOR_INSTALL_AND_MAKE_SELECTABLE: u8 = 0x0C;
/// LOAD's P1 (table 11-57).
const MORE_BLOCKS: u8 = 0x00;
const LAST_BLOCK: u8 = 0x80;
/// Tag of the parameters that the applet gets (table 11-49).
const APPLICATION_PARAMETERS: u8 = 0xC9;

/// DELETE [card content] (GPCS 11.2). What is gone already is as good as deleted.
pub(crate) fn delete<T: Transport>(session: &mut Session<T>, aid: &Aid) -> Result<(), GpError> {
    let command = Command::new(0x80, 0xE4, 0x00, 0x00).expecting_any();
    let mut data = vec![0x4F];
    put(&mut data, aid.as_bytes());
    match session.send("DELETE", command, &data)?.sw {
        0x9000 | 0x6A88 => Ok(()),
        sw => Err(GpError::Refused {
            command: "DELETE",
            sw,
        }),
    }
}

/// INSTALL [for load] (11.5.2.3.1), into the security domain that is selected, without hash, parameters and token.
pub(crate) fn announce<T: Transport>(
    session: &mut Session<T>,
    cap: &CapFile,
) -> Result<(), GpError> {
    let mut data = Vec::new();
    put(&mut data, cap.package().as_bytes());
    for _absent in ["security domain", "hash", "parameters", "token"] {
        put(&mut data, &[]);
    }
    let command = Command::new(0x80, 0xE6, FOR_LOAD, 0x00).expecting_any();
    done(session, "INSTALL [for load]", command, &data)
}

/// LOAD (GPCS 11.6) of one block. `number` counts from 0; no block follows the `last` one.
pub(crate) fn load<T: Transport>(
    session: &mut Session<T>,
    number: usize,
    block: &[u8],
    last: bool,
) -> Result<(), GpError> {
    let p1 = if last { LAST_BLOCK } else { MORE_BLOCKS };
    // At most 256 blocks, which CapFile::blocks sees to.
    let number = number.to_le_bytes()[0];
    let command = Command::new(0x80, 0xE8, p1, number).expecting_any();
    done(session, "LOAD", command, block)
}

/// INSTALL [for install and make selectable] (11.5.2.3.2): load file, module, instance, no privileges, parameters, no
/// token.
pub(crate) fn make_instance<T: Transport>(
    session: &mut Session<T>,
    cap: &CapFile,
    secret: &TransportSecret,
) -> Result<(), GpError> {
    let secret = secret.as_bytes();
    let mut parameters = Zeroizing::new(Vec::with_capacity(2 + secret.len()));
    parameters.push(APPLICATION_PARAMETERS);
    put(&mut parameters, secret);
    // Reserved at once: a vector that grows leaves copies of the secret behind.
    let mut data = Zeroizing::new(Vec::with_capacity(128));
    for field in [cap.package(), cap.applet(), cap.applet()] {
        put(&mut data, field.as_bytes());
    }
    put(&mut data, &[0x00]);
    put(&mut data, &parameters);
    put(&mut data, &[]);
    let command = Command::new(0x80, 0xE6, FOR_INSTALL_AND_MAKE_SELECTABLE, 0x00).expecting_any();
    done(session, "INSTALL [for install]", command, &data)
}

/// A length byte and so many bytes; nothing here comes near 128.
fn put(data: &mut Vec<u8>, field: &[u8]) {
    data.push(field.len().to_le_bytes()[0]);
    data.extend_from_slice(field);
}

fn done<T: Transport>(
    session: &mut Session<T>,
    name: &'static str,
    command: Command,
    data: &[u8],
) -> Result<(), GpError> {
    match session.send(name, command, data)?.sw {
        0x9000 => Ok(()),
        sw => Err(GpError::Refused { command: name, sw }),
    }
}
