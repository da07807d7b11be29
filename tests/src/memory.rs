//! What a daemon's memory holds: looked through for keys, PINs and content that must not be there any more.

use std::os::unix::fs::FileExt;

use simsync_vault::keyobject::RECOVERY_ID;
use simsync_vault::keys::VaultKey;
use simsyncd::recovery::RecoveryCode;
use simsyncd::store::Store;

use crate::demo::Person;
use crate::rig::{DEADLINE, Result, Terminal, wait_for};

/// What must not be found, with its name.
pub type Needles = Vec<(String, Vec<u8>)>;

/// Which of these the writable memory of a process holds, and in which part of it.
pub fn found(pid: u32, needles: &Needles) -> Result<Vec<String>> {
    let read = |what: &str| std::fs::read_to_string(format!("/proc/{pid}/{what}"));
    let maps = read("maps").map_err(|e| format!("maps of {pid}: {e}"))?;
    let mem = std::fs::File::open(format!("/proc/{pid}/mem")).map_err(|e| e.to_string())?;
    let mut by_first: Vec<Vec<usize>> = vec![Vec::new(); 256];
    for (i, (_, bytes)) in needles.iter().enumerate() {
        by_first[usize::from(bytes[0])].push(i);
    }
    let mut out = Vec::new();
    let writable = |l: &&str| l.split(' ').nth(1).is_some_and(|p| p.starts_with("rw"));
    for line in maps.lines().filter(writable) {
        let range = line.split(' ').next().and_then(|r| r.split_once('-'));
        let (from, to) = range.ok_or_else(|| format!("no range: {line}"))?;
        let place = |text: &str| u64::from_str_radix(text, 16).map_err(|e| e.to_string());
        let (from, to) = (place(from)?, place(to)?);
        let mut bytes = vec![0; usize::try_from(to - from).map_err(|e| e.to_string())?];
        // What is not mapped any more holds nothing.
        let read = mem.read_at(&mut bytes, from).unwrap_or(0);
        let hay = &bytes[..read];
        for (at, byte) in hay.iter().enumerate() {
            for i in &by_first[usize::from(*byte)] {
                if hay[at..].starts_with(&needles[*i].1) {
                    let region = line.split_whitespace().nth(5).unwrap_or("anonymous");
                    out.push(format!("{} in {region}", needles[*i].0));
                }
            }
        }
    }
    out.sort();
    out.dedup();
    Ok(out)
}

/// The keys of the newest epoch that a terminal knows, by the recovery code and the terminal's own copy of the key object.
pub fn vault_keys(t: &Terminal, person: &Person) -> Result<Needles> {
    let code = person.recovery.as_deref().ok_or("no recovery code")?;
    let code = RecoveryCode::parse(code).map_err(|e| e.to_string())?;
    let store = Store::open(&t.home.join("state/state.db")).map_err(|e| e.to_string())?;
    let objects = store.key_objects().map_err(|e| e.to_string())?;
    let object = objects.last().ok_or("no key object")?;
    let wrap = store.wrap(&RECOVERY_ID).map_err(|e| e.to_string())?;
    let wrap = wrap.ok_or("no wrap for the recovery code")?;
    let key = VaultKey::unwrap_with_key(object, &wrap, &code.kem_secret());
    let key = key.map_err(|e| e.to_string())?;
    let named = key.secrets_for_tests().into_iter().enumerate();
    let name = |i| format!("key {i} of epoch {}", object.body.epoch);
    Ok(named.map(|(i, k)| (name(i), k.to_vec())).collect())
}

/// Waits until a terminal's daemon holds nothing of it: what is cleared is cleared soon, not at once.
pub fn nothing_is_left(t: &Terminal, needles: &Needles) -> Result<()> {
    let pid = t.daemon_pid().ok_or("the daemon does not run")?;
    let mut last = Ok(Vec::new());
    let gone = wait_for("nothing to be left", DEADLINE, || {
        last = found(pid, needles);
        last.as_ref().is_ok_and(Vec::is_empty).then_some(())
    });
    gone.map_err(|_| format!("in memory: {last:?}\n{}", t.daemon_log()))
}
