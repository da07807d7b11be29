//! An operator's desk with two readers: `simsync-card provision --batch` asks for cards, and a hand puts them in, pulls them at
//! any command, and puts them in again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::rig::{DEADLINE, Result, Rig, Secrets, Terminal, repository, wait_for};

/// After so long without a word from the tool the cards that are in are put in again: pcscd may have lost sight of one.
const SILENCE: Duration = Duration::from_secs(12);
/// How often that is done.
const PATIENCE: u32 = 5;
/// After so long the journal is looked at again while the tool is to be killed.
const LOOK: Duration = Duration::from_millis(2);
/// Commands to a card from blank to enrolled, about.
const COMMANDS: u32 = 70;
/// What the desk makes transport secrets from.
const KEY: &str = "5ec0ffee5ec0ffee5ec0ffee5ec0ffee";

/// How the tool ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// By itself: its last object.
    Itself(Value),
    /// It was killed when [`IssuingStation::run`] was told to.
    Killed,
}

/// A desk at which `simsync-card provision --batch` runs, with somebody who puts cards in and pulls them.
pub struct IssuingStation {
    /// Server and simulated cards.
    pub rig: Rig,
    /// The terminal with two readers; no daemon runs on it.
    pub terminal: Terminal,
    /// How often a card was pulled while something was done to it.
    pub yanks: u64,
    /// How likely that is, at each insertion.
    pub yank: f64,
    /// How many cards were taken from the pile.
    pub taken: usize,
    rng: StdRng,
    /// Begun cards, to be put in again.
    begun: Vec<String>,
    /// Finished cards, by name, and whose the tool said they are.
    finished: BTreeMap<String, String>,
    /// Which card is in which reader.
    inside: BTreeMap<String, String>,
    /// Cards that are to be pulled in the middle.
    to_pull: BTreeSet<String>,
    cap: PathBuf,
    folder: PathBuf,
    said: String,
}

fn io(e: &std::io::Error) -> String {
    e.to_string()
}

impl IssuingStation {
    /// Imports so many people at the server. `prepare` may do something before the terminal is started.
    pub fn start(
        people: usize,
        seed: u64,
        prepare: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        let mut rig = Rig::start()?;
        let folder = rig.dir.path().join("batch");
        std::fs::create_dir(&folder).map_err(|e| io(&e))?;
        prepare(&folder)?;
        let mut terminal = rig.terminal("desk")?;
        terminal.stop_daemon()?;
        let cap = folder.join("simulator.cap");
        let made = Command::new("java")
            .arg("-cp")
            .arg(repository().join("javacard-applet/target/simsync-bridge.jar"))
            .arg("org.simsync.bridge.gp.LoadFile")
            .arg(&cap)
            .status();
        if !made.map_err(|e| io(&e))?.success() {
            return Err("the simulated card's load file could not be made".to_owned());
        }
        let mut list = "label\n".to_owned();
        for n in 1..=people {
            list.push_str(&format!("\"Person <{n}>, \u{5d0}\"\n"));
        }
        let (source, codes) = (folder.join("list.csv"), folder.join("people.csv"));
        std::fs::write(&source, list).map_err(|e| io(&e))?;
        let names = [&source, &codes].map(|p| p.to_string_lossy().into_owned());
        rig.server
            .admin(&["subscriber", "import", &names[0], "--out", &names[1]])?;
        Ok(Self {
            rig,
            terminal,
            yanks: 0,
            yank: 0.0,
            taken: 0,
            rng: StdRng::seed_from_u64(seed),
            begun: Vec::new(),
            finished: BTreeMap::new(),
            inside: BTreeMap::new(),
            to_pull: BTreeSet::new(),
            cap,
            folder,
            said: String::new(),
        })
    }

