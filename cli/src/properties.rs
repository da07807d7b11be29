//! Properties as the bus gives them.

use std::collections::HashMap;

use zbus::OwnedVariant;

/// Properties by name.
pub type Properties = HashMap<String, OwnedVariant>;

/// A property; its type's default if it is missing or of another type.
pub fn get<T>(properties: &Properties, name: &str) -> T
where
    T: TryFrom<OwnedVariant> + Default,
{
    properties
        .get(name)
        .cloned()
        .and_then(|v| T::try_from(v).ok())
        .unwrap_or_default()
}

/// A text; empty if there is none.
pub fn text(p: &Properties, name: &str) -> String {
    get(p, name)
}

/// A text that is not empty.
pub fn some_text(p: &Properties, name: &str) -> Option<String> {
    Some(text(p, name)).filter(|t| !t.is_empty())
}

/// Yes, no, or unknown.
pub fn known(p: &Properties, name: &str) -> Option<bool> {
    match text(p, name).as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// A pair out of a property.
pub fn pair(properties: &Properties, name: &str) -> Option<(String, String)> {
    let value = properties.get(name).cloned()?;
    let (code, sentence) = <(String, String)>::try_from(value).ok()?;
    (!code.is_empty()).then_some((code, sentence))
}
