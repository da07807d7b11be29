//! Server-sent events.

use http::Method;
use hyper::body::Incoming;
use tokio::time;

use super::body::{self};
use super::{ClientError, Connection};
use crate::api::ServerEvent;

/// Longest event that is read.
const EVENT_MAX: usize = 64 << 10;

impl Connection {
    /// `GET /v1/events` (certificate): first the state, then what happens.
    pub async fn events(&self) -> Result<Events, ClientError> {
        let request = self.request(Method::GET, "/v1/events", None)?;
        let answer = time::timeout(self.0.timeouts.request, self.exchange(request))
            .await
            .map_err(|_| ClientError::timed_out("request"))??;
        Ok(Events {
            body: answer.into_body(),
            parser: Parser::default(),
            _connection: self.clone(),
        })
    }
}

/// A stream of events. That the connection is alive is HTTP/2's business (pings), so silence has no deadline here.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    parser: Parser,
    _connection: Connection,
}

impl Events {
    /// The next event; `None` when the server ended the stream. Events of a newer server are skipped.
    pub async fn next(&mut self) -> Result<Option<ServerEvent>, ClientError> {
        loop {
            if let Some(event) = self.parser.next_event()? {
                return Ok(Some(event));
            }
            // A year: the stream may be silent for as long as it likes.
            let silence = std::time::Duration::from_secs(365 * 24 * 3600);
            match body::next_piece(&mut self.body, silence).await? {
                Some(piece) => self.parser.push(&piece)?,
                None => return Ok(None),
            }
        }
    }
}

/// Takes bytes, gives events: lines, `data:` collected until an empty line.
#[derive(Debug, Default)]
struct Parser {
    input: Vec<u8>,
}

impl Parser {
    fn push(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        if self.input.len() + bytes.len() > EVENT_MAX {
            return Err(ClientError::Protocol("an event is too long".into()));
        }
        self.input.extend_from_slice(bytes);
        Ok(())
    }

    fn next_event(&mut self) -> Result<Option<ServerEvent>, ClientError> {
        while let Some(end) = self.input.windows(2).position(|w| w == b"\n\n") {
            let block: Vec<u8> = self.input.drain(..end + 2).collect();
            let text = String::from_utf8_lossy(&block);
            let data: String = text
                .lines()
                .filter_map(|l| l.strip_prefix("data:"))
                .map(|l| l.strip_prefix(' ').unwrap_or(l))
                .collect::<Vec<_>>()
                .join("\n");
            if data.is_empty() {
                continue;
            }
            match serde_json::from_str(&data) {
                Ok(event) => return Ok(Some(event)),
                Err(e) => tracing::debug!("an event that this version does not know: {e}"),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_in_pieces_and_unknown_ones_skipped() {
        let text = ": hello\n\nevent: news\ndata: {\"event\":\"news\"}\n\nevent: shutdown\ndata: {\"event\":\"shutdown\"}\n\n";
        for step in [1, 3, 1000] {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for part in text.as_bytes().chunks(step) {
                parser.push(part).unwrap();
                events.extend(parser.next_event().unwrap());
            }
            assert_eq!(events, [ServerEvent::Shutdown]);
        }
        assert!(Parser::default().push(&vec![b'x'; EVENT_MAX + 1]).is_err());
    }
}
