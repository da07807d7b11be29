//! The agent that this process is while a command runs: asked by simsyncd for PINs, it answers with a pipe.

use simsync_codes::Code;
use std::collections::HashMap;
use std::io::{PipeWriter, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use parking_lot::Mutex;
use zbus::{Fd, ObjectPath, OwnedVariant, interface};
use zeroize::Zeroizing;

use crate::client::Client;
use crate::failure::{Failure, Outcome};
use crate::questions::Questions;
use crate::secrets::{PadEntry, Question, Refusal, Secrets};
use simsync_shell::{Secret, Silence};

/// Where the agent is.
const PATH: &str = "/org/simsync/Agent";
/// Longest secret that is shown, in bytes.
const SHOWN_MAX: u64 = 4096;

/// Errors that the daemon knows.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.simsync.SimSync1.Error")]
enum AgentError {
    #[zbus(error)]
    ZBus(zbus::Error),
    Declined(String),
    NotMine(String),
}

impl From<Refusal> for AgentError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Declined => Self::Declined("the person gave no PIN".to_owned()),
            Refusal::NotMine => Self::NotMine("this command cannot ask for that".to_owned()),
        }
    }
}

struct Object {
    secrets: Arc<Mutex<Secrets>>,
    questions: Questions,
    standing: Standing,
    shown: Shown,
}

/// Secrets that were shown here and taken note of: `puk`, `recovery-code`.
type Shown = Arc<Mutex<Vec<String>>>;

impl Object {
    /// Runs what waits for a person where it holds nothing up.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Secrets) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, AgentError> {
        let secrets = self.secrets.clone();
        let done = tokio::task::spawn_blocking(move || work(&mut secrets.lock()));
        match done.await {
            Ok(result) => result.map_err(AgentError::from),
            Err(_) => Err(Refusal::Declined.into()),
        }
    }
}

/// Asks the person for PINs.
#[interface(name = "org.simsync.SimSync1.Agent")]
impl Object {
    /// Asks for a PIN and answers with a descriptor that it can be read from, up to its end. Details: kind (s: card-pin,
    /// new-card-pin, terminal-pin, new-terminal-pin), retry (b), seconds (u), tries_left (u), reader (s).
    #[zbus(out_args("pin"))]
    async fn request_pin(
        &self,
        details: HashMap<String, OwnedVariant>,
    ) -> Result<Fd<'static>, AgentError> {
        let question = question(&details);
        let cancelled = self.questions.begin();
        let secret = self.with(move |s| s.answer(&question, cancelled)).await?;
        pipe_of(&secret)
            .map(Fd::from)
            .map_err(|e| AgentError::Declined(format!("a pipe cannot be made: {e}")))
    }

    /// Shows a secret that was made (puk, recovery-code) and answers whether it was taken note of.
    #[zbus(out_args("noted"))]
    async fn show_secret(&self, what: String, secret: Fd<'_>) -> Result<bool, AgentError> {
        let fd = OwnedFd::try_from(secret)?;
        let text = read_shown(fd).ok_or(Refusal::Declined)?;
        let name = what.clone();
        let cancelled = self.questions.begin();
        let noted = self.with(move |s| s.show(&what, &text, cancelled)).await?;
        if noted {
            let mut shown = self.shown.lock();
            shown.push(name);
        }
        Ok(noted)
    }

    /// Tells the person to type the card's PIN on the reader. Details: reader, purpose (s), retry (b), seconds (u), tries_left (u).
    #[zbus(out_args("refusal"))]
    async fn show_pin_pad(
        &self,
        details: HashMap<String, OwnedVariant>,
    ) -> Result<Fd<'static>, AgentError> {
        let entry = pad_entry(&details);
        self.with(move |s| s.show_pin_pad(&entry)).await?;
        let pipe = std::io::pipe().map_err(|e| AgentError::NotMine(e.to_string()))?;
        let (refusal, own_end) = pipe;
        self.standing.replace(Some(own_end));
        Ok(Fd::from(OwnedFd::from(refusal)))
    }

    /// What was asked or shown is no longer wanted.
    async fn cancel(&self) {
        self.standing.replace(None);
        self.questions.withdraw();
    }
}

/// Our end of the pipe while a message about a PIN pad stands: closing it says that the person does not want to.
#[derive(Clone, Default)]
struct Standing(Arc<Mutex<Option<PipeWriter>>>);

impl Standing {
    fn replace(&self, end: Option<PipeWriter>) {
        *self.0.lock() = end;
    }
}

fn tries_left(details: &HashMap<String, OwnedVariant>) -> Option<u32> {
    let tries = details.get("tries_left").cloned()?;
    u32::try_from(tries).ok()
}

fn pad_entry(details: &HashMap<String, OwnedVariant>) -> PadEntry {
    use crate::properties::get;
    PadEntry {
        reader: get(details, "reader"),
        purpose: get(details, "purpose"),
        tries_left: tries_left(details),
        retry: get(details, "retry"),
    }
}

