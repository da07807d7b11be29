//! Streams of events that hold anything but events.

use bytes::Bytes;
use simsync_protocol::api::ServerEvent;
use simsync_protocol::client::Events;
use simsync_protocol::{ClientError, Connection};

use crate::false_server::{Answer, Body, DEADLINE, FalseServer, usable_or_closed};

const SHUTDOWN: &str = "event: shutdown\ndata: {\"event\":\"shutdown\"}\n\n";

async fn next(events: &mut Events) -> Result<Option<ServerEvent>, ClientError> {
    let next = tokio::time::timeout(DEADLINE, events.next()).await;
    next.expect("in time")
}

async fn listen(server: &FalseServer, body: Body) -> (Connection, Events) {
    server.answer(Answer::new(200, body));
    let c = server.connect().await;
    let events = c.events().await.unwrap();
    (c, events)
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_noise_between_events_is_skipped() {
    let server = FalseServer::start(Answer::silence()).await;
    let deep = format!("data: {}\n\n", "[".repeat(60_000));
    let long = format!("event: {}\n\n", "x".repeat(60_000));
    for noise in [
        "\n\n\n\n\n",
        ":\n\n: ping\n\n",
        "data\n\ndata:\n\ndata: \n\n",
        "data: {\"event\":\"of-the-future\",\"x\":[1]}\n\n",
        "data: {\"event\":\"hello\"\n\n",
        "data: {\"event\":\"head-moved\",\"head\":5,\"terminal\":null}\n\n",
        "id: 7\nretry: 0\nfoo\n\n",
        &deep,
        &long,
    ] {
        let text = format!("{noise}{SHUTDOWN}");
        let (_c, mut events) = listen(&server, Body::Whole(text.into())).await;
        let tried: String = noise.chars().take(40).collect();
        let event = next(&mut events).await.unwrap();
        assert_eq!(event, Some(ServerEvent::Shutdown), "after {tried:?}");
        assert_eq!(next(&mut events).await.unwrap(), None, "after {tried:?}");
    }
    let raw = [b"data: \xff\xfe\x00\n\n", SHUTDOWN.as_bytes()].concat();
    let (_c, mut events) = listen(&server, Body::Whole(raw.into())).await;
    assert_eq!(
        next(&mut events).await.unwrap(),
        Some(ServerEvent::Shutdown)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_many_events_at_once_are_all_taken() {
    let server = FalseServer::start(Answer::silence()).await;
    let many = 20_000;
    let text = SHUTDOWN.repeat(many);
    let (_c, mut events) = listen(&server, Body::Whole(text.into())).await;
    for n in 0..many {
        let event = next(&mut events).await;
        assert_eq!(event.unwrap(), Some(ServerEvent::Shutdown), "event {n}");
    }
    assert_eq!(next(&mut events).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_an_event_without_end_is_refused() {
    let server = FalseServer::start(Answer::silence()).await;
    let x = Bytes::from(vec![b'x'; 64 << 10]);
    let lines = Bytes::from_static(b"data: 1\n");
    for (tried, start, more) in [
        ("a line", "data: ", x.clone()),
        ("a comment", ":", x),
        ("lines", "", lines.repeat(1000).into()),
        ("a letter at a time", "", Bytes::from_static(b"x")),
    ] {
        server.given();
        let body = Body::Endless(start.into(), more);
        let (c, mut events) = listen(&server, body).await;
        let error = next(&mut events).await.expect_err(tried);
        // A flood of tiny frames may be cut off by the HTTP/2 library first, which ends the connection.
        let flood = tried == "a letter at a time" && matches!(error, ClientError::Offline(_));
        assert!(
            flood || matches!(error, ClientError::Protocol(_)),
            "{tried}: {error:?}"
        );
        drop(events);
        usable_or_closed(&c, tried).await;
        let given = server.given();
        assert!(given < 32 << 20, "{tried}: {given} bytes were taken");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn m10_streams_that_break_off_are_offline_and_answers_that_are_none_make_no_sense() {
    let server = FalseServer::start(Answer::silence()).await;
    let half = Bytes::from_static(b"data: {\"ev");
    for body in [Body::Breaks(half.clone()), Body::Cut(half.clone())] {
        server.answer(Answer::new(200, body));
        // The end may overtake the beginning.
        let error = match server.connect().await.events().await {
            Ok(mut events) => next(&mut events).await.unwrap_err(),
            Err(error) => error,
        };
        assert!(matches!(error, ClientError::Offline(_)), "{error:?}");
    }
    // Ended in good order, if in the middle of an event: whoever listens connects again.
    let (_c, mut events) = listen(&server, Body::Whole(half)).await;
    assert_eq!(next(&mut events).await.unwrap(), None);
    let c = server.connect().await;
    for status in [302, 404, 500] {
        server.answer(Answer::whole(status, "no"));
        let error = c.events().await.unwrap_err();
        assert!(matches!(error, ClientError::Protocol(_)), "{error:?}");
    }
    server.answer(Answer::silence());
    let error = tokio::time::timeout(DEADLINE, c.events()).await.unwrap();
    assert!(matches!(error, Err(ClientError::Offline(_))), "{error:?}");
    c.health().await.unwrap();
}
