//! 32 secret bytes on the heap: moving them moves a pointer, so that wiping them once wipes them everywhere.

use zeroize::Zeroize;

/// Wiped when dropped. Clones are wiped when they are dropped.
#[derive(Clone)]
pub struct Secret32(Box<[u8; 32]>);

impl Secret32 {
    /// Zeros, to be written in place.
    pub fn zeros() -> Self {
        Self(Box::new([0; 32]))
    }

    /// A copy of bytes that the caller wipes.
    pub fn copy_of(bytes: &[u8; 32]) -> Self {
        let mut out = Self::zeros();
        out.0.copy_from_slice(bytes);
        out
    }

    /// The bytes, to be written in place.
    pub fn bytes_mut(&mut self) -> &mut [u8; 32] {
        &mut self.0
    }
}

impl std::ops::Deref for Secret32 {
    type Target = [u8; 32];
    fn deref(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Drop for Secret32 {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Secret32 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret32(..)")
    }
}
