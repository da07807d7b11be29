//! `provision --batch`: one thread a reader, each issuing the next person's card.

use std::ffi::CString;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use openssl::pkey::{PKey, Private};
use parking_lot::Mutex;
use serde_json::{Value, json};
use simsync_card::client::TransportSecret;
use simsync_card::pcsc::PcscCard;
use simsync_protocol::address::ServerAddress;
use simsync_protocol::issued;
use simsync_protocol::people::{self, Purpose};
use zeroize::Zeroizing;

use crate::batch::issuance::{Event, Installer, Issuance, Secrets};
use crate::batch::journal::{Header, Journal};
use crate::batch::report;
use crate::batch::round::{Recipient, Round};
use crate::batch::slots::{self, Insertion, Watch};
use crate::batch::transport_key::TransportKey;
use crate::cli::Provision;
use crate::commands::install;
use crate::error::ToolError;
use crate::files;
use crate::keys::Source;
use crate::letter;
use crate::output::Output;
use crate::registrar::Server;
use crate::secrets;

/// Longest key file, in bytes.
const MAX_KEY: usize = 16 << 10;

/// Where everything is written.
struct Places {
    letters: PathBuf,
    journal: PathBuf,
    report: PathBuf,
    issued: PathBuf,
}

/// Issues cards until everybody of the list has one.
pub fn run(wanted: Option<&str>, args: &Provision, out: &Output) -> Result<(), ToolError> {
    let Some(list) = &args.batch else {
        return Err(ToolError::Usage("name --batch".to_owned()));
    };
    let (terms, address) = args.terms()?;
    let people = people::read(list, Purpose::Issue)
        .map_err(|e| ToolError::Usage(format!("{}: {e}", list.display())))?;
    let places = Places::of(list, args)?;
    let sign_key = args
        .of_batch
        .sign_key
        .as_deref()
        .map(read_key)
        .transpose()?;
    let (journal, entries) =
        Journal::open(&places.journal, &Header::new(&terms.server, terms.ca_pin))?;
    let round = Round::new(people, journal, entries)?;
    make_folder(&places.letters)?;
    check_letters(&round, &places.letters, args)?;
    let names = slots::choose(&args.of_batch.readers, wanted)?;
    let mut source = if args.of_batch.install {
        Some(Source::open(&args.of_batch.keys, out)?)
    } else {
        None
    };
    let installer = match &mut source {
        Some(source) => Some(Installer {
            cap: install::read_cap(&install::cap_path(args.of_batch.cap.as_deref())?)?,
            access: source.get()?,
        }),
        None => None,
    };
    let issuance = Issuance {
        round: Mutex::new(round),
        terms,
        secrets: read_secrets(args)?,
        installer,
        letters: places.letters.clone(),
        formats: args.letters_format.clone(),
    };
    let before = issuance.round().done();
    work(&issuance, &names, &address, out);
    finish(&issuance, &places, sign_key.as_ref(), before, out)
}

impl Places {
    fn of(list: &Path, args: &Provision) -> Result<Self, ToolError> {
        let beside = |ending: &str| {
            let mut name = list.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        let letters = args.of_batch.letters.clone().ok_or_else(|| {
            ToolError::Usage("say where the letters go: --letters DIR".to_owned())
        })?;
        Ok(Self {
            letters,
            journal: args
                .of_batch
                .journal
                .clone()
                .unwrap_or_else(|| beside(".journal")),
            report: beside(".report.csv"),
            issued: beside(".issued.json"),
        })
    }
}

fn read_secrets(args: &Provision) -> Result<Secrets, ToolError> {
    if let Some(fd) = args.of_batch.transport_key_fd {
        let text = secrets::read(Some(fd), "Transport key")?;
        return TransportKey::parse(&text).map(Secrets::Derived);
    }
    if args.of_batch.install && args.transport_secret_fd.is_none() {
        return Err(ToolError::Usage(
            "--install needs --transport-key-fd, from which each card's transport secret is made"
                .to_owned(),
        ));
    }
    let text = secrets::read(args.transport_secret_fd, "Transport secret of all cards")?;
    TransportSecret::parse(text.as_bytes())
        .map(Secrets::One)
        .map_err(|e| ToolError::Usage(e.to_string()))
}

fn read_key(path: &Path) -> Result<PKey<Private>, ToolError> {
    use std::io::Read;
    let bad = |e: &dyn std::fmt::Display| ToolError::Usage(format!("{}: {e}", path.display()));
    let mut pem = Zeroizing::new(Vec::with_capacity(MAX_KEY + 1));
    std::fs::File::open(path)
        .and_then(|f| f.take(MAX_KEY as u64).read_to_end(&mut pem))
        .map_err(|e| bad(&e))?;
    issued::private_key(&pem).map_err(|e| bad(&e))
}

/// The letters' folder is its owner's alone.
fn make_folder(path: &Path) -> Result<(), ToolError> {
    let failed = |e: std::io::Error| ToolError::Usage(format!("{}: {e}", path.display()));
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(e)),
        _ => {}
    }
    let about = std::fs::metadata(path).map_err(failed)?;
    if !about.is_dir() || about.mode() & 0o077 != 0 {
        return Err(ToolError::Usage(format!(
            "{} is to hold letters with PINs and must be a folder for you alone: chmod 700 {}",
            path.display(),
            path.display()
        )));
    }
    Ok(())
}

