//! `lock-info`: what a card tells about its locks to anybody.

use std::fmt::Write;

use serde_json::{Value, json};
use simsync_globalplatform::card_data::{CardData, KeyInformation, ProductionData};
use simsync_globalplatform::domain;
use simsync_globalplatform::session::{Challenge, initialize_update};

use crate::error::ToolError;
use crate::output::Output;
use crate::{keys, reader};

/// Shows it. INITIALIZE UPDATE asks the card to prove something and proves nothing to it.
pub fn run(wanted: Option<&str>, key_version: u8, out: &Output) -> Result<(), ToolError> {
    let mut card = reader::connect(wanted)?;
    let mut taken = reader::take(&mut card)?;
    let found = domain::select_issuer_domain(&mut taken)?;
    let production = domain::production_data(&mut taken)?;
    let key_list = domain::key_information(&mut taken)?;
    let memory = domain::free_memory(&mut taken)?;
    let challenge = initialize_update(&mut taken, key_version, &keys::host_challenge());

    let mut text = format!(
        "Card manager  {}\nLocked        {}\n",
        found.aid,
        if found.locked { "yes" } else { "no" }
    );
    let mut value = json!({
        "domain": found.aid.to_string(),
        "locked": found.locked,
        "card_data": card_data(found.card_data.as_ref(), &mut text),
        "keys": key_values(&key_list, &mut text),
        "production": production.as_ref().map(|p| production_value(p, &mut text)),
        "free_persistent": memory.map(|m| m.persistent),
        "free_transient": memory.map(|m| m.transient),
        "authenticated": false,
    });
    if let Some(memory) = memory {
        let _ = writeln!(
            text,
            "Free memory   {} bytes persistent, {} transient",
            memory.persistent, memory.transient
        );
    }
    match challenge {
        Ok(c) => value["initialize_update"] = challenge_value(&c, &mut text),
        Err(e) if e.transport().is_some() => return Err(e.into()),
        Err(e) => {
            let _ = writeln!(text, "Keys in use   {e}");
            value["initialize_update"] = json!({ "error": e.to_string() });
        }
    }
    text.push_str("No authentication was attempted; no try was spent.\n");
    out.result(value, &text);
    Ok(())
}

fn card_data(data: Option<&CardData>, text: &mut String) -> Value {
    let Some(data) = data else {
        return Value::Null;
    };
    let protocols: Vec<String> = data.protocols.iter().map(ToString::to_string).collect();
    if let Some(version) = &data.version {
        let _ = writeln!(text, "GlobalPlatform {version}");
    }
    let _ = writeln!(text, "Protocols     {}", protocols.join(", "));
    json!({ "version": data.version, "protocols": protocols })
}

fn key_values(keys: &[KeyInformation], text: &mut String) -> Vec<Value> {
    keys.iter()
        .map(|k| {
            let _ = writeln!(
                text,
                "Key           version {:02X}, number {}: {}, {} bytes",
                k.version,
                k.id,
                k.kind_name(),
                k.length
            );
            json!({
                "version": format!("{:02X}", k.version),
                "id": k.id,
                "type": k.kind_name(),
                "bytes": k.length,
            })
        })
        .collect()
}

fn production_value(data: &ProductionData, text: &mut String) -> Value {
    let _ = writeln!(
        text,
        "Chip          fabricator {:04X}, type {:04X}, system {:04X}, serial {:08X}",
        data.fabricator(),
        data.chip(),
        data.operating_system(),
        data.serial()
    );
    json!({
        "fabricator": format!("{:04X}", data.fabricator()),
        "type": format!("{:04X}", data.chip()),
        "system": format!("{:04X}", data.operating_system()),
        "serial": format!("{:08X}", data.serial()),
        "cplc": hex::encode_upper(data.bytes),
    })
}

fn challenge_value(c: &Challenge, text: &mut String) -> Value {
    let variant = c.i.map(|i| format!("{i:02X}"));
    let data = hex::encode_upper(c.diversification_data);
    let _ = writeln!(
        text,
        "Keys in use   version {:02X}, SCP{:02X}{}",
        c.key_version,
        c.scp,
        variant
            .as_ref()
            .map_or(String::new(), |i| format!(" i={i}"))
    );
    let _ = writeln!(text, "Diversification data  {data}");
    if let Some(counter) = c.counter {
        let _ = writeln!(text, "Counter       {counter}");
    }
    json!({
        "key_version": format!("{:02X}", c.key_version),
        "scp": format!("{:02X}", c.scp),
        "i": variant,
        "diversification_data": data,
        "counter": c.counter,
    })
}
