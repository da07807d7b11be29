//! Arguments from the bus, bounded before anything is done with them.

use std::collections::HashMap;

use zbus::OwnedVariant;

use super::error::{BusError, BusResult};

/// Longest label of a terminal, in bytes; what is longer than the card keeps is shortened later.
pub const LABEL_MAX: usize = 64;
/// Longest name of an attribute, in bytes.
pub const ATTRIBUTE_MAX: usize = 64;
/// Longest name of a collection, in bytes.
pub const NAME_MAX: usize = 800;
/// Longest path of a folder, in bytes.
pub const PATH_MAX: usize = 4096;
/// Longest way to name a terminal, in bytes.
pub const TERMINAL_MAX: usize = 128;
/// Longest object path of an agent, in bytes.
pub const OBJECT_PATH_MAX: usize = 255;
/// Most entries of the log that are given at once.
pub const LOG_MAX: u32 = 10_000;

/// Options by name, as `a{sv}` brings them.
pub type Options = HashMap<String, OwnedVariant>;

/// A line of text of at most `max` bytes.
pub fn line<'a>(what: &str, text: &'a str, max: usize) -> BusResult<&'a str> {
    if text.len() > max {
        return Err(BusError::bad_argument(format!(
            "{what} has {} bytes; at most {max} are taken",
            text.len()
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(BusError::bad_argument(format!(
            "{what} holds control characters; leave them out"
        )));
    }
    Ok(text)
}

/// The same, and not empty.
pub fn some_line<'a>(what: &str, text: &'a str, max: usize) -> BusResult<&'a str> {
    if text.trim().is_empty() {
        return Err(BusError::bad_argument(format!("{what} is empty; give one")));
    }
    line(what, text, max)
}

/// A path: bounded and not empty; whether it is of use is for the service to say.
pub fn path<'a>(what: &str, text: &'a str) -> BusResult<&'a str> {
    if text.is_empty() || text.len() > PATH_MAX || text.contains('\0') {
        return Err(BusError::bad_argument(format!(
            "{what} must have 1 to {PATH_MAX} bytes"
        )));
    }
    Ok(text)
}

/// Takes an option out, if it is there and of the right type.
fn take<T>(options: &mut Options, name: &str, wanted: &str) -> BusResult<Option<T>>
where
    T: TryFrom<OwnedVariant>,
{
    match options.remove(name) {
        None => Ok(None),
        Some(value) => T::try_from(value)
            .map(Some)
            .map_err(|_| BusError::bad_argument(format!("the option {name} must be a {wanted}"))),
    }
}

/// Takes a yes or no out; no if it is not there.
pub fn take_bool(options: &mut Options, name: &str) -> BusResult<bool> {
    Ok(take(options, name, "boolean")?.unwrap_or(false))
}

/// Takes a text out; empty if it is not there.
pub fn take_line(options: &mut Options, name: &str, max: usize) -> BusResult<String> {
    let text: String = take(options, name, "string")?.unwrap_or_default();
    line(name, &text, max)?;
    Ok(text)
}

/// What is left over is a mistake of the caller: better said than silently ignored.
pub fn none_left(options: &Options) -> BusResult<()> {
    match options.keys().min() {
        None => Ok(()),
        Some(name) => {
            let shown: String = name.chars().take(40).collect();
            Err(BusError::bad_argument(format!(
                "there is no option {shown}"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::Variant;

    fn options(pairs: &[(&str, Variant<'static>)]) -> Options {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.try_to_owned().unwrap()))
            .collect()
    }

    #[test]
    fn lines_are_bounded_and_plain() {
        assert!(line("label", &"a".repeat(64), LABEL_MAX).is_ok());
        assert!(line("label", &"a".repeat(65), LABEL_MAX).is_err());
        assert!(line("label", "a\nb", LABEL_MAX).is_err());
        assert!(some_line("name", "  ", NAME_MAX).is_err());
        assert!(path("folder", "").is_err());
        assert!(path("folder", &"a".repeat(5000)).is_err());
    }

    #[test]
    fn options_have_types_and_no_strangers() {
        let mut good = options(&[("review", Variant::from(true))]);
        assert!(take_bool(&mut good, "review").unwrap());
        assert!(!take_bool(&mut good, "review").unwrap());
        none_left(&good).unwrap();
        let mut wrong = options(&[("review", Variant::from("yes"))]);
        assert!(take_bool(&mut wrong, "review").is_err());
        assert!(none_left(&options(&[("revue", Variant::from(true))])).is_err());
    }
}
