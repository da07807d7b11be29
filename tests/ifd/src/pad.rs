//! What a PIN pad is told (PC/SC part 10 v2.02), and the command that it makes of the digits. Written from the specification,
//! apart from the client's code: each is the other's check.

use zeroize::Zeroizing;

/// What it says it can do: tag, 4, control code.
pub const FEATURES: [u8; 18] = [
    0x06, 4, 0x42, 0x33, 0x00, 0x06, 0x07, 4, 0x42, 0x33, 0x00, 0x07, 0x0A, 4, 0x42, 0x33, 0x00,
    0x0A,
];
/// Control codes of these.
pub const VERIFY: u32 = 0x4233_0006;
pub const MODIFY: u32 = 0x4233_0007;
pub const PROPERTIES: u32 = 0x4233_000A;
/// CM_IOCTL_GET_FEATURE_REQUEST.
pub const GET_FEATURES: u32 = 0x4200_0000 + 3400;
/// PIN_PROPERTIES_STRUCTURE: two lines of 16 characters, any condition, no other time-out from the first key on.
pub const PROPERTIES_ANSWER: [u8; 4] = [0x10, 0x02, 0x07, 0x00];

/// Status words of a reader.
pub const TIMED_OUT: u16 = 0x6400;
pub const CANCELLED: u16 = 0x6401;
pub const DIFFER: u16 = 0x6402;
pub const LENGTH: u16 = 0x6403;
pub const REFUSED: u16 = 0x6B80;

/// Bytes before abData.
const VERIFY_HEADER: usize = 19;
const MODIFY_HEADER: usize = 24;
/// Header and length of a short command.
const COMMAND_HEADER: usize = 5;

/// A PIN_VERIFY_STRUCTURE or PIN_MODIFY_STRUCTURE that this pad can carry out.
#[derive(Debug, PartialEq, Eq)]
pub struct Order {
    /// Seconds until it gives up.
    pub patience: u8,
    least: usize,
    most: usize,
    /// Where the PIN goes in the command, and a new one.
    places: Vec<usize>,
    /// The present PIN is asked for (always when verifying).
    pub asks_present: bool,
    /// A new PIN is asked for twice.
    pub confirms: bool,
    command: Vec<u8>,
}

impl Order {
    /// Reads a structure. None: not one that this pad knows how to carry out.
    pub fn parse(structure: &[u8], modify: bool) -> Option<Self> {
        let header = if modify { MODIFY_HEADER } else { VERIFY_HEADER };
        let (head, command) = structure.split_at_checked(header)?;
        let (format, block, length_format) = (head[2], head[3], head[4]);
        // The fields of a modification lie apart by two insertion offsets, then bConfirmPIN.
        let at = if modify { 7 } else { 5 };
        let (most, least) = (usize::from(head[at]), usize::from(head[at + 1]));
        let confirm = if modify { head[9] } else { 0 };
        let condition = head[if modify { 10 } else { 7 }];
        let length = u32::from_le_bytes(*head.last_chunk()?);
        // System units bytes, left-justified, ASCII; no length inserted; the OK key ends an entry.
        let known = format & 0x87 == 0x82
            && block & 0xF0 == 0
            && length_format == 0
            && condition & 0x02 != 0
            && usize::try_from(length).ok()? == command.len();
        let block = usize::from(block & 0x0F);
        let position = COMMAND_HEADER + usize::from(format >> 3 & 0x0F);
        let places = if modify {
            vec![
                position + usize::from(head[5]),
                position + usize::from(head[6]),
            ]
        } else {
            vec![position]
        };
        let fits = least <= most
            && most <= block
            && command.len() > COMMAND_HEADER
            && usize::from(command[4]) == command.len() - COMMAND_HEADER
            && places.iter().all(|p| p + block <= command.len());
        (known && fits).then(|| Self {
            patience: head[0],
            least,
            most,
            places,
            asks_present: !modify || confirm & 0x02 != 0,
            confirms: confirm & 0x01 != 0,
            command: command.to_vec(),
        })
    }

    /// Whether a new PIN is asked for.
    pub fn asks_new(&self) -> bool {
        self.places.len() == 2
    }

    /// Whether so many digits are enough and not too many.
    pub fn takes(&self, digits: &[u8]) -> bool {
        (self.least..=self.most).contains(&digits.len())
    }

    /// The command for the card. What the digits do not fill stays as the computer padded it.
    pub fn command(&self, pins: &[&[u8]]) -> Zeroizing<Vec<u8>> {
        let mut command = Zeroizing::new(self.command.clone());
        let places = self.places.iter().rev().zip(pins.iter().rev());
        for (place, digits) in places {
            for (to, digit) in command.iter_mut().skip(*place).zip(*digits) {
                *to = *digit;
            }
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        hex::decode(hexadecimal.replace(' ', "")).unwrap()
    }

    const VERIFYING: &str = "1e 1e 82 08 00 0804 02 01 0904 00 000000 0d000000 \
                             00200081 08 ffffffffffffffff";
    const MODIFYING: &str = "1e 1e 82 08 00 00 08 0804 03 02 03 0904 000102 000000 15000000 \
                             00240081 10 ffffffffffffffff ffffffffffffffff";

    #[test]
    fn digits_go_into_the_command() {
        let order = Order::parse(&bytes(VERIFYING), false).unwrap();
        assert!(order.asks_present && !order.asks_new());
        assert_eq!(
            *order.command(&[b"2468"]),
            bytes("00200081 08 32343638ffffffff")
        );
        assert!(order.takes(b"1234") && order.takes(b"12345678"));
        assert!(!order.takes(b"123") && !order.takes(b"123456789"));
        let order = Order::parse(&bytes(MODIFYING), true).unwrap();
        assert!(order.asks_present && order.asks_new() && order.confirms);
        assert_eq!(
            *order.command(&[b"2468", b"87654321"]),
            bytes("00240081 10 32343638ffffffff 3837363534333231")
        );
    }

    #[test]
    fn what_cannot_be_carried_out_is_refused() {
        for (at, value) in [
            (2, 0x02), // bits
            (2, 0x86), // right-justified
            (2, 0x81), // BCD
            (2, 0x8A), // one byte further: the block leaves the command
            (3, 0x48), // a length is inserted
            (3, 0x04), // a block shorter than the longest PIN
            (4, 0x01),
            (6, 0x09),  // longest below shortest
            (7, 0x01),  // no OK key
            (15, 0x0E), // another length of the command
            (23, 0x07), // Lc
        ] {
            let mut structure = bytes(VERIFYING);
            structure[at] = value;
            assert_eq!(Order::parse(&structure, false), None, "{at}");
        }
        for length in 0..bytes(MODIFYING).len() {
            assert_eq!(Order::parse(&bytes(MODIFYING)[..length], true), None);
        }
        let mut structure = bytes(MODIFYING);
        structure[6] = 9;
        assert_eq!(Order::parse(&structure, true), None);
    }
}
