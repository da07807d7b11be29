//! Names for versions that are kept aside.

use simsync_sync::node::RelPath;

/// Longest part of an extension that is kept, in bytes.
const EXTENSION_MAX: usize = 64;

/// `report.txt` → `report (conflict, LABEL).txt`, then `(conflict 2, LABEL)` and so on.
pub fn conflict_name(path: &RelPath, label: &str, attempt: u32) -> Option<RelPath> {
    let name = path.name();
    let dot = name
        .iter()
        .rposition(|b| *b == b'.')
        .filter(|i| *i > 0)
        .unwrap_or(name.len());
    let (stem, extension) = name.split_at(dot);
    let number = if attempt == 0 {
        String::new()
    } else {
        format!(" {}", attempt + 1)
    };
    let label: String = label
        .chars()
        .map(|c| if c == '/' || c == '\0' { '_' } else { c })
        .take(40)
        .collect();
    let mark = format!(" (conflict{number}, {label})");
    let room = 255usize.checked_sub(mark.len() + extension.len().min(EXTENSION_MAX))?;
    let extension = simsync_shell::cut(extension, EXTENSION_MAX);
    let mut new = simsync_shell::cut(stem, room).to_vec();
    new.extend_from_slice(mark.as_bytes());
    new.extend_from_slice(extension);
    path.with_name(&new).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_g3_long_names_are_cut_between_letters() {
        for name in [
            "ä".repeat(127),
            format!("{}.txt", "日".repeat(80)),
            format!("a.{}", "é".repeat(60)),
            format!("x{}", "👨".repeat(63)),
        ] {
            let path = RelPath::new(name.clone().into_bytes()).unwrap();
            for attempt in [0, 1, 99] {
                let aside = conflict_name(&path, "Küche", attempt).unwrap();
                assert!(std::str::from_utf8(aside.name()).is_ok(), "{name}: {aside}");
                assert!(aside.name().len() <= 255);
            }
        }
    }
}
