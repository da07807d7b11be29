//! Server-sent events.

use bytes::BytesMut;
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
                Some(piece) => self.parser.push(&piece),
                None => return Ok(None),
            }
        }
    }
}

/// Takes bytes, gives events: lines, `data:` collected until an empty line.
#[derive(Debug, Default)]
struct Parser {
    input: BytesMut,
    /// So many bytes of the input are known to end no event.
    searched: usize,
}

impl Parser {
    /// Takes what arrived. Call [`Self::next_event`] until it answers `None` before the next push.
    fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    fn next_event(&mut self) -> Result<Option<ServerEvent>, ClientError> {
        loop {
            let unknown = self.input.get(self.searched..).unwrap_or_default();
            let end = unknown.windows(2).position(|w| w == b"\n\n");
            // What one push brought may be many events; one of them, whole or not yet, has its limit.
            let length = end.map_or(self.input.len(), |end| self.searched + end + 2);
            if length > EVENT_MAX {
                return Err(ClientError::nonsense("an event is too long"));
            }
            if end.is_none() {
                self.searched = length.saturating_sub(1);
                return Ok(None);
            }
            self.searched = 0;
            if let Some(event) = read(&self.input.split_to(length)) {
                return Ok(Some(event));
            }
        }
    }
}

/// The event of one block of lines, if it has one that this version knows.
fn read(block: &[u8]) -> Option<ServerEvent> {
    let text = String::from_utf8_lossy(block);
    let data: String = text
        .lines()
        .filter_map(|l| l.strip_prefix("data:"))
        .map(|l| l.strip_prefix(' ').unwrap_or(l))
        .collect::<Vec<_>>()
        .join("\n");
    if data.is_empty() {
        return None;
    }
    serde_json::from_str(&data)
        .inspect_err(|e| tracing::debug!("an event that this version does not know: {e}"))
        .ok()
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
                parser.push(part);
                events.extend(parser.next_event().unwrap());
            }
            assert_eq!(events, [ServerEvent::Shutdown]);
        }
    }

    #[test]
    fn one_event_has_a_limit_and_many_have_none() {
        let mut parser = Parser::default();
        parser.push(&vec![b'x'; EVENT_MAX]);
        assert_eq!(parser.next_event().unwrap(), None);
        parser.push(b"x");
        assert!(parser.next_event().is_err());
        let whole = [&vec![b'x'; EVENT_MAX][..], b"\n\n"].concat();
        let mut parser = Parser::default();
        parser.push(&whole);
        assert!(parser.next_event().is_err());
        let mut parser = Parser::default();
        let many = EVENT_MAX / 10;
        parser.push(&b"data: {\"event\":\"shutdown\"}\n\n".repeat(many));
        for _ in 0..many {
            assert_eq!(parser.next_event().unwrap(), Some(ServerEvent::Shutdown));
        }
        assert_eq!(parser.next_event().unwrap(), None);
    }
}
