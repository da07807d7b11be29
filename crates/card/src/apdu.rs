//! Short APDUs (ISO 7816-4, cases 1 to 4), encoded and decoded with length checks.
//!
//! An own encoder: the `apdu` crate 0.4 encodes data of more than 255 bytes wrongly and this one refuses it.

use zeroize::Zeroizing;

/// Longest command data of a short APDU, in bytes.
pub const MAX_DATA: usize = 255;
/// Longest answer of a short APDU, in bytes, without the status word.
pub const MAX_ANSWER: u16 = 256;

const HEADER: usize = 4;

/// A class byte without the number of the logical channel in it (ISO 7816-4, 5.4.1: channels 0 to 3 in the two lowest bits,
/// 4 to 19 in the four lowest and bit 7).
pub fn without_channel(cla: u8) -> u8 {
    if cla & 0x40 == 0 {
        cla & 0xFC
    } else {
        cla & 0xB0
    }
}

/// Bytes or lengths that no short APDU has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApduError {
    /// More than 255 bytes of data.
    #[error("{0} bytes of data do not fit into a short command; it takes {MAX_DATA}")]
    TooLong(usize),
    /// An answer length of 0 or more than 256.
    #[error("a short command cannot ask for {0} bytes; it asks for 1 to {MAX_ANSWER}")]
    BadExpectation(u16),
    /// Fewer than 4 bytes, or lengths that contradict each other.
    #[error("these {0} bytes are no short command")]
    BadCommand(usize),
    /// Fewer than the 2 bytes of a status word.
    #[error("an answer of {0} bytes has no status word")]
    BadResponse(usize),
}

/// A command. Its data is wiped from memory when it is dropped, and never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    header: [u8; HEADER],
    data: Zeroizing<Vec<u8>>,
    /// 1 to 256, or none: no answer is wanted beyond the status word.
    expected: Option<u16>,
}

impl Command {
    /// Class, instruction, P1, P2; no data, no answer wanted (case 1).
    pub fn new(cla: u8, ins: u8, p1: u8, p2: u8) -> Self {
        Self {
            header: [cla, ins, p1, p2],
            data: Zeroizing::new(Vec::new()),
            expected: None,
        }
    }

    /// With data of 0 to 255 bytes; none at all is the same as 0.
    pub fn with_data(mut self, data: &[u8]) -> Result<Self, ApduError> {
        if data.len() > MAX_DATA {
            return Err(ApduError::TooLong(data.len()));
        }
        self.data = Zeroizing::new(data.to_vec());
        Ok(self)
    }

    /// Wants an answer of 1 to 256 bytes.
    pub fn expecting(mut self, length: u16) -> Result<Self, ApduError> {
        if length == 0 || length > MAX_ANSWER {
            return Err(ApduError::BadExpectation(length));
        }
        self.expected = Some(length);
        Ok(self)
    }

    /// Wants an answer of any length (Le = 00).
    pub fn expecting_any(mut self) -> Self {
        self.expected = Some(MAX_ANSWER);
        self
    }

    /// Class, instruction, P1, P2.
    pub fn header(&self) -> [u8; HEADER] {
        self.header
    }

    /// The data, 0 to 255 bytes.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// How many bytes of answer are wanted, if any.
    pub fn expected(&self) -> Option<u16> {
        self.expected
    }

    /// The bytes for the reader.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Reserved at once: a vector that grows leaves copies of a PIN behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(HEADER + 2 + self.data.len()));
        bytes.extend_from_slice(&self.header);
        if let Ok(length @ 1..) = u8::try_from(self.data.len()) {
            bytes.push(length);
            bytes.extend_from_slice(&self.data);
        }
        if let Some(expected) = self.expected {
            // 256 is written as 0.
            bytes.push(expected.to_be_bytes()[1]);
        }
        bytes
    }

    /// Reads the bytes of a short command back.
    pub fn decode(bytes: &[u8]) -> Result<Self, ApduError> {
        let bad = || ApduError::BadCommand(bytes.len());
        let (header, body) = bytes.split_first_chunk::<HEADER>().ok_or_else(bad)?;
        let mut command = Self::new(header[0], header[1], header[2], header[3]);
        match *body {
            [] => {}
            [expected] => command.expected = Some(expectation(expected)),
            // A zero here would begin an extended length.
            [0, ..] => return Err(bad()),
            [length, ref rest @ ..] => {
                let (data, tail) = rest.split_at_checked(length.into()).ok_or_else(bad)?;
                command.data = Zeroizing::new(data.to_vec());
                command.expected = match *tail {
                    [] => None,
                    [expected] => Some(expectation(expected)),
                    _ => return Err(bad()),
                };
            }
        }
        Ok(command)
    }
}

fn expectation(byte: u8) -> u16 {
    if byte == 0 { MAX_ANSWER } else { byte.into() }
}

/// The header and lengths; never data.
impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [cla, ins, p1, p2] = self.header;
        write!(f, "{cla:02X} {ins:02X} {p1:02X} {p2:02X}")?;
        if !self.data.is_empty() {
            write!(f, " [{} bytes]", self.data.len())?;
        }
        if let Some(expected) = self.expected {
            write!(f, " Le={expected}")?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Command({self})")
    }
}

/// An answer: data and status word. The data is wiped from memory when it is dropped, and never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The data, without the status word.
    pub data: Zeroizing<Vec<u8>>,
    /// The status word.
    pub sw: u16,
}

