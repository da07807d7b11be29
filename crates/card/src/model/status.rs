//! Status words, as docs/card.md lists them.

pub(super) const DONE: u16 = 0x9000;
pub(super) const TRIES: u16 = 0x63C0;
pub(super) const WRONG_LENGTH: u16 = 0x6700;
pub(super) const NO_SECURE_MESSAGING: u16 = 0x6882;
pub(super) const NO_CHAINING: u16 = 0x6884;
pub(super) const RIGHT_MISSING: u16 = 0x6982;
pub(super) const BLOCKED: u16 = 0x6983;
pub(super) const CHANGE_PIN_FIRST: u16 = 0x6984;
pub(super) const NOT_NOW: u16 = 0x6985;
pub(super) const BAD_DATA: u16 = 0x6A80;
pub(super) const NOT_FOUND: u16 = 0x6A82;
pub(super) const FULL: u16 = 0x6A84;
pub(super) const BAD_P1P2: u16 = 0x6A86;
pub(super) const BAD_INS: u16 = 0x6D00;
pub(super) const BAD_CLA: u16 = 0x6E00;
