//! A server, a card, two terminals, one yank in the middle of an upload, and back.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::report::{Handover, Report};
use super::steps::{
    Person, add_collection, eject, insert, install, pair, provision, provision_inserted, pull,
    unlock,
};
use crate::rig::{Result, Rig, Secrets, Terminal, mark, packs_below, wait_for};
use crate::tree;

/// Files that are changed before the yank.
const CHANGES: usize = 100;
/// Bytes of a changed file, on average: large enough for several packs.
const CHANGED_SIZE: usize = 24 << 10;
/// The upload is held after this many packs.
const HOLD_AFTER: usize = 3;
/// Size of a pack here: small, so that the yank finds some sent and some not.
const PACK_TARGET: usize = 128 << 10;
const DATA_LIMIT: u64 = 64 << 20;

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Fills the folder with files of this machine, or of `DEMO_DATA`.
fn own_files(to: &Path, seed: u64) -> Result<tree::Size> {
    if let Some(dir) = std::env::var_os("DEMO_DATA") {
        return tree::copy(Path::new(&dir), to, u64::MAX);
    }
    let mut size = tree::Size::default();
    for source in [
        "/usr/share/doc",
        "/usr/share/perl",
        "/usr/share/zoneinfo",
        "/usr/include",
        "/usr/share/common-licenses",
    ] {
        let source = PathBuf::from(source);
        if source.is_dir() && (size.files < 2500 || size.bytes < 24 << 20) {
            let name = source.file_name().map(PathBuf::from).unwrap_or_default();
            let more = tree::copy(&source, &to.join(name), DATA_LIMIT)?;
            size.files += more.files;
            size.bytes += more.bytes;
        }
    }
    if size.files < 2000 || size.bytes < 20 << 20 {
        // A minimal machine has few files of its own: the rest is made.
        let more = tree::fill(&to.join("made"), 2200, 12 << 10, seed)?;
        size.files += more.files;
        size.bytes += more.bytes;
    }
    Ok(size)
}

/// Runs the story.
pub fn run(report: &mut Report, seed: u64) -> Result<()> {
    let mut rig = Rig::start()?;
    report.step("server", "is made and serves", "mutual TLS 1.3, its own CA");
    let small_packs = serde_json::json!({ "pack_target": PACK_TARGET });
    let (a, b) = (
        rig.terminal_with("A", &small_packs)?,
        rig.terminal_with("B", &small_packs)?,
    );
    report.step(
        "A, B",
        "are started",
        "each with its own pcscd, session bus and daemon",
    );

    let secret = install(&mut rig, &a, "card-1")?;
    report.step(
        "desk",
        "a blank card gets the applet",
        "GlobalPlatform, SCP03",
    );
    let mut anna = provision_inserted(&rig, &a, "card-1", &secret)?;
    pull(&mut rig, &a, &anna)?;
    report.step(
        "desk",
        "it is provisioned",
        format!("subscriber {}", anna.subscriber),
    );
    insert(&mut rig, &a, &anna)?;
    pair(&a, &mut anna, true)?;
    report.step(
        "A",
        "is paired",
        "PIN changed, vault made, recovery code written down",
    );
    unlock(&a, &anna)?;

    let size = own_files(&a.data, seed)?;
    report.data(size);
    report.step(
        "A",
        "gets files of this machine",
        format!("{} files, {}", size.files, megabytes(size.bytes)),
    );
    add_collection(&a, &anna, "Documents")?;
    report.step(
        "A",
        "has uploaded them",
        "sealed on A; the server sees ciphertext",
    );
    eject(&mut rig, &a, &anna)?;

    insert(&mut rig, &b, &anna)?;
    pair(&b, &mut anna, false)?;
    unlock(&b, &anna)?;
    add_collection(&b, &anna, "Documents")?;
    let difference = tree::differences(&a.data, &b.data)?;
    report.step(
        "B",
        "is paired and has downloaded them",
        difference.clone().unwrap_or_else(|| "identical".to_owned()),
    );
    if let Some(d) = difference {
        return Err(format!("A and B differ after the first download: {d}"));
    }
    eject(&mut rig, &b, &anna)?;

    yank(&mut rig, report, &a, &b, &anna, seed)?;
    back(&mut rig, report, &a, &b, &anna, seed)?;
    refusals(&mut rig, report, &a, &b, &anna, seed)
}

/// From A to B, yanked in the middle of an upload.
fn yank(
    rig: &mut Rig,
    report: &mut Report,
    a: &Terminal,
    b: &Terminal,
    anna: &Person,
    seed: u64,
) -> Result<()> {
    insert(rig, a, anna)?;
    unlock(a, anna)?;
    report.step("A", "has the card again", "PIN typed");
    let before = rig.server.packs();
    let packs = rig.server.dir.clone();
    a.wire
        .hold_when(move || packs_below(&packs) >= before + HOLD_AFTER);
    let changed = tree::change(&a.data, CHANGES, CHANGED_SIZE, seed)?;
    report.step(
        "person",
        "changes files on A",
        format!("{} files, {}", changed.files, megabytes(changed.bytes)),
    );
    wait_for("the upload to be held", crate::rig::DEADLINE, || {
        a.wire.is_held().then_some(())
    })?;
    report.step(
        "A",
        "uploads",
        format!("held after {} packs", rig.server.packs() - before),
    );
    rig.bridge.eject(&anna.card)?;
    report.step(
        "person",
        "yanks the card out of A",
        "in the middle of the upload",
    );
    a.wait_status("the removal to be seen", |s| {
        mark(s, "removed").is_some() && mark(s, "wiped").is_some()
    })?;
    a.wire.release();
    let status = a.wait_status("the tail to be delivered", |s| {
        mark(s, "tail-delivered") >= mark(s, "removed") && mark(s, "tail-delivered").is_some()
    })?;
    let tail = |key: &str| status["last_tail"][key].as_u64().unwrap_or(0);
    let closed =
        mark(&status, "tail-delivered").unwrap_or(0) - mark(&status, "removed").unwrap_or(0);
    report.step(
        "A",
        "has wiped its keys and sealed the rest",
        format!(
            "{} items, {} of them uploaded before as packs",
            tail("items"),
            tail("referenced")
        ),
    );
    let both_ways = tail("referenced") > 0 && tail("items") > tail("referenced");
    let left = status["last_tail"].to_string();

    arrive(rig, report, (a, b), anna, &changed, closed)?;
    if !both_ways {
        return Err(format!(
            "the changes did not travel both ways, by pack and by tail: {left}"
        ));
    }
    Ok(())
}