impl Response {
    /// Splits what the reader gave into data and status word.
    pub fn decode(bytes: &[u8]) -> Result<Self, ApduError> {
        let (data, sw) = bytes
            .split_last_chunk::<2>()
            .ok_or(ApduError::BadResponse(bytes.len()))?;
        Ok(Self {
            data: Zeroizing::new(data.to_vec()),
            sw: u16::from_be_bytes(*sw),
        })
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Response([{} bytes] {:04X})", self.data.len(), self.sw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_four_cases_by_hand() {
        let case1 = Command::new(0x00, 0x20, 0, 0x81);
        assert_eq!(*case1.encode(), [0x00, 0x20, 0, 0x81]);
        let case2 = case1.clone().expecting(16).unwrap();
        assert_eq!(*case2.encode(), [0x00, 0x20, 0, 0x81, 16]);
        let case3 = case1.clone().with_data(&[7, 8]).unwrap();
        assert_eq!(*case3.encode(), [0x00, 0x20, 0, 0x81, 2, 7, 8]);
        let case4 = case3.clone().expecting_any();
        assert_eq!(*case4.encode(), [0x00, 0x20, 0, 0x81, 2, 7, 8, 0]);
    }

    #[test]
    fn lengths_outside_the_limits_are_refused() {
        let command = Command::new(0x80, 0x10, 0, 0);
        assert_eq!(
            command.clone().with_data(&[0; 256]),
            Err(ApduError::TooLong(256))
        );
        assert!(command.clone().with_data(&[0; 255]).is_ok());
        assert_eq!(
            command.clone().expecting(0),
            Err(ApduError::BadExpectation(0))
        );
        assert_eq!(
            command.clone().expecting(257),
            Err(ApduError::BadExpectation(257))
        );
        assert!(command.expecting(256).is_ok());
        assert_eq!(Response::decode(&[]), Err(ApduError::BadResponse(0)));
        assert_eq!(Response::decode(&[0x90]), Err(ApduError::BadResponse(1)));
    }

    #[test]
    fn a_channel_is_taken_out_of_the_class_and_nothing_else() {
        for (cla, basic) in [
            (0x00, 0x00),
            (0x03, 0x00),
            (0x4F, 0x00),
            (0x80, 0x80),
            (0x82, 0x80),
            (0xC5, 0x80),
            // Secure messaging, chaining, and both on higher channels.
            (0x04, 0x04),
            (0x0D, 0x0C),
            (0x10, 0x10),
            (0x61, 0x20),
            (0x50, 0x10),
            (0xA0, 0xA0),
        ] {
            assert_eq!(without_channel(cla), basic, "{cla:02X}");
        }
    }

    #[test]
    fn data_is_never_shown() {
        let command = Command::new(0x00, 0x20, 0, 0x81)
            .with_data(b"12345678")
            .unwrap();
        let shown = format!("{command} {command:?}");
        assert!(shown.contains("8 bytes") && !shown.contains("31"));
        let response = Response::decode(&[0xAB, 0xCD, 0x90, 0x00]).unwrap();
        let shown = format!("{response:?}");
        assert_eq!(shown, "Response([2 bytes] 9000)");
    }

    proptest! {
        #[test]
        fn every_command_comes_back(
            header in any::<[u8; 4]>(),
            data in proptest::collection::vec(any::<u8>(), 0..=MAX_DATA),
            expected in proptest::option::of(1..=MAX_ANSWER),
        ) {
            let [cla, ins, p1, p2] = header;
            let mut command = Command::new(cla, ins, p1, p2).with_data(&data).unwrap();
            if let Some(expected) = expected {
                command = command.expecting(expected).unwrap();
            }
            let bytes = command.encode();

            // ISO 7816-4: header; Lc and data if there is data; Le if an answer is wanted.
            let lc = if data.is_empty() { 0 } else { 1 + data.len() };
            prop_assert_eq!(bytes.len(), 4 + lc + usize::from(expected.is_some()));
            prop_assert_eq!(&bytes[..4], &header);
            if !data.is_empty() {
                prop_assert_eq!(usize::from(bytes[4]), data.len());
                prop_assert_eq!(&bytes[5..5 + data.len()], &data[..]);
            }
            if let Some(expected) = expected {
                let le = u16::from(*bytes.last().unwrap());
                prop_assert_eq!(if le == 0 { 256 } else { le }, expected);
            }
            prop_assert_eq!(Command::decode(&bytes).unwrap(), command);
        }

        #[test]
        fn data_that_is_too_long_is_refused(extra in 1usize..4096) {
            let data = vec![0; MAX_DATA + extra];
            prop_assert!(Command::new(0, 0, 0, 0).with_data(&data).is_err());
        }

        #[test]
        fn any_bytes_decode_to_themselves_or_not_at_all(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(command) = Command::decode(&bytes) {
                prop_assert_eq!(&*command.encode(), &bytes);
            }
        }

        #[test]
        fn responses_split_before_the_last_two_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            match Response::decode(&bytes) {
                Ok(response) => {
                    prop_assert_eq!(&response.data[..], &bytes[..bytes.len() - 2]);
                    prop_assert_eq!(&response.sw.to_be_bytes()[..], &bytes[bytes.len() - 2..]);
                }
                Err(error) => prop_assert_eq!(error, ApduError::BadResponse(bytes.len())),
            }
        }
    }
}