fn question(details: &HashMap<String, OwnedVariant>) -> Question {
    use crate::properties::get;
    let reader: String = get(details, "reader");
    let hint: String = get(details, "hint");
    Question {
        kind: get(details, "kind"),
        tries_left: tries_left(details),
        retry: get(details, "retry"),
        reader: Some(reader).filter(|r| !r.is_empty()),
        hint: Some(hint).filter(|h| !h.is_empty()),
    }
}

fn pipe_of(secret: &Secret) -> std::io::Result<OwnedFd> {
    use std::io::Write;
    let (reader, mut writer) = std::io::pipe()?;
    // A PIN is far smaller than a pipe: this does not block.
    writer.write_all(secret.as_bytes())?;
    Ok(reader.into())
}

fn read_shown(fd: OwnedFd) -> Option<Secret> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(SHOWN_MAX as usize));
    let read = std::fs::File::from(fd)
        .take(SHOWN_MAX)
        .read_to_end(&mut bytes)
        .ok()?;
    let text = std::str::from_utf8(&bytes).ok()?;
    (read > 0).then(|| Zeroizing::new(text.to_owned()))
}

/// The agent of this process, registered until it ends.
pub struct Agent {
    secrets: Arc<Mutex<Secrets>>,
    questions: Questions,
    standing: Standing,
    shown: Shown,
}

impl Agent {
    /// Whether this secret was shown here.
    pub fn has_shown(&self, what: &str) -> bool {
        let shown = self.shown.lock();
        shown.iter().any(|s| s == what)
    }

    /// Registers, if there is anything to give; for prompts that nobody's order leads to, too, if this command waits for a card.
    pub async fn register(client: &Client, secrets: Secrets, awaits_card: bool) -> Outcome<Self> {
        let questions = secrets.questions();
        let wanted = secrets.any();
        let agent = Self {
            secrets: Arc::new(Mutex::new(secrets)),
            questions: questions.clone(),
            standing: Standing::default(),
            shown: Arc::default(),
        };
        if wanted {
            let object = Object {
                secrets: agent.secrets.clone(),
                questions,
                standing: agent.standing.clone(),
                shown: agent.shown.clone(),
            };
            client.connection().object_server().at(PATH, object).await?;
            let path = ObjectPath::from_static_str_unchecked(PATH);
            let method = if awaits_card {
                "RegisterDefaultAgent"
            } else {
                "RegisterAgent"
            };
            client.call::<_, ()>(method, &(path,)).await?;
        }
        Ok(agent)
    }

    /// A failure that a refused PIN of a script led to says so.
    pub fn explain(&self, failure: Failure) -> Failure {
        let secrets = self.secrets.lock();
        if !matches!(
            failure.code.known(),
            Some(Code::PinDeclined | Code::Declined)
        ) {
            return failure;
        }
        match secrets.rejected() {
            Some(kind) if kind.contains("terminal") => Failure::new(
                Code::TerminalPinIncorrect,
                "the terminal PIN that was given is wrong or too short; give the right one",
            ),
            Some(_) => Failure::new(
                Code::PinIncorrect,
                "the card PIN that was given is wrong; one try is used up, `simsync status` shows how many are left",
            ),
            None => failure,
        }
    }

    /// Asks the person at the terminal a yes or no; none if nobody sits there.
    pub async fn confirm(&self, question: String) -> Option<bool> {
        let secrets = self.secrets.clone();
        tokio::task::spawn_blocking(move || secrets.lock().confirm(&question))
            .await
            .ok()
            .flatten()
    }

    /// Shows nothing of what is typed, while somebody is going to be asked.
    pub fn silence(&self) -> Option<Silence> {
        let secrets = self.secrets.lock();
        secrets.silence()
    }

    /// Ends a prompt that is open, or the wait for a PIN on the reader.
    pub fn cancel_prompt(&self) {
        self.standing.replace(None);
        self.questions.call_off();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The interface as the daemon's XML describes it.
    #[test]
    fn the_interface_is_the_one_of_the_xml() {
        use zbus::object_server::Interface;
        let secrets = Secrets::new(crate::args::SecretArgs::default(), false);
        let object = Object {
            questions: secrets.questions(),
            secrets: Arc::new(Mutex::new(secrets)),
            standing: Standing::default(),
            shown: Shown::default(),
        };
        let mut own = String::new();
        object.introspect_to_writer(&mut own, 2);
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../daemon/dbus/org.simsync.SimSync1.Agent.xml"
        );
        let file = std::fs::read_to_string(path).unwrap();
        let plain = |s: &str| {
            let mut out = String::new();
            let mut rest = s;
            while let Some(start) = rest.find("<!--") {
                out.push_str(&rest[..start]);
                rest = rest[start..].split_once("-->").map_or("", |(_, r)| r);
            }
            out.push_str(rest);
            out.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert!(plain(&file).contains(&plain(&own)), "{own}");
    }
}