/// The card comes to the other terminal: PIN, and everything is there.
fn arrive(
    rig: &mut Rig,
    report: &mut Report,
    (from, to): (&Terminal, &Terminal),
    anna: &Person,
    changed: &tree::Changed,
    closed_ms: i64,
) -> Result<()> {
    let (_, seen) = insert(rig, to, anna)?;
    let what = format!("puts the card into {} and types the PIN", to.name);
    report.step("person", &what, "");
    let status = unlock(to, anna)?;
    let stats = rig.bridge.stats(&anna.card)?;
    let difference = tree::differences(&from.data, &to.data)?;
    let pin_to_synced = since_pin(&status);
    report.step(
        &to.name,
        "has everything",
        difference
            .clone()
            .unwrap_or_else(|| format!("identical, {pin_to_synced} ms after the PIN")),
    );
    report.handover(Handover {
        from: from.name.clone(),
        to: to.name.clone(),
        files: changed.files,
        bytes: changed.bytes,
        removal_to_closed_ms: closed_ms,
        insertion_seen_ms: seen,
        pin_to_synced_ms: pin_to_synced,
        apdus: stats.apdus,
        apdu_bytes: stats.bytes,
        identical: difference.is_none(),
    });
    Ok(())
}

fn since_pin(status: &Value) -> i64 {
    match (mark(status, "synced"), mark(status, "pin")) {
        (Some(synced), Some(pin)) => synced - pin,
        _ => -1,
    }
}

/// Edits on B, `simsync eject`, back into A.
fn back(
    rig: &mut Rig,
    report: &mut Report,
    a: &Terminal,
    b: &Terminal,
    anna: &Person,
    seed: u64,
) -> Result<()> {
    let changed = tree::change(&b.data, CHANGES / 4, 2048, seed + 1)?;
    report.step(
        "person",
        "changes files on B",
        format!("{} files, {}", changed.files, megabytes(changed.bytes)),
    );
    let start = super::steps::now_ms();
    eject(rig, b, anna)?;
    let closed = super::steps::now_ms() - start;
    report.step("B", "has uploaded and closed", "simsync eject");
    arrive(rig, report, (b, a), anna, &changed, closed)?;
    eject(rig, a, anna)
}

/// Wrong PIN, unpaired terminal, another subscriber's card: refused, and nothing moves.
fn refusals(
    rig: &mut Rig,
    report: &mut Report,
    a: &Terminal,
    b: &Terminal,
    anna: &Person,
    seed: u64,
) -> Result<()> {
    tree::change(&b.data, 3, 2048, seed + 2)?;
    let before = tree::snapshot(&a.data)?;
    let packs = rig.server.packs();
    let unmoved = |rig: &Rig| -> Result<bool> {
        Ok(tree::snapshot(&a.data)? == before && rig.server.packs() == packs)
    };

    insert(rig, b, anna)?;
    let r = b.simsync(&["unlock"], &Secrets::give("--pin-fd", "0000"))?;
    let ok = r.code == 5 && unmoved(rig)?;
    report.refusal(
        "a wrong PIN in B",
        &format!("the card: {}", sentence(&r.json)),
        ok,
    );
    rig.bridge.eject(&anna.card)?;

    let c = rig.terminal("C")?;
    insert(rig, &c, anna)?;
    let r = c.simsync(&["unlock"], &Secrets::give("--pin-fd", &anna.pin))?;
    let ok = r.code == 4 && unmoved(rig)?;
    report.refusal(
        "an unpaired terminal C",
        &format!("C: {}", sentence(&r.json)),
        ok,
    );
    rig.bridge.eject(&anna.card)?;
    c.wait_status("an empty reader", |s| {
        s["cards"].as_array().is_some_and(Vec::is_empty)
    })?;

    let bert = provision(rig, &c, "card-2")?;
    insert(rig, a, &bert)?;
    let r = a.simsync(&["unlock"], &Secrets::give("--pin-fd", &bert.pin))?;
    let stats = rig.bridge.stats(&bert.card)?;
    let ok = r.code != 0 && stats.apdus <= 2 && unmoved(rig)?;
    report.refusal(
        "another subscriber's card in A",
        &format!("A: {}", sentence(&r.json)),
        ok,
    );
    rig.bridge.eject(&bert.card)?;
    Ok(())
}

/// The sentence of a failed command.
fn sentence(json: &Value) -> String {
    json["error"]["sentence"]
        .as_str()
        .unwrap_or("no sentence")
        .to_owned()
}
