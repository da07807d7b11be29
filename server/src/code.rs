//! Enrolment codes that this server makes.

use simsync_protocol::enrolment::EnrolmentCode;

/// How long a code is good for, in seconds.
pub const CODE_SECONDS: u64 = 24 * 3600;

/// Draws a code of 128 random bits; fails only if the system gives none.
pub fn random() -> Result<EnrolmentCode, getrandom::Error> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits)?;
    Ok(EnrolmentCode::new(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_codes_are_alike() {
        let (a, b) = (random().unwrap(), random().unwrap());
        assert_ne!(a.to_string(), b.to_string());
        assert_ne!(a.hash(), b.hash());
    }
}
