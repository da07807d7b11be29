//! `list`: the card's registry.

use std::fmt::Write;

use serde_json::{Value, json};
use simsync_globalplatform::domain;
use simsync_globalplatform::registry::{
    Entry, Registry, application_state_name, card_state_name, privilege_names,
};
use simsync_globalplatform::session::open_domain;

use crate::cli::Keys;
use crate::error::ToolError;
use crate::keys::{Source, host_challenge};
use crate::output::Output;
use crate::reader;

/// Authenticates with the card manager's keys, then prints the registry, and the free memory if the card tells it.
pub fn run(wanted: Option<&str>, args: &Keys, out: &Output) -> Result<(), ToolError> {
    let mut source = Source::open(args, out)?;
    let mut card = reader::connect(wanted)?;
    let access = source.get()?;
    let mut taken = reader::take(&mut card)?;
    let (found, mut session) = open_domain(&mut taken, &access, &host_challenge())?;
    let registry = Registry::read(&mut session)?;
    let channel = format!("{}, {}", session.scp(), session.level());
    // The channel is not needed any more; objects of the domain are read without it.
    drop(session);
    domain::select_issuer_domain(&mut taken)?;
    let memory = domain::free_memory(&mut taken)?;

    let state = registry.domain.as_ref().map(|d| card_state_name(d.state));
    let mut text = format!(
        "Card manager  {}  {}\n",
        found.aid,
        state.unwrap_or("its state is not told")
    );
    let applications: Vec<Value> = registry
        .applications
        .iter()
        .map(|e| entry(e, "Application", application_state_name(e.state), &mut text))
        .collect();
    let load_files: Vec<Value> = registry
        .load_files
        .iter()
        .map(|e| entry(e, "Load file", "LOADED", &mut text))
        .collect();
    if let Some(memory) = memory {
        let _ = writeln!(
            text,
            "Free memory   {} bytes persistent, {} transient",
            memory.persistent, memory.transient
        );
    }
    out.result(
        json!({
            "domain": found.aid.to_string(),
            "card_state": state,
            "channel": channel,
            "applications": applications,
            "load_files": load_files,
            "free_persistent": memory.map(|m| m.persistent),
            "free_transient": memory.map(|m| m.transient),
        }),
        &text,
    );
    Ok(())
}

fn entry(e: &Entry, kind: &str, state: &str, text: &mut String) -> Value {
    let privileges = privilege_names(&e.privileges);
    let version = e.version.map(|(major, minor)| format!("{major}.{minor}"));
    let _ = write!(text, "{kind:<12}  {}  {state}", e.aid);
    if let Some(name) = e.aid.our_name() {
        let _ = write!(text, "  ({name})");
    }
    if let Some(version) = &version {
        let _ = write!(text, "  version {version}");
    }
    if !privileges.is_empty() {
        let _ = write!(text, "  {}", privileges.join(", "));
    }
    text.push('\n');
    for module in &e.modules {
        let _ = writeln!(text, "  module      {module}");
    }
    json!({
        "aid": e.aid.to_string(),
        "name": e.aid.our_name(),
        "state": state,
        "state_byte": format!("{:02X}", e.state),
        "privileges": privileges,
        "load_file": e.load_file.as_ref().map(ToString::to_string),
        "version": version,
        "modules": e.modules.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
