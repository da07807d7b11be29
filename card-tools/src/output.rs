//! Text for people, JSON for programs.

use serde_json::{Value, json};

use crate::error::ToolError;

/// Version of the JSON objects.
pub const SCHEMA_VERSION: u32 = 1;

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
            println!("{value}");
        } else {
            println!("{}", text.trim_end());
        }
    }

    /// A step on the way, for people.
    pub fn step(&self, text: &str) {
        if !self.json {
            eprintln!("{text}");
        }
    }

    /// Something that happened in a command that goes on: one object a line, or text for people.
    pub fn event(&self, mut value: Value, text: &str) {
        if self.json {
            if let Some(object) = value.as_object_mut() {
                object.insert("schema_version".to_owned(), json!(SCHEMA_VERSION));
            }
            println!("{value}");
        } else {
            eprintln!("{text}");
        }
    }

    /// A failure.
    pub fn failure(&self, e: &ToolError) {
        if matches!(e, ToolError::Told) {
            return;
        }
        if self.json {
            let value = json!({
                "schema_version": SCHEMA_VERSION,
                "error": { "code": e.code(), "message": e.to_string() },
            });
            println!("{value}");
        }
        eprintln!("simsync-card: {e}");
    }
}