/// Letters are replaced only where the journal says that the card they belong to is not finished.
fn check_letters(round: &Round, folder: &Path, args: &Provision) -> Result<(), ToolError> {
    let mut there = Vec::new();
    for person in round.people().iter().filter(|p| !p.is_done()) {
        for (_, file) in person.letters(folder, &args.letters_format) {
            if person.card().is_some() {
                letter::check_free(&file)?;
            } else if file.symlink_metadata().is_ok() {
                there.push(file.display().to_string());
            }
        }
    }
    if there.is_empty() {
        return Ok(());
    }
    Err(ToolError::Usage(format!(
        "{} letters are there of people whose cards were not begun; move them away, none is overwritten:\n  {}",
        there.len(),
        there.join("\n  ")
    )))
}

/// One thread a reader, until nothing is left to do.
fn work(issuance: &Issuance<'_>, names: &[CString], address: &ServerAddress, out: &Output) {
    std::thread::scope(|scope| {
        let threads: Vec<_> = names
            .iter()
            .map(|name| {
                let reader = Reader {
                    issuance,
                    out,
                    name: name.to_string_lossy().into_owned(),
                };
                scope.spawn(move || {
                    if let Err(e) = reader.serve(name.clone(), address.clone()) {
                        issuance.round().stop(e);
                    }
                })
            })
            .collect();
        for thread in threads {
            if thread.join().is_err() {
                let why = "the work at a reader ended unexpectedly; run it again".to_owned();
                issuance.round().stop(ToolError::Other(why));
            }
        }
    });
}

struct Reader<'d, 'a> {
    issuance: &'d Issuance<'a>,
    out: &'d Output,
    name: String,
}

impl Reader<'_, '_> {
    fn serve(&self, name: CString, address: ServerAddress) -> Result<(), ToolError> {
        let watch = Watch::new(name)?;
        let mut server = Server::new(address, self.issuance.terms.ca_pin)?;
        let mut expected = None;
        loop {
            let found = self.wait(&watch, &mut expected)?;
            let Some(inserted) = found else {
                self.issuance.round().forget(expected);
                return Ok(());
            };
            let event = self.take(&watch, &mut server, expected);
            self.issuance.round().forget(expected);
            expected = None;
            self.tell(event?);
            let over = || self.issuance.round().is_over();
            watch.removed(inserted, over)?;
        }
    }

    /// Asks for a card, again whenever another one is meant; none when nothing is left to do.
    fn wait(
        &self,
        watch: &Watch,
        expected: &mut Option<usize>,
    ) -> Result<Option<Insertion>, ToolError> {
        let mut asked: Option<String> = None;
        let end = || {
            let mut round = self.issuance.round();
            if round.is_over() {
                return true;
            }
            *expected = round.expect(*expected);
            let (value, text) = self.request(&round, *expected);
            drop(round);
            if asked.as_ref() != Some(&text) {
                self.out.event(value, &text);
                asked = Some(text);
            }
            false
        };
        let mut end = end;
        if end() {
            return Ok(None);
        }
        watch.inserted(end)
    }

    fn request(&self, round: &Round, expected: Option<usize>) -> (Value, String) {
        let all = round.people().len();
        if let Some(n) = expected {
            let p = round.person(n);
            let text = format!(
                "{}: insert the next card, for {} ({} of {all})",
                self.name,
                p.label,
                n + 1
            );
            let value = json!({ "event": "insert", "reader": self.name, "subscriber": p.subscriber, "label": p.label, "number": n + 1, "of": all });
            return (value, text);
        }
        let awaited: Vec<&str> = round.awaited().iter().map(|p| p.label.as_str()).collect();
        let text = format!(
            "{}: insert one of the cards that were begun, for {}",
            self.name,
            awaited.join(", ")
        );
        let value = json!({ "event": "insert-begun", "reader": self.name, "labels": awaited });
        (value, text)
    }

