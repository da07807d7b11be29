//! The message that a PIN is to be typed on the reader, at an agent.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::net::unix::pipe;
use zbus::{Fd, Variant};

use super::{Answer, BusAgents, Prompt, cancel};
use crate::api::{AgentError, Caller, Message, PadRequest, PadShown};
use crate::bus::text;

/// How long an agent may take to show a message.
const SHOW_DEADLINE: Duration = Duration::from_secs(5);

impl BusAgents {
    /// Has an agent tell the person. One that knows nothing of PIN pads is passed over.
    pub(super) async fn show_pad_message(
        &self,
        by: Option<&Caller>,
        request: &PadRequest,
    ) -> Result<PadShown, AgentError> {
        for agent in self.asked(by) {
            let until = tokio::time::Instant::now() + SHOW_DEADLINE;
            let prompt = Prompt::new(&agent);
            let body = (details(request),);
            let reply = match self.call(&agent, until, "ShowPinPad", &body).await {
                Answer::Given(reply) => reply,
                // The next one may be awake; what this one may show yet is withdrawn.
                Answer::Ended(AgentError::TimedOut) => continue,
                Answer::Ended(error) => {
                    prompt.over();
                    return Err(error);
                }
                Answer::Next => {
                    prompt.over();
                    continue;
                }
            };
            let fd = reply.body().deserialize::<Fd<'_>>().map(OwnedFd::try_from);
            match fd {
                Ok(Ok(fd)) => match pipe::Receiver::from_owned_fd(fd) {
                    Ok(end) => return Ok(PadShown::new(declined(end), prompt)),
                    Err(error) => {
                        tracing::warn!(agent = %agent.path, %error, "an agent answered with something that is no pipe");
                    }
                },
                _ => {
                    tracing::warn!(agent = %agent.path, "an agent answered without a descriptor");
                }
            }
        }
        Err(AgentError::NoAgent)
    }
}

impl Message for Prompt {
    fn withdraw(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        let agent = self.0.take();
        Box::pin(async move {
            if let Some(agent) = agent {
                cancel(agent).await;
            }
        })
    }
}

/// Ends when the agent closes its end, or says anything at all.
async fn declined(end: pipe::Receiver) {
    loop {
        if end.readable().await.is_err() {
            return;
        }
        match end.try_read(&mut [0; 1]) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            _ => return,
        }
    }
}

/// What an agent is told.
fn details(request: &PadRequest) -> HashMap<&'static str, Variant<'static>> {
    let mut out = HashMap::from([
        ("reader", Variant::from(text::carried(&request.reader))),
        ("purpose", Variant::from(request.purpose.word())),
        ("retry", Variant::from(request.retry)),
        ("seconds", Variant::from(request.seconds)),
    ]);
    if let Some(tries) = request.tries_left {
        out.insert("tries_left", Variant::from(u32::from(tries)));
    }
    out
}
