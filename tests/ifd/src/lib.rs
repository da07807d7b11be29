//! A virtual card reader with a PIN pad: a driver (IFD handler, API 3.0) that pcscd loads, for tests only.
//!
//! The card comes over TCP, as to vpcd: 2 bytes of length, then one byte (00 off, 01 on, 02 reset, 04 "your ATR?") or an
//! APDU. Keys are pressed over a Unix socket. The PIN goes from there into the command for the card and nowhere else, as in a
//! real reader; what crosses to pcscd and its clients is written down, so that a test can look for it.
//!
//! `DEVICENAME FOLDER:PORT` in reader.conf says where: the card at that port of the loopback, [`KEYS`] and [`WIRE`] in that
//! folder.
#![deny(unsafe_code)]

mod card;
mod ffi;
mod keys;
mod pad;
mod reader;

/// Name of the socket at which keys are pressed. The pad says `ready` on a connection when it waits for a PIN, and takes
/// one line: `1234 ok`, `cancel`, or `timeout` (as if nobody had pressed anything for too long).
pub const KEYS: &str = "keys";
/// Name of the file with everything that crossed between the reader and the computer, a line each, in hexadecimal.
pub const WIRE: &str = "wire.log";
/// The line in [`WIRE`] for an entry begins so: FEATURE_VERIFY_PIN_DIRECT.
pub const VERIFY_LINE: &str = "control 42330006 >";
/// FEATURE_MODIFY_PIN_DIRECT.
pub const MODIFY_LINE: &str = "control 42330007 >";
