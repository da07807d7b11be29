//! Text for people, JSON for programs.

use serde_json::{Value, json};
use simsync_shell::{visible, visible_json, visible_text};

use crate::error::ToolError;

/// Version of the JSON objects.
pub const SCHEMA_VERSION: u32 = 1;

fn print_json(value: &Value) {
    println!("{}", visible_json(&value.to_string()));
}

/// Where results go.
pub struct Output {
    json: bool,
}

impl Output {
    /// JSON or text.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// A result: its JSON, and its text.
    pub fn result(&self, mut value: Value, text: &str) {
        if self.json {
            if let Some(object) = value.as_object_mut() {
                object.insert("schema_version".to_owned(), json!(SCHEMA_VERSION));
            }
            print_json(&value);
        } else {
            println!("{}", visible_text(text.trim_end()));
        }
    }

    /// A step on the way, for people.
    pub fn step(&self, text: &str) {
        if !self.json {
            eprintln!("{}", visible_text(text));
        }
    }

    /// Something that happened in a command that goes on: one object a line, or text for people.
    pub fn event(&self, mut value: Value, text: &str) {
        if self.json {
            if let Some(object) = value.as_object_mut() {
                object.insert("schema_version".to_owned(), json!(SCHEMA_VERSION));
            }
            print_json(&value);
        } else {
            eprintln!("{}", visible_text(text));
        }
    }

    /// Prints a failure to standard error, and with `--json` also as an object to standard output. `Told` prints nothing.
    pub fn failure(&self, e: &ToolError) {
        if matches!(e, ToolError::Told) {
            return;
        }
        if self.json {
            let value = json!({
                "schema_version": SCHEMA_VERSION,
                "error": { "code": e.code(), "message": e.to_string() },
            });
            print_json(&value);
        }
        eprintln!("simsync-card: {}", visible(&e.to_string()));
    }
}
