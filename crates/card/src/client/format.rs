//! Names, classes and lengths of docs/card.md.

/// AID of the applet and its instance.
pub const APPLET_AID: [u8; 9] = *b"\xF0SIMSYNC\x01";
/// AID of the applet's package.
pub const PACKAGE_AID: [u8; 8] = *b"\xF0SIMSYNC";

/// Major version of the applet that this client speaks to.
pub const VERSION: u8 = 1;

/// Class byte of the applet's own commands.
pub(super) const OWN: u8 = 0x80;
/// Class byte of commands that ISO 7816-4 defines.
pub(super) const ISO: u8 = 0x00;
/// The PIN, as P2 of VERIFY and CHANGE REFERENCE DATA names it.
pub(super) const PIN_NUMBER: u8 = 0x81;

/// Most bytes of a subscriber's label.
pub(super) const LABEL_MAX: usize = 32;
/// Most bytes of the server's address.
pub(super) const SERVER_MAX: usize = 64;
/// Most bytes of a terminal's label.
pub(super) const TERMINAL_LABEL_MAX: usize = 24;
/// In a head record: the session that wrote it was closed.
pub(super) const FLAG_CLOSED: u8 = 1;
