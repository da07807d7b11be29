//! What was checked, and what was found.

use serde::Serialize;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// It is as it must be.
    Ok,
    /// It works, and not for long or not well.
    Warning,
    /// It does not work.
    Failed,
    /// Nothing could be found out.
    Unknown,
}

/// What one check found, as `--json` shows it too.
#[derive(Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    pub finding: Finding,
    /// The same in words.
    pub sentence: String,
    /// What a person can do about it, if anything.
    pub remedy: Option<&'static str>,
}

/// The checks so far.
#[derive(Debug, Default)]
pub struct Checks(pub Vec<Check>);

impl Checks {
    /// It is as it must be.
    pub fn ok(&mut self, name: &'static str, sentence: impl Into<String>) {
        self.add(name, Finding::Ok, sentence, None);
    }

    /// Any finding.
    pub fn add(
        &mut self,
        name: &'static str,
        finding: Finding,
        sentence: impl Into<String>,
        remedy: Option<&'static str>,
    ) {
        self.0.push(Check {
            name,
            finding,
            sentence: sentence.into(),
            remedy,
        });
    }

    /// It does not work, and this helps.
    pub fn failed(
        &mut self,
        name: &'static str,
        sentence: impl Into<String>,
        remedy: &'static str,
    ) {
        self.add(name, Finding::Failed, sentence, Some(remedy));
    }

    /// Text for people: a sign and a sentence for each check, with its remedy on a line below.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for check in &self.0 {
            let sign = match check.finding {
                Finding::Ok => "✓",
                Finding::Warning => "!",
                Finding::Failed => "✗",
                Finding::Unknown => "?",
            };
            out.push_str(&format!("{sign} {}: {}\n", check.name, check.sentence));
            if let Some(remedy) = check.remedy {
                out.push_str(&format!("    {remedy}\n"));
            }
        }
        out
    }
}
