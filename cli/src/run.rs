//! Ordering work: the agent comes first, a session is opened when the work needs one, then the job is followed.

use simsync_codes::Code;
use std::time::Duration;

use zbus::{DynamicType, OwnedObjectPath};

use crate::agent::Agent;
use crate::args::{Common, SecretArgs};
use crate::client::{Client, ROOT, Signal};
use crate::failure::{Failure, Outcome};
use crate::job::{Follow, JobView};
use crate::output::Output;
use crate::secrets::Secrets;

/// An order and how it is given.
pub struct Runner<'a> {
    /// Options of all commands.
    pub common: &'a Common,
    /// Where it is told.
    pub output: &'a Output,
    /// Where PINs come from.
    pub secrets: &'a SecretArgs,
    /// The new PIN is this terminal's.
    pub new_is_terminals: bool,
    /// What would be asked is answered with yes.
    pub yes: bool,
    /// Asked before anything starts; none if it need not be.
    pub question: Option<&'a str>,
    /// If no card is in, it is waited for.
    pub await_card: bool,
    /// Where nobody sits at a terminal, the question is not asked.
    pub only_persons: bool,
}

impl<'a> Runner<'a> {
    /// The usual case.
    pub fn new(common: &'a Common, output: &'a Output, secrets: &'a SecretArgs) -> Self {
        Self {
            common,
            output,
            secrets,
            new_is_terminals: false,
            yes: false,
            question: None,
            await_card: false,
            only_persons: false,
        }
    }

    /// Gives the order. None if it was only started (`--no-wait`), which is told already.
    pub async fn give<B>(&self, method: &str, body: &B) -> Outcome<Option<JobView>>
    where
        B: serde::Serialize + DynamicType + Sync,
    {
        let client = Client::connect(self.common.bus.as_deref()).await?;
        let mut secrets = Secrets::new(self.secrets.clone(), self.new_is_terminals);
        if matches!(method, "Pair" | "ChangeCardPin" | "ChangeTerminalPin") {
            secrets.open_no_session();
        }
        let can_ask = secrets.any();
        if let Some(question) = self.question
            && !self.yes
        {
            match secrets.confirm(question) {
                Some(true) => {}
                Some(false) => return Err(Failure::new(Code::Declined, "nothing was done")),
                None if self.only_persons => {}
                None => {
                    return Err(Failure::new(
                        Code::ReviewWaiting,
                        "nothing was done: this needs your word; run it on a terminal, or with --yes",
                    ));
                }
            }
        }
        // From here on Ctrl-C comes to whatever waits: it must not end a process that has taken the echo away.
        let _interrupts = interrupts()?;
        // Before anybody can ask, and before a card is asked for: what is typed ahead of the prompt is not seen.
        let silence = asks(method).then(|| secrets.silence()).flatten();
        let agent = Agent::register(&client, secrets, self.await_card).await?;
        let follow = Follow {
            client: &client,
            output: self.output,
            agent: &agent,
            yes: self.yes,
            timeout: self.common.timeout.map(Duration::from_secs),
        };
        let path = match unless_interrupted(client.order(method, body)).await {
            // Work that needs a session opens one first: the person is here and has the PIN.
            Err(failure) if failure.code == Code::Locked && can_ask && method != "Unlock" => {
                let for_unlock = silence.is_none().then(|| agent.silence()).flatten();
                let unlock = unless_interrupted(client.order("Unlock", &())).await?;
                follow.end(&unlock).await?;
                drop(for_unlock);
                unless_interrupted(client.order(method, body)).await?
            }
            Err(failure) if self.await_card && wants_card(&failure) => {
                self.when_card_comes(&client, method, body).await?
            }
            other => other?,
        };
        if self.common.no_wait {
            self.output.result("job", &path.as_str(), || {
                format!("Started; `simsync status` shows how it is doing ({path}).")
            });
            return Ok(None);
        }
        let job = follow.end(&path).await?;
        drop(silence);
        for (value, word, secret) in SHOWN {
            if job.value(value) == word && !agent.has_shown(secret) {
                return Err(not_shown(secret));
            }
        }
        Ok(Some(job))
    }

    /// Gives the order as soon as a card is in. The agent is registered already, so the card need not be looked at twice.
    async fn when_card_comes<B>(
        &self,
        client: &Client,
        method: &str,
        body: &B,
    ) -> Outcome<OwnedObjectPath>
    where
        B: serde::Serialize + DynamicType + Sync,
    {
        self.output.line("Put your card in.");
        let limit = self.common.timeout.map(Duration::from_secs);
        let coming = async {
            // Signals first, then the order: no insertion falls in between.
            let mut signals = client.signals(ROOT).await?;
            loop {
                match client.order(method, body).await {
                    Err(failure) if wants_card(&failure) => {}
                    other => return other,
                }
                if signals.next().await != Signal::Changed {
                    return Err(Failure::no_daemon("it stopped while a card was waited for"));
                }
            }
        };
        let over = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            result = coming => result,
            () = over => Err(Failure::new(Code::NoCard, "no card was put in in time")),
            _ = tokio::signal::ctrl_c() => Err(Failure::new(Code::Cancelled, "cancelled; no card was put in")),
        }
    }
}

/// What a job says that it made, and the secret that was shown for it then.
const SHOWN: [(&str, &str, &str); 1] = [("vault", "made", "recovery-code")];

/// The daemon says that somebody took note of it, and that was not this command.
fn not_shown(secret: &str) -> Failure {
    Failure::new(
        Code::NotShown,
        format!(
            "it was done, but the {secret} was not shown here: the program that `simsync status` names at \"Asks at an insertion\" took note of it. If that is not your desktop's prompt, somebody else has it: begin anew with another card"
        ),
    )
}

/// Whether the order may ask for a secret: its caller's terminal shows nothing until it is done.
fn asks(method: &str) -> bool {
    !matches!(
        method,
        "Sync" | "Eject" | "AnswerCollection" | "ConfirmServer" | "Forget" | "ForgetPairing"
    )
}

/// Ctrl-C is heard by whoever waits for it while this lives, and by nobody else.
pub(crate) fn interrupts() -> Outcome<tokio::signal::unix::Signal> {
    let kind = tokio::signal::unix::SignalKind::interrupt();
    tokio::signal::unix::signal(kind).map_err(|e| Failure::new(Code::Failed, e.to_string()))
}

async fn unless_interrupted<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    tokio::select! {
        result = work => result,
        _ = tokio::signal::ctrl_c() => Err(Failure::new(Code::Cancelled, "cancelled")),
    }
}

fn wants_card(failure: &Failure) -> bool {
    matches!(failure.code.known(), Some(Code::NoCard | Code::NoReader))
}
