//! Application identifiers (ISO 7816-4, 8.2.1.2).

use simsync_card::client::{APPLET_AID, PACKAGE_AID};

const SHORTEST: usize = 5;
const LONGEST: usize = 16;

/// An AID, 5 to 16 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Aid(Vec<u8>);

impl Aid {
    /// From its bytes; none outside 5 to 16 of them.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (SHORTEST..=LONGEST)
            .contains(&bytes.len())
            .then(|| Self(bytes.to_vec()))
    }

    /// The identifier's 5 to 16 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The simsync package, which is also its load file.
    pub fn our_package() -> Self {
        Self(PACKAGE_AID.to_vec())
    }

    /// The simsync applet, module and instance.
    pub fn our_applet() -> Self {
        Self(APPLET_AID.to_vec())
    }

    /// What it is called here, if it is one of ours.
    pub fn our_name(&self) -> Option<&'static str> {
        if self.0 == PACKAGE_AID {
            Some("simsync package")
        } else if self.0 == APPLET_AID {
            Some("simsync applet")
        } else {
            None
        }
    }
}

/// Upper-case hexadecimal.
impl std::fmt::Display for Aid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode_upper(&self.0))
    }
}

impl std::fmt::Debug for Aid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Aid({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aids_have_5_to_16_bytes() {
        for (length, fits) in [(0, false), (4, false), (5, true), (16, true), (17, false)] {
            assert_eq!(Aid::new(&vec![0xA0; length]).is_some(), fits, "{length}");
        }
        assert_eq!(Aid::our_applet().to_string(), "F053494D53594E4301");
        assert_eq!(Aid::our_package().our_name(), Some("simsync package"));
        assert_eq!(Aid::new(&[0xA0; 7]).unwrap().our_name(), None);
    }
}
