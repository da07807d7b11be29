//! Every call against every kind of bad answer.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use simsync_protocol::api::{ANSWER_MAX, Narrow};
use simsync_protocol::problem::Code;
use simsync_protocol::{ClientError, Connection};
use simsync_vault::commit::SessionRef;
use simsync_vault::ids::{CollectionId, PackId};

use crate::false_server::{Answer, Body, DEADLINE, FalseServer, usable_or_closed};

type Called = Pin<Box<dyn Future<Output = Result<(), ClientError>> + Send>>;
type Call = fn(Connection) -> Called;

macro_rules! call {
    ($c:ident, $call:expr) => {
        |$c: Connection| -> Called { Box::pin(async move { $call.await.map(drop) }) }
    };
}

fn session() -> SessionRef {
    SessionRef {
        card: simsync_card::ids::CardId([1; 16]),
        n: 1,
    }
}

/// Calls of each kind: answers read whole, nothing but `null` wanted, uploads, packs, ranges, events.
const CALLS: &[(&str, Call)] = &[
    ("nonce", call!(c, c.nonce())),
    ("key_object", call!(c, c.key_object())),
    ("key_objects", call!(c, c.key_objects(0))),
    ("commits", call!(c, c.commits(0))),
    ("commit", call!(c, c.commit(vec![1], None))),
    ("put_tail", call!(c, c.put_tail(vec![1]))),
    ("tail", call!(c, c.tail(session()))),
    ("narrow", call!(c, c.narrow(Narrow::Removed))),
    ("forget", call!(c, c.forget(vec![session()]))),
    ("pack_state", call!(c, c.pack_state(PackId([1; 16])))),
    ("packs", call!(c, c.packs(CollectionId([1; 16])))),
    (
        "put_pack",
        call!(
            c,
            c.put_pack(
                PackId([1; 16]),
                CollectionId([1; 16]),
                Bytes::from_static(b"pack"),
                0
            )
        ),
    ),
    (
        "fetch_packs",
        call!(c, c.fetch_packs(vec![PackId([1; 16])])),
    ),
    (
        "fetch_range",
        call!(c, c.fetch_range(PackId([1; 16]), 0, 10)),
    ),
];

/// Small windows of HTTP/2, TLS and the sockets hold what was given and not asked for.
const WINDOWS: u64 = 24 << 20;

/// One call, which must fail clearly, in time, and with the connection usable or closed.
async fn refused(c: &Connection, name: &str, call: Call, tried: &str) -> ClientError {
    let result = tokio::time::timeout(DEADLINE, call(c.clone())).await;
    let error = match result.unwrap_or_else(|_| panic!("{name}, {tried}: no end")) {
        Err(error) => error,
        Ok(()) => panic!("{name}, {tried}: taken for good"),
    };
    let sentence = error.to_string();
    let plain = !sentence.chars().any(char::is_control);
    assert!(
        plain && sentence.chars().count() < 600,
        "{name}, {tried}: {sentence}"
    );
    usable_or_closed(c, &format!("{name}, {tried}")).await;
    error
}

/// All calls against one answer, side by side, each on a connection of its own.
async fn each(tried: &str, answer: Answer, check: impl Fn(&str, &ClientError) -> bool) {
    let server = FalseServer::start(answer).await;
    let calls = CALLS.iter().map(|(name, call)| {
        let server = &server;
        async move {
            let c = server.connect().await;
            (*name, refused(&c, name, *call, tried).await)
        }
    });
    for (name, error) in futures_util::future::join_all(calls).await {
        assert!(check(name, &error), "{name}, {tried}: {error:?}");
    }
}

/// The server is newer: its sentence is all that there is to go by.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_of_the_future_is_a_refusal_with_the_servers_sentence() {
    for status in [400, 403, 409, 500] {
        let body = format!(r#"{{"status":{status},"code":"of-the-future","detail":"a\tb"}}"#);
        each("unknown code", Answer::whole(status, body), |_, e| {
            e.code() == Some(Code::Unknown) && e.to_string() == "a b" && !e.is_transient()
        })
        .await;
    }
}

fn nonsense(_: &str, error: &ClientError) -> bool {
    matches!(error, ClientError::Protocol(_))
}

fn offline(_: &str, error: &ClientError) -> bool {
    matches!(error, ClientError::Offline(_))
}

/// For answers by which raw bytes are no worse than late: packs and ranges need not see through them.
fn either(name: &str, error: &ClientError) -> bool {
    nonsense(name, error) || (name.starts_with("fetch") && offline(name, error))
}

