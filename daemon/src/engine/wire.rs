//! Calls to the server from threads that may block: each ends with its answer, or with the stop.

use simsync_protocol::client::{ClientError, Connection};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::EngineError;
use super::cancel::Cancel;

/// Waits for the server, never longer than for the stop.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    runtime: Handle,
    cancel: Cancel,
}

impl Wire {
    /// Calls run there, until this stops them.
    pub(super) fn new(runtime: Handle, cancel: Cancel) -> Self {
        Self { runtime, cancel }
    }

    /// Waits for a call to the server, or for the stop.
    pub(super) fn net<T>(
        &self,
        call: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, EngineError> {
        self.cancel.check()?;
        self.or_stopped(async { call.await.map_err(EngineError::from) })
    }

    /// The same, for something without which everything else goes on. None: this answer failed, and the next may not.
    pub(super) fn net_if_there<T>(
        &self,
        conn: &Connection,
        call: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<Option<T>, EngineError> {
        match self.net(call) {
            Ok(answer) => Ok(Some(answer)),
            Err(EngineError::Server(error)) if conn.only_answer_failed(&error) => {
                tracing::warn!(%error, "the server does not give what it should have");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for whatever it is, or for the stop.
    pub(super) fn or_stopped<T>(
        &self,
        what: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        self.runtime.block_on(until(&self.cancel, what))
    }

    /// Begins something that goes on beside; the stop ends it, too.
    pub(super) fn beside<T: Send + 'static>(
        &self,
        what: impl Future<Output = Result<T, EngineError>> + Send + 'static,
    ) -> JoinHandle<Result<T, EngineError>> {
        let cancel = self.cancel.clone();
        self.runtime
            .spawn(async move { until(&cancel, what).await })
    }

    /// Waits for what went on beside, to its very end.
    pub(super) fn end_of<T>(
        &self,
        beside: JoinHandle<Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        let ended = self.runtime.block_on(beside);
        ended.unwrap_or(Err(EngineError::Cancelled))
    }
}

async fn until<T>(
    cancel: &Cancel,
    what: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(EngineError::Cancelled),
        result = what => result,
    }
}
