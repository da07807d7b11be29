//! The operator's socket: one JSON order a line, one JSON answer a line. It lies in the server's folder, which only
//! the server's user may enter.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use simsync_protocol::problem::{Code, Problem};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time;

use super::{AdminCommand, Outcome, execute};
use crate::app::App;

/// Longest order, in bytes: a list of 10,000 people.
const ORDER_MAX: u64 = 4 << 20;
/// How long an order may take to arrive, and its answer to come.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Ok(Outcome),
    Refused(Problem),
}

/// Listens, for the server's user only. A socket that a dead server left is replaced; the folder's lock is held.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers orders until the task is aborted.
pub async fn serve(app: Arc<App>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let app = app.clone();
                tokio::spawn(async move {
                    if let Err(e) = answer(&app, stream).await {
                        tracing::debug!("an operator's connection ended: {e}");
                    }
                });
            }
            Err(e) => {
                tracing::warn!("an operator's connection could not be accepted: {e}");
                time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn answer(app: &App, stream: UnixStream) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut limited = BufReader::new(read.take(ORDER_MAX));
    time::timeout(PATIENCE, limited.read_line(&mut line)).await??;
    let answer = match serde_json::from_str::<AdminCommand>(&line) {
        Ok(order) => match execute(app.store(), order, app.now()).await {
            Ok(outcome) => Answer::Ok(outcome),
            Err(problem) => Answer::Refused(problem),
        },
        Err(e) => Answer::Refused(Problem::new(
            Code::BadRequest,
            format!("not an order that this server knows: {e}"),
        )),
    };
    let mut bytes = serde_json::to_vec(&answer)?;
    bytes.push(b'\n');
    write.write_all(&bytes).await?;
    write.shutdown().await
}

/// Gives an order to the server that runs in this folder; `None` if none runs.
pub async fn order(
    path: &Path,
    order: &AdminCommand,
) -> Option<io::Result<Result<Outcome, Problem>>> {
    let stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return None;
        }
        Err(e) => return Some(Err(e)),
    };
    Some(exchange(stream, order).await)
}

async fn exchange(
    mut stream: UnixStream,
    order: &AdminCommand,
) -> io::Result<Result<Outcome, Problem>> {
    let mut bytes = serde_json::to_vec(order)?;
    bytes.push(b'\n');
    stream.write_all(&bytes).await?;
    let mut answer = Vec::new();
    time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await??;
    Ok(match serde_json::from_slice(&answer)? {
        Answer::Ok(outcome) => Ok(outcome),
        Answer::Refused(problem) => Err(problem),
    })
}