/// As a range, so that calls for one look at the body too.
fn partial(body: Body) -> Answer {
    Answer::new(206, body).with("content-range", "bytes 0-9/10")
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_answers_that_are_no_json_or_the_wrong_one_make_no_sense() {
    let long = format!("\"{}\\u001b[2J\"", "x".repeat(1 << 20));
    let enums = format!(r#"{{"state":"{}\u0000"}}"#, "y".repeat(1 << 20));
    let deep = "[".repeat(100_000);
    for body in [
        r#"{"server":"00"#,
        r#"{"server":5,"nonce":{}}"#,
        "[1,2,{\"a\":null}]",
        "\"text\"",
        "-1e999",
        "{}",
        "\u{feff}null",
        "<html>",
        &long,
        &enums,
        &deep,
    ] {
        let tried: String = body.chars().take(30).collect();
        each(&tried, Answer::whole(200, body.to_owned()), nonsense).await;
    }
    each(
        "not UTF-8",
        Answer::whole(200, &b"\xff\xfe\"\xc3\x28\""[..]),
        nonsense,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_statuses_without_a_problem_and_redirects_make_no_sense() {
    for status in [300, 400, 401, 404, 418, 500, 503, 599, 999] {
        each(
            &status.to_string(),
            Answer::whole(status, "sorry"),
            nonsense,
        )
        .await;
    }
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = Answer::whole(status, "").with("location", "/v1/health");
        each(
            &status.to_string(),
            elsewhere,
            |_, e| matches!(e, ClientError::Protocol(why) if why.contains(&status.to_string())),
        )
        .await;
    }
    for body in [
        r#"{"status":500,"code":"internal""#,
        r#"{"status":"500","code":"internal","detail":"x"}"#,
        r#"{"status":500,"code":7,"detail":null}"#,
        "[]",
    ] {
        let answer = Answer::whole(500, body).with("content-type", "application/problem+json");
        each(body, answer, nonsense).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_a_problems_sentence_is_fit_to_be_shown() {
    let detail = format!("a\\u0000b\\u001b[2J\\n{}", "z".repeat(60_000));
    let body = format!(r#"{{"status":403,"code":"terminal-revoked","detail":"{detail}"}}"#);
    each("a long sentence", Answer::whole(403, body), |_, e| {
        e.code() == Some(Code::TerminalRevoked) && e.to_string().starts_with("a b [2J zz")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_bodies_without_end_are_cut_at_their_limit() {
    let zeros = Bytes::from(vec![b' '; 64 << 10]);
    let server = FalseServer::start(partial(Body::Endless(Bytes::new(), zeros.clone()))).await;
    // One after the other, so that it is known whose bytes are counted.
    for (name, call) in CALLS {
        let c = server.connect().await;
        let error = refused(&c, name, *call, "endless").await;
        assert!(nonsense(name, &error), "{name}: {error:?}");
        let given = server.given();
        let most = if name.starts_with("fetch") {
            0
        } else {
            ANSWER_MAX as u64
        };
        assert!(given <= most + WINDOWS, "{name}: {given} bytes");
    }
    let start = Bytes::from_static(br#"{"status":500,"code":"internal","detail":""#);
    let a = Bytes::from(vec![b'a'; 64 << 10]);
    server.answer(Answer::new(500, Body::Endless(start, a)));
    for (name, call) in CALLS {
        let c = server.connect().await;
        let error = refused(&c, name, *call, "a problem without end").await;
        assert!(nonsense(name, &error), "{name}: {error:?}");
        let given = server.given();
        assert!(given <= WINDOWS, "{name}: {given} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_a_promise_of_ten_gigabytes_is_refused_before_it_is_kept() {
    let promise = |status| {
        let mut answer = partial(Body::Hangs(Bytes::from_static(b" ")));
        answer.status = status;
        answer.with("content-length", "10000000000")
    };
    each("10 GB", promise(206), either).await;
    each("10 GB of problem", promise(500), nonsense).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m10_answers_that_never_come_or_never_end_are_offline() {
    each("silence", Answer::silence(), offline).await;
    let nothing = Bytes::new();
    let late = partial(Body::Hangs(nothing.clone()));
    each("headers only", late, offline).await;
    let problem = Bytes::from_static(b"{\"status\":");
    each(
        "half a problem",
        Answer::new(500, Body::Hangs(problem)),
        offline,
    )
    .await;
    // Something comes all the time, and never enough; or nothing that counts does.
    let blank = Bytes::from_static(b" ");
    let slow = partial(Body::Drips(nothing.clone(), blank.clone()));
    each("drop by drop", slow, |name, e| {
        offline(name, e) || either(name, e)
    })
    .await;
    let empty = partial(Body::Drips(nothing.clone(), nothing.clone()));
    each("empty frames", empty, offline).await;
    let slow = Answer::new(500, Body::Drips(nothing, blank));
    each("a problem drop by drop", slow, offline).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m10_answers_that_break_off_are_offline() {
    let half = Bytes::from_static(b"{\"server\"");
    each("reset", partial(Body::Breaks(half.clone())), offline).await;
    each("cut", partial(Body::Cut(half.clone())), offline).await;
    each(
        "reset",
        Answer::new(500, Body::Breaks(half.clone())),
        offline,
    )
    .await;
    each("cut", Answer::new(500, Body::Cut(half)), offline).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_a_flood_of_headers_is_refused() {
    let mut flood = Answer::whole(200, "null");
    for _ in 0..100 {
        flood = flood.with("x-flood", "f".repeat(1000));
    }
    each("100 kB of headers", flood, |_, _| true).await;
}
