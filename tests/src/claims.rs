//! What a terminal claims about the data, at the shell and on the bus: for tests that no claim is false.

use serde_json::Value;

use crate::demo::Person;
use crate::rig::{Result, Secrets, Terminal, program};

/// Exit code of a command that did its work and left something that is not in sync.
pub const PARTIAL: i32 = 10;

/// Sentences that must not be said while something is not in sync.
const CLAIMS: [&str; 3] = [
    "everything is in sync",
    "everything is uploaded",
    "✓ in sync",
];
/// What a line begins with that says so after a sync.
const CLAIMING_LINE: &str = "in sync: ";

/// `simsync …` without `--json`: its exit code and all that it says.
pub fn said(t: &Terminal, args: &[&str]) -> Result<(i32, String)> {
    let out = t
        .inside(&program("simsync")?)
        .arg("--bus")
        .arg(t.bus_address())
        .args(args)
        .args(["--timeout", "90"])
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    let text = [out.stdout, out.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok((out.status.code().unwrap_or(-1), text))
}

/// An error if a text says that all is well.
pub fn claims_nothing(text: &str) -> Result<()> {
    let lower = text.to_lowercase();
    let claimed = CLAIMS.iter().any(|c| lower.contains(c))
        || lower.lines().any(|l| l.starts_with(CLAIMING_LINE));
    if claimed {
        return Err(format!("it says that all is in sync:\n{text}"));
    }
    Ok(())
}

/// An error if the status, `simsync status` or `simsync doctor` says that all is well. Answers the status.
pub fn not_in_sync(t: &Terminal) -> Result<Value> {
    let status = t.status()?;
    let word = status["state"].as_str().unwrap_or_default();
    if matches!(word, "synced" | "closed") {
        return Err(format!("the state is {word}: {status}"));
    }
    for command in ["status", "doctor"] {
        claims_nothing(&said(t, &[command])?.1)?;
    }
    Ok(status)
}

/// What `status` lists as not in sync: code, collection and path, sorted.
pub fn listed(status: &Value) -> Vec<(String, String, String)> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let rows = status["outstanding"].as_array();
    let mut rows: Vec<_> = rows
        .into_iter()
        .flatten()
        .map(|r| (text(&r["code"]), text(&r["collection"]), text(&r["path"])))
        .collect();
    rows.sort();
    rows
}

/// The same rows, for comparison.
pub fn rows(of: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    let mut rows: Vec<_> = of
        .iter()
        .map(|(code, collection, path)| {
            (
                (*code).to_owned(),
                (*collection).to_owned(),
                (*path).to_owned(),
            )
        })
        .collect();
    rows.sort();
    rows
}

/// Types the PIN; what the data is like then is the caller's matter.
pub fn open(t: &Terminal, person: &Person) -> Result<()> {
    t.simsync(&["unlock"], &person.secrets())?
        .ok("simsync unlock")?;
    Ok(())
}

/// `simsync …`, which has to end with this exit code; answers what it says.
pub fn ends_with(t: &Terminal, args: &[&str], code: i32) -> Result<String> {
    let (ended, text) = said(t, args)?;
    if ended == code {
        Ok(text)
    } else {
        Err(format!(
            "simsync {} ended with {ended} instead of {code}:\n{text}\n{}",
            args.join(" "),
            crate::scene::tell(t)
        ))
    }
}

/// `simsync collections add`, of a folder beside the terminal's first one.
pub fn add_folder(t: &Terminal, person: &Person, name: &str) -> Result<std::path::PathBuf> {
    let folder = t.data.with_file_name(name);
    std::fs::create_dir(&folder).map_err(|e| e.to_string())?;
    let path = folder.to_string_lossy();
    t.simsync(
        &["collections", "add", name, &path],
        &Secrets::give("--pin-fd", &person.pin),
    )?
    .ok("simsync collections add")?;
    Ok(folder)
}
