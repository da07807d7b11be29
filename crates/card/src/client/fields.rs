//! Reads the fields of an answer in order, with bounds checks.

use super::error::CardError;
use crate::sign::Sig;

/// What is left of an answer.
pub(crate) struct Fields<'a> {
    command: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The command is for the error's sentence.
    pub(crate) fn new(command: &'static str, answer: &'a [u8]) -> Self {
        Self {
            command,
            rest: answer,
        }
    }

    /// The error for an answer that is not what docs/card.md says.
    pub(crate) fn malformed(&self, what: &'static str) -> CardError {
        CardError::Answer {
            command: self.command,
            what,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next bytes.
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], CardError> {
        let (field, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| self.malformed("it ends too early"))?;
        self.rest = rest;
        Ok(field)
    }

    /// The next N bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], CardError> {
        let field = self.take(N)?;
        field
            .try_into()
            .map_err(|_| self.malformed("it ends too early"))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, CardError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, CardError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, CardError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, CardError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// One length byte and that many bytes.
    pub(crate) fn lv(&mut self) -> Result<&'a [u8], CardError> {
        let length = self.u8()?;
        self.take(length.into())
    }

    /// An LV field that is text of at most so many bytes.
    pub(crate) fn text(&mut self, at_most: usize) -> Result<String, CardError> {
        let bytes = self.lv()?;
        if bytes.len() > at_most {
            return Err(self.malformed("a text in it is too long"));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(self.malformed("a text in it is not UTF-8")),
        }
    }

    /// An LV field that is a signature. Only its length is checked.
    pub(crate) fn signature(&mut self) -> Result<Sig, CardError> {
        let der = self.lv()?;
        Sig::from_der(der).map_err(|_| self.malformed("a signature in it has an impossible length"))
    }

    /// Ends the answer.
    pub(crate) fn end(self) -> Result<(), CardError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.malformed("it is too long"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(bytes: &[u8]) -> Fields<'_> {
        Fields::new("TEST", bytes)
    }

    #[test]
    fn fields_come_in_order() {
        let mut answer = fields(&[
            1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 2, b'h', b'i', 9,
        ]);
        assert_eq!(answer.u8().unwrap(), 1);
        assert_eq!(answer.u16().unwrap(), 2);
        assert_eq!(answer.u32().unwrap(), 3);
        assert_eq!(answer.u64().unwrap(), 4);
        assert_eq!(answer.text(2).unwrap(), "hi");
        assert!(!answer.is_empty());
        assert!(answer.end().is_err());
    }

    #[test]
    fn bad_fields_are_refused() {
        assert!(fields(&[3, 1, 2]).lv().is_err());
        assert!(fields(&[]).lv().is_err());
        assert!(fields(&[2, b'h', b'i']).text(1).is_err());
        assert!(fields(&[1, 0xFF]).text(9).is_err());
        assert!(fields(&[7, 0, 0, 0, 0, 0, 0, 0]).signature().is_err());
        let mut long = vec![73];
        long.extend([0; 73]);
        assert!(fields(&long).signature().is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), which in 0u8..6) {
            let mut answer = fields(&bytes);
            for _ in 0..10 {
                let _ = match which {
                    0 => answer.u8().map(drop),
                    1 => answer.u32().map(drop),
                    2 => answer.u64().map(drop),
                    3 => answer.text(32).map(drop),
                    4 => answer.signature().map(drop),
                    _ => answer.array::<65>().map(drop),
                };
            }
        }
    }
}