    fn take(
        &self,
        watch: &Watch,
        server: &mut Server,
        expected: Option<usize>,
    ) -> Result<Event, ToolError> {
        match PcscCard::connect(&watch.context, &watch.name) {
            Ok(mut card) => self.issuance.serve(&mut card, server, &self.name, expected),
            Err(e) => Ok(Event::Aside(e.to_string())),
        }
    }

    fn tell(&self, event: Event) {
        let round = self.issuance.round();
        let name = &self.name;
        let whose = |n: usize| {
            let p = round.person(n);
            json!({ "subscriber": p.subscriber, "label": p.label, "card": p.card() })
        };
        let (kind, mut value, text) = match event {
            Event::Done(n) => {
                let text = format!(
                    "{name}: the card of {} is finished. Take it out. {}",
                    round.person(n).label,
                    round.progress()
                );
                ("done", whose(n), text)
            }
            Event::Finished(n) => {
                let label = &round.person(n).label;
                let text = format!("{name}: this is the card of {label}, finished. Take it out.");
                ("finished", whose(n), text)
            }
            Event::Aside(why) => {
                let text = format!("{name}: not this card: {why}. Take it out.");
                ("aside", json!({ "why": why }), text)
            }
            Event::Refused(n, why) => {
                let text = format!(
                    "{name}: the server refused {}: {why}. Take the card out, and keep it for them.",
                    round.person(n).label
                );
                ("refused", whose(n), text)
            }
            Event::Again(n, e) => {
                let text = format!(
                    "{name}: the card of {} is not finished: {e}. Put the same card in again.",
                    round.person(n).label
                );
                let mut value = whose(n);
                value["why"] = json!(e.to_string());
                ("again", value, text)
            }
        };
        value["event"] = json!(kind);
        value["reader"] = json!(name);
        value["done"] = json!(round.done());
        value["of"] = json!(round.people().len());
        if let Some(pace) = round.pace() {
            value["cards_an_hour"] = json!(pace.cards_an_hour.round());
            value["seconds_left"] = json!(pace.left.as_secs());
        }
        drop(round);
        self.out.event(value, &text);
    }
}

/// Report, signed list, and what is left.
fn finish(
    issuance: &Issuance<'_>,
    places: &Places,
    sign_key: Option<&PKey<Private>>,
    before: usize,
    out: &Output,
) -> Result<(), ToolError> {
    let mut round = issuance.round();
    let stopped = round.take_stop();
    let written = write_reports(&round, issuance, places, sign_key);
    if let Some(why) = stopped {
        if let Err(e) = written {
            tracing::warn!("{e}");
        }
        return Err(why);
    }
    written?;
    let refused: Vec<&Recipient> = round
        .people()
        .iter()
        .filter(|p| p.refused.is_some())
        .collect();
    if !refused.is_empty() {
        let lines: Vec<String> = refused
            .iter()
            .map(|p| {
                format!(
                    "\n  {}: {}",
                    p.label,
                    p.refused.as_deref().unwrap_or_default()
                )
            })
            .collect();
        return Err(ToolError::Other(format!(
            "{} people have no card yet; mend it (another code: simsync-server subscriber code ID) and run it again:{}",
            lines.len(),
            lines.concat()
        )));
    }
    let (done, now) = (round.done(), round.done() - before);
    let issued = sign_key.map(|_| &places.issued);
    out.result(
        json!({
            "event": "end",
            "done": done,
            "issued": now,
            "letters": places.letters,
            "report": places.report,
            "signed_list": issued,
        }),
        &format!(
            "All {done} people have their cards, {now} issued now. Letters: {}. Report: {}.",
            places.letters.display(),
            places.report.display()
        ),
    );
    Ok(())
}

fn write_reports(
    round: &Round,
    issuance: &Issuance<'_>,
    places: &Places,
    sign_key: Option<&PKey<Private>>,
) -> Result<(), ToolError> {
    let failed = |path: &Path, e: std::io::Error| {
        ToolError::Other(format!("{} cannot be written: {e}", path.display()))
    };
    report::csv(round)
        .and_then(|bytes| files::replace(&places.report, &bytes))
        .map_err(|e| failed(&places.report, e))?;
    if let Some(key) = sign_key {
        let text = report::signed(round, &issuance.terms.server, key)?;
        files::replace(&places.issued, text.as_bytes()).map_err(|e| failed(&places.issued, e))?;
    }
    Ok(())
}
