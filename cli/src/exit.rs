//! Exit codes, as help and manual show them.

pub use simsync_codes::{Exit, MEANINGS};

/// The table as help and manual show it.
pub fn help() -> String {
    let mut out = String::from("Exit codes:\n");
    for (exit, meaning) in MEANINGS {
        out.push_str(&format!("  {}  {meaning}\n", *exit as u8));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_is_explained_in_order() {
        for (i, (exit, _)) in MEANINGS.iter().enumerate() {
            assert_eq!(*exit as usize, i);
        }
        assert!(help().contains("5  a PIN is wrong"));
    }
}
