//! `subscriber import`, and `card check`: files of the operator's.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use simsync_card::ids::SubscriberId;
use simsync_protocol::issued;
use simsync_protocol::people::{self, Person, Purpose};

use super::args::Import;
use super::dispatch::execute;
use super::failure::Failure;
use crate::admin::issued::Issued;
use crate::admin::people::NewPerson;
use crate::admin::{AdminCommand, Outcome, random_id};
use simsync_protocol::enrolment::EnrolmentCode;

/// Somebody with an ID and a code.
struct Drawn {
    person: Person,
    subscriber: SubscriberId,
    code: EnrolmentCode,
}

fn refused(sentence: String) -> Failure {
    Failure { exit: 4, sentence }
}

/// Adds the people of a file. Their codes are on the disk before anybody is added: an answer that is lost loses no codes.
pub async fn subscribers(dir: &Path, args: &Import) -> Result<Outcome, Failure> {
    let listed = people::read(&args.file, Purpose::Import)
        .map_err(|e| refused(format!("{}: {e}", args.file.display())))?;
    let drawn = draw(listed)?;
    let order = AdminCommand::SubscriberImport {
        people: drawn.iter().map(Drawn::order).collect(),
        dry_run: args.dry_run,
    };
    let Some(out) = args.out.as_deref().filter(|_| !args.dry_run) else {
        return execute(dir, order).await;
    };
    let pending = Pending::write(out, &drawn)?;
    match execute(dir, order).await {
        Ok(outcome) => pending.keep().map(|()| outcome),
        // The server answered no: nobody was added. Anything else may have happened in between.
        Err(e) if matches!(e.exit, 3 | 4) => {
            pending.discard();
            Err(e)
        }
        Err(e) => Err(Failure {
            exit: e.exit,
            sentence: format!(
                "{}; whether they were added is not known: `subscriber list` shows it, and {} holds the codes if they were",
                e.sentence,
                pending.part.display()
            ),
        }),
    }
}

fn draw(people: Vec<Person>) -> Result<Vec<Drawn>, Failure> {
    let failed = |what: String| Failure {
        exit: 1,
        sentence: what,
    };
    let one = |person: Person| {
        Ok(Drawn {
            subscriber: match person.subscriber.clone() {
                Some(id) => id,
                None => random_id().map_err(|e| failed(e.detail))?,
            },
            code: crate::code::random().map_err(|e| failed(e.to_string()))?,
            person,
        })
    };
    people.into_iter().map(one).collect()
}

impl Drawn {
    fn order(&self) -> NewPerson {
        NewPerson {
            line: self.person.line,
            label: self.person.label.clone(),
            subscriber: self.subscriber.clone(),
            code: self.code.hash(),
        }
    }
}

/// The file with the codes, under another name until the people are added.
struct Pending {
    part: PathBuf,
    out: PathBuf,
}

impl Pending {
    fn write(out: &Path, drawn: &[Drawn]) -> Result<Self, Failure> {
        let exists = |path: &Path| {
            refused(format!(
                "{} exists; name another file, codes are never overwritten",
                path.display()
            ))
        };
        if out.symlink_metadata().is_ok() {
            return Err(exists(out));
        }
        let mut part = out.as_os_str().to_owned();
        part.push(".part");
        let pending = Self {
            part: part.into(),
            out: out.to_owned(),
        };
        let mut file = match OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&pending.part)
        {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(exists(&pending.part));
            }
            Err(e) => return Err(pending.cannot(&e)),
        };
        let codes: Vec<_> = drawn
            .iter()
            .map(|d| zeroize::Zeroizing::new(d.code.to_string()))
            .collect();
        let rows = drawn
            .iter()
            .zip(&codes)
            .map(|(d, code)| (d.person.label.as_str(), &d.subscriber, code.as_str()));
        let written = people::to_issue(rows).and_then(|text| {
            file.write_all(&text)?;
            file.sync_all()?;
            pending.sync_folder()
        });
        match written {
            Ok(()) => Ok(pending),
            Err(e) => {
                let failure = pending.cannot(&e);
                pending.discard();
                Err(failure)
            }
        }
    }

    fn cannot(&self, e: &std::io::Error) -> Failure {
        Failure {
            exit: 1,
            sentence: format!("{} cannot be written: {e}", self.part.display()),
        }
    }

    fn sync_folder(&self) -> std::io::Result<()> {
        let folder = self.out.parent().filter(|p| !p.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }

    /// Gives it its name; what came there meanwhile is not overwritten.
    fn keep(self) -> Result<(), Failure> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        renameat_with(CWD, &self.part, CWD, &self.out, RenameFlags::NOREPLACE)
            .map_err(std::io::Error::from)
            .and_then(|()| self.sync_folder())
            .map_err(|e| Failure {
                exit: 1,
                sentence: format!(
                    "they were added, and their codes stay in {}: {e}",
                    self.part.display()
                ),
            })
    }

    fn discard(&self) {
        if let Err(e) = std::fs::remove_file(&self.part) {
            tracing::warn!("{} holds codes of nobody: {e}", self.part.display());
        }
    }
}

/// Compares a signed list with the store.
pub async fn check(dir: &Path, list: &Path, key: &Path) -> Result<Outcome, Failure> {
    let refuse = |path: &Path, e: issued::IssuedError| refused(format!("{}: {e}", path.display()));
    let pem = read(key)?;
    let key = issued::public_key(&pem).map_err(|e| refuse(key, e))?;
    let text = read(list)?;
    let opened = issued::open(&text, &key).map_err(|e| refuse(list, e))?;
    let cards = opened.cards.into_iter().map(|c| Issued {
        subscriber: c.subscriber,
        card: c.card,
    });
    let cards = cards.collect();
    execute(dir, AdminCommand::CardCheck { cards }).await
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let cannot = |e: std::io::Error| refused(format!("{} cannot be read: {e}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(cannot)?;
    let limit = issued::MAX_BYTES as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(cannot)?;
    Ok(bytes)
}