    /// A file of the batch.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Runs the tool until it ends, or kills it when its journal has so many lines.
    pub fn run(&mut self, more: &[&str], kill_at: Option<usize>) -> Result<End> {
        let server = format!("server.simsync.test:{}", self.rig.server.public_port);
        let text = |p: PathBuf| p.to_string_lossy().into_owned();
        let (list, letters) = (text(self.file("people.csv")), text(self.file("letters")));
        let (cap, ca_pin) = (text(self.cap.clone()), self.rig.server.ca_pin.clone());
        let args = [
            "provision",
            "--batch",
            &list,
            "--server",
            &server,
            "--ca-pin",
            &ca_pin,
            "--letters",
            &letters,
            "--keep-pin",
            "--install",
            "--cap",
            &cap,
            "--default-test-keys",
            "--readers",
            "all",
            "-vv",
        ];
        let args = [&args[..], more].concat();
        let secrets = Secrets::give("--transport-key-fd", KEY);
        let log = self.file("tool.log");
        let mut tool = self.terminal.start_card_tool(&args, &secrets, &log)?;
        let output = tool.stdout().ok_or("no output")?;
        let (send, lines) = channel();
        let reading = std::thread::spawn(move || {
            for line in BufReader::new(output)
                .lines()
                .map_while(std::result::Result::ok)
            {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let end = self.follow(&lines, kill_at);
        if end != Ok(End::Killed) {
            // It has said its last; a moment for it to end.
            let _ = wait_for("the end of simsync-card", DEADLINE, || {
                (!tool.is_running()).then_some(())
            });
        }
        tool.kill();
        let _ = reading.join();
        for line in lines.try_iter() {
            self.said.push_str(&line);
            // What it finished before it was killed is finished; what it asked for, nobody does any more.
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if matches!(event["event"].as_str(), Some("done" | "finished")) {
                self.act(&event)?;
            }
        }
        for (_, card) in std::mem::take(&mut self.inside) {
            self.rig.bridge.take_out(&card)?;
            if !self.finished.contains_key(&card) {
                self.begun.push(card);
            }
        }
        end
    }

    fn follow(&mut self, lines: &Receiver<String>, kill_at: Option<usize>) -> Result<End> {
        let (mut last, mut silences, mut heard) = (Value::Null, 0, Instant::now());
        let often = if kill_at.is_some() { LOOK } else { SILENCE };
        loop {
            match lines.recv_timeout(often) {
                Ok(line) => {
                    (silences, heard) = (0, Instant::now());
                    self.said.push_str(&line);
                    self.said.push('\n');
                    last = serde_json::from_str(&line).map_err(|e| format!("{line}: {e}"))?;
                    self.act(&last)?;
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(End::Itself(last)),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if kill_at.is_some_and(|lines| self.journal_lines() >= lines) {
                return Ok(End::Killed);
            }
            if heard.elapsed() < SILENCE {
                continue;
            }
            (silences, heard) = (silences + 1, Instant::now());
            if silences > PATIENCE {
                return Err(format!("nothing happens any more; the last was {last}"));
            }
            for (reader, card) in self.inside.clone() {
                self.rig.bridge.take_out(&card)?;
                let port = self.port(&reader)?;
                self.rig.bridge.insert(&card, port)?;
            }
        }
    }

    /// What the tool said so far, one object a line.
    pub fn events(&self) -> Vec<Value> {
        let lines = self.said.lines();
        lines.filter_map(|l| serde_json::from_str(l).ok()).collect()
    }

    fn journal_lines(&self) -> usize {
        let journal = std::fs::read(self.file("people.csv.journal")).unwrap_or_default();
        journal.iter().filter(|b| **b == b'\n').count()
    }

    /// The virtual reader's slots are told apart by the end of their names.
    fn port(&self, reader: &str) -> Result<u16> {
        let slot = reader
            .rsplit(' ')
            .next()
            .and_then(|n| n.parse::<u16>().ok());
        let slot = slot
            .filter(|n| *n < 2)
            .ok_or_else(|| format!("which slot is {reader:?}?"))?;
        Ok(self.terminal.port + slot)
    }

    fn act(&mut self, event: &Value) -> Result<()> {
        let Some(reader) = event["reader"].as_str() else {
            return Ok(());
        };
        match event["event"].as_str().unwrap_or_default() {
            "insert" | "insert-begun" if self.inside.contains_key(reader) => Ok(()),
            "insert" => {
                let card = match self.begun.pop() {
                    Some(card) => card,
                    None => self.blank()?,
                };
                self.put_in(reader, card)
            }
            "insert-begun" => match self.begun.pop() {
                Some(card) => self.put_in(reader, card),
                None => Ok(()),
            },
            what @ ("done" | "finished" | "aside" | "again" | "refused") => {
                let Some(card) = self.inside.remove(reader) else {
                    return Ok(());
                };
                let was_to_be_pulled = self.to_pull.remove(&card);
                if was_to_be_pulled && !self.rig.bridge.is_in(&card)? {
                    self.yanks += 1;
                }
                self.rig.bridge.take_out(&card)?;
                if matches!(what, "done" | "finished") {
                    let whose = event["subscriber"].as_str().unwrap_or_default();
                    self.finished.insert(card, whose.to_owned());
                } else {
                    // The one that waits longest comes next.
                    self.begun.insert(0, card);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn blank(&mut self) -> Result<String> {
        self.taken += 1;
        let name = format!("blank{}", self.taken);
        let kdd: String = (0..10)
            .map(|_| format!("{:02x}", self.rng.random::<u8>()))
            .collect();
        self.rig
            .bridge
            .call(&format!("blank-gp {name} kdd={kdd}"))?;
        Ok(name)
    }

    fn put_in(&mut self, reader: &str, card: String) -> Result<()> {
        let port = self.port(reader)?;
        let cut = self.rng.random_bool(self.yank).then(|| {
            let how = ["yank", "yank-before"][self.rng.random_range(0..2)];
            // Half of them where the card is personalised: the end of the way.
            let most = if self.rng.random_bool(0.5) {
                COMMANDS
            } else {
                12
            };
            format!("{how} {card} {}", self.rng.random_range(1..=most))
        });
        for _ in 0..PATIENCE {
            self.rig.bridge.insert(&card, port)?;
            let Some(cut) = &cut else {
                break;
            };
            match self.rig.bridge.call(cut) {
                Ok(_) => {
                    self.to_pull.insert(card.clone());
                    break;
                }
                // The reader was still at the card of before, and let go of this one at once.
                Err(why) if self.rig.bridge.is_in(&card)? => return Err(why),
                Err(_) => {}
            }
        }
        self.inside.insert(reader.to_owned(), card);
        Ok(())
    }

    /// Everybody has exactly one card, the letters open the cards, no card is half done, the server agrees, and no secret is
    /// where it must not be.
    pub fn check(&mut self, people: usize) -> Result<()> {
        let same = |what: &str, found: usize, wanted: usize| {
            if found == wanted {
                Ok(())
            } else {
                Err(format!("{what}: {found} instead of {wanted}"))
            }
        };
        same("cards that were finished", self.finished.len(), people)?;
        same("cards that were taken", self.taken, people)?;
        let cards = self.rig.server.admin(&["card", "list"])?;
        let cards = cards["cards"].as_array().cloned().unwrap_or_default();
        same("cards at the server", cards.len(), people)?;
        let mut owners: BTreeMap<String, String> = BTreeMap::new();
        for card in &cards {
            let text = |key: &str| card[key].as_str().unwrap_or_default().to_owned();
            owners.insert(text("subscriber"), text("card"));
        }
        same("people with a card at the server", owners.len(), people)?;
        let written = self.written()?;
        let codes = std::fs::read_to_string(self.file("people.csv")).map_err(|e| io(&e))?;
        let mut secrets: Vec<String> = vec![KEY.to_owned()];
        secrets.extend(
            codes
                .lines()
                .skip(1)
                .filter_map(|l| Some(l.rsplit(',').next()?.to_owned())),
        );
        let mut opened = BTreeSet::new();
        for (name, subscriber) in self.finished.clone() {
            let card = owners.get(&subscriber).ok_or("a card of nobody")?;
            secrets.extend(self.opened(&name, &subscriber, card)?);
            opened.insert(subscriber);
        }
        same("people whose letter opens their card", opened.len(), people)?;
        same(
            "letters",
            std::fs::read_dir(self.file("letters"))
                .map_err(|e| io(&e))?
                .count(),
            people,
        )?;
        for secret in secrets {
            if has_word(&written, &secret) {
                return Err("a secret is in journal, report, list or output".to_owned());
            }
        }
        Ok(())
    }

    /// Everything that the tool wrote but the letters.
    fn written(&self) -> Result<String> {
        let mut all = self.said.clone();
        for name in ["people.csv.journal", "people.csv.report.csv", "tool.log"] {
            let path = self.file(name);
            let text = std::fs::read_to_string(&path);
            all.push_str(&text.map_err(|e| format!("{}: {e}", path.display()))?);
        }
        if let Ok(list) = std::fs::read_to_string(self.file("people.csv.issued.json")) {
            all.push_str(&list);
        }
        Ok(all)
    }

    /// The letter opens the card, and it is that card of that person. Answers PIN and PUK.
    fn opened(&mut self, name: &str, subscriber: &str, card: &str) -> Result<[String; 2]> {
        let path = self
            .file("letters")
            .join(format!("letter-{subscriber}.txt"));
        let letter =
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let field = |key: &str| {
            let line = letter.lines().find_map(|l| l.strip_prefix(key));
            line.map(|v| v.trim().to_owned())
                .ok_or_else(|| format!("{} has no {key}", path.display()))
        };
        let (pin, puk) = (field("PIN ")?, field("PUK ")?);
        let reader = self.seen(name)?;
        let info = self
            .terminal
            .card_tool(
                &["--reader", &reader, "info", "--pin"],
                &Secrets::give("--pin-fd", &pin),
            )?
            .ok("simsync-card info with the letter's PIN")?;
        if info.json["card"] != card || info.json["subscriber"] != subscriber {
            return Err(format!("{name} is another card than {card}: {}", info.json));
        }
        self.rig.bridge.eject(name)?;
        wait_for("empty readers", DEADLINE, || {
            let states = states(&self.terminal)?;
            states.iter().all(|(_, s)| s == "empty").then_some(())
        })?;
        Ok([pin, puk])
    }

    /// Puts a finished card in until pcscd sees it; answers the reader.
    fn seen(&mut self, name: &str) -> Result<String> {
        let terminal = &self.terminal;
        self.rig.bridge.insert_until(name, terminal.port, || {
            let found = states(terminal)?
                .into_iter()
                .find(|(_, s)| s == "simsync card, in use");
            found.map(|(reader, _)| reader)
        })
    }
}

/// Readers, and what `simsync-card readers` says is in them.
fn states(terminal: &Terminal) -> Option<Vec<(String, String)>> {
    let told = terminal.card_tool(&["readers"], &Secrets::default()).ok()?;
    let readers = told.json["readers"].as_array()?.iter();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    Some(
        readers
            .map(|r| (text(&r["reader"]), text(&r["state"])))
            .collect(),
    )
}

/// Whether a text has this word, not as a part of another one.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.match_indices(word).any(|(at, _)| {
        !part(text[..at].chars().next_back()) && !part(text[at + word.len()..].chars().next())
    })
}
