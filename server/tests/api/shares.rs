//! What one terminal can take from the others: nothing beyond its share, of memory, places and the audit log.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Method, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use simsync_card::ids::Hash;
use simsync_protocol::client::Timeouts;
use simsync_protocol::problem::{Code, Problem};
use simsync_server::admin::AdminCommand;
use simsync_server::config::{Limits, PIECE, Share, TAIL_JSON, UPLOAD_MEMORY};
use simsync_server::store::types::CompletePacks;
use simsync_server::testing::{
    Opened, Seed, ServerProcess, SoftCard, SoftTerminal, World, put_all, refused,
};
use simsync_vault::ids::PackId;
use tokio::time::{Instant, timeout};

use crate::hostile::{Body, DEADLINE, dial_as, problem_of, request, send, whole};

const MIB: usize = 1 << 20;

/// The default limits with another share of each terminal, and without patience.
fn limits(change: impl FnOnce(&mut Share)) -> Limits {
    let mut limits = Limits {
        share_wait: Duration::from_millis(50),
        ..Limits::default()
    };
    change(&mut limits.terminal);
    limits
}

/// Waits until it is so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Bytes, and then nothing, without an end.
fn hanging(bytes: Bytes) -> Body {
    let first = stream::iter([Ok(Frame::data(bytes))]);
    StreamBody::new(first.chain(stream::pending())).boxed_unsync()
}

/// Begins a request whose body never ends, though its length is told; the answer comes through the task.
async fn hang(
    sender: &mut SendRequest<Body>,
    method: Method,
    path: &str,
    length: usize,
    sent: &Bytes,
) -> tokio::task::JoinHandle<hyper::Result<Response<Incoming>>> {
    let begun = request(&method, path).header("content-length", length);
    let body = hanging(sent.clone());
    sender.ready().await.unwrap();
    tokio::spawn(sender.send_request(begun.body(body).unwrap()))
}

async fn ready_problem(
    answer: tokio::task::JoinHandle<hyper::Result<Response<Incoming>>>,
) -> Problem {
    let answer = timeout(DEADLINE, answer).await.unwrap().unwrap().unwrap();
    if answer.status() == 429 || answer.status() == 503 {
        let wait = answer.headers().get("retry-after").unwrap();
        assert!(wait.to_str().unwrap().parse::<u64>().unwrap() > 0);
    }
    problem_of(answer, "a request").await
}

/// Somebody else of another subscriber, with a session that works.
async fn stranger_uploads(w: &World) {
    let client = w.client();
    let (subscriber, code) = w.server.add_subscriber("Bob").await;
    let card = SoftCard::new(&w.seed);
    card.enrol(&client, &subscriber, &code).await.unwrap();
    let mut terminal = SoftTerminal::new(&w.seed);
    terminal.pair(&client, &subscriber, &card).await.unwrap();
    let opened = terminal.open(&client, &card).await.unwrap();
    upload(w, &opened).await;
}

async fn upload(w: &World, opened: &Opened) {
    let (_, pack) = w.pack(w.files, MIB);
    put_all(&opened.connection, [pack]).await.unwrap();
}

#[tokio::test]
async fn w_6_half_sent_bodies_hold_one_terminals_share_and_no_more() {
    let w = World::with_limits(limits(|t| t.memory = 40 * MIB)).await;
    let mut sender = dial_as(w.server.socket(), &w.a.identity()).await;
    let (mut answers, half) = (Vec::new(), Bytes::from(vec![b' '; TAIL_JSON / 2]));
    for _ in 0..30 {
        let path = "/v1/tails";
        answers.push(hang(&mut sender, Method::PUT, path, TAIL_JSON, &half).await);
    }
    // Two of three times 6 MiB fit; the others are told to come again.
    until("all but two are refused", || {
        answers.iter().filter(|a| a.is_finished()).count() == 28
    })
    .await;
    let held = w.server.app().shares.memory_held();
    assert!((36 * MIB..=40 * MIB).contains(&held), "{held}");
    for answer in answers.into_iter().filter(|a| a.is_finished()) {
        assert_eq!(ready_problem(answer).await.code, Code::RateLimited);
    }
    // Nobody else notices.
    let b = w.open_b().await;
    upload(&w, &b).await;
    stranger_uploads(&w).await;
    // What was held is given back with the connection.
    drop(sender);
    until("memory is given back", || {
        w.server.app().shares.memory_held() == 0
    })
    .await;
}

#[tokio::test]
async fn w_6_a_body_without_a_length_costs_what_its_path_allows() {
    let w = World::with_limits(limits(|t| t.memory = 40 * MIB)).await;
    let mut sender = dial_as(w.server.socket(), &w.a.identity()).await;
    let body = hanging(Bytes::from_static(b" "));
    let put = request(&Method::PUT, "/v1/tails").body(body).unwrap();
    sender.ready().await.unwrap();
    let answer = tokio::spawn(sender.send_request(put));
    let shares = &w.server.app().shares;
    until("the path's limit is reserved", || {
        shares.memory_held() >= 3 * TAIL_JSON
    })
    .await;
    answer.abort();
    // A small path takes a small body, whatever its length says.
    let large = hang(
        &mut sender,
        Method::POST,
        "/v1/sessions",
        MIB,
        &Bytes::new(),
    )
    .await;
    assert_eq!(ready_problem(large).await.code, Code::TooLarge);
}

#[tokio::test]
async fn w_6_the_program_stays_small_under_half_sent_bodies() {
    let server = ServerProcess::start(env!("CARGO_BIN_EXE_simsync-server"));
    let (seed, client) = (Seed::new(), server.client());
    let (subscriber, code) = server.add_subscriber("Alice");
    let card = SoftCard::new(&seed);
    card.enrol(&client, &subscriber, &code).await.unwrap();
    let mut terminal = SoftTerminal::new(&seed);
    terminal.pair(&client, &subscriber, &card).await.unwrap();
    let mut sender = dial_as(server.socket(), &terminal.identity()).await;
    let before = server.peak_memory();
    let (mut answers, nearly) = (Vec::new(), Bytes::from(vec![b' '; TAIL_JSON - 1]));
    for _ in 0..60 {
        let path = "/v1/tails";
        answers.push(hang(&mut sender, Method::PUT, path, TAIL_JSON, &nearly).await);
    }
    // 72 MiB are four bodies of 6 MiB, three times each.
    until("all but four are refused", || {
        answers.iter().filter(|a| a.is_finished()).count() == 56
    })
    .await;
    let more = server.peak_memory() - before;
    assert!(more < 80 << 10, "{more} KiB");
    let health = request(&Method::GET, "/v1/health").body(whole("")).unwrap();
    assert_eq!(send(&mut sender, health).await.unwrap().status(), 200);
}

#[tokio::test]
async fn w_6_downloads_that_nobody_reads_hold_one_terminals_share_and_no_more() {
    let share = 20 * MIB;
    let mut w = World::with_limits(limits(|t| t.memory = share)).await;
    let a = w.open_a().await;
    let (named, pack) = w.pack(w.files, 2 * MIB);
    put_all(&a.connection, [pack.clone()]).await.unwrap();
    let mut body = w.vault.body(&w.a, &a.statement, None);
    body.packs_added = vec![named];
    w.vault.commit(&a, &w.a, body).await.unwrap();

    let mut unread = Vec::new();
    for _ in 0..3 {
        let mut sender = dial_as(w.server.socket(), &w.a.identity()).await;
        for _ in 0..60 {
            let path = format!("/v1/packs/{}", named.id);
            let get = request(&Method::GET, &path).body(whole("")).unwrap();
            let answer = send(&mut sender, get).await.unwrap();
            assert_eq!(answer.status(), 200);
            unread.push((sender.clone(), answer));
        }
    }
    let shares = &w.server.app().shares;
    until("the share is used up", || {
        shares.memory_held() > share - PIECE
    })
    .await;
    assert!(shares.memory_held() <= share);
    // Others read at once.
    let b = w.open_b().await;
    let fetched = b.connection.fetch_packs(vec![named.id]).await.unwrap();
    assert_eq!(fetched, [pack]);
    stranger_uploads(&w).await;
    drop(unread);
    until("memory is given back", || shares.memory_held() == 0).await;
}

#[tokio::test]
async fn w_6_an_answer_that_nobody_takes_ends_its_connection() {
    let limits = Limits {
        answer_stall: Duration::from_millis(300),
        ..Limits::default()
    };
    let mut w = World::with_limits(limits).await;
    let a = w.open_a().await;
    let (named, pack) = w.pack(w.files, 2 * MIB);
    put_all(&a.connection, [pack]).await.unwrap();
    let mut body = w.vault.body(&w.a, &a.statement, None);
    body.packs_added = vec![named];
    w.vault.commit(&a, &w.a, body).await.unwrap();
    let mut sender = dial_as(w.server.socket(), &w.a.identity()).await;
    let path = format!("/v1/packs/{}", named.id);
    let get = request(&Method::GET, &path).body(whole("")).unwrap();
    let unread = send(&mut sender, get).await.unwrap();
    until("the connection ends", || sender.is_closed()).await;
    drop(unread);
    // One that reads goes on.
    a.connection.fetch_packs(vec![named.id]).await.unwrap();
}

#[tokio::test]
async fn w_6_large_json_answers_count_until_they_are_sent() {
    let mut w = World::new().await;
    let a = w.open_a().await;
    // Rows are enough: only the list of packs is asked for.
    let named: Vec<_> = (0..1000).map(|_| w.pack(w.files, 1).0).collect();
    let hash = Hash(w.seed.bytes());
    let rows = CompletePacks {
        subscriber: w.subscriber.clone(),
        terminal: w.a.id(),
        packs: named.iter().map(|pack| (*pack, hash)).collect(),
        now: w.server.app().now(),
    };
    let packs = w.server.app().packs();
    packs.complete_packs(rows).await.unwrap();
    let mut body = w.vault.body(&w.a, &a.statement, None);
    body.packs_added = named;
    w.vault.commit(&a, &w.a, body).await.unwrap();
    let shares = &w.server.app().shares;
    until("nothing is held", || shares.memory_held() == 0).await;
    let mut sender = dial_as(w.server.socket(), &w.a.identity()).await;
    let path = format!("/v1/packs?collection={}", w.files);
    let get = request(&Method::GET, &path).body(whole("")).unwrap();
    let unread = send(&mut sender, get).await.unwrap();
    let length: usize = unread.headers()["content-length"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(length > 64 << 10);
    // Not what the list might have been, and not less than it is.
    until("the answer is held", || {
        (length..length + 1024).contains(&shares.memory_held())
    })
    .await;
    assert!(shares.memory_held() >= length);
    let read = unread.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(read.len(), length);
    until("nothing is held again", || shares.memory_held() == 0).await;
}

#[tokio::test]
async fn w_6_one_terminals_slow_uploads_take_no_place_of_others() {
    let w = World::with_limits(limits(|t| t.uploads = 4)).await;
    let a = w.open_a().await;
    for _ in 0..4 {
        let id = PackId(w.seed.id());
        let path = format!("/v1/packs/{id}?collection={}&size=100&offset=0", w.files);
        let connection = a.connection.clone();
        tokio::spawn(async move {
            let first = Bytes::from_static(b"x");
            connection.raw(Method::PUT, &path, first, true).await
        });
    }
    let shares = &w.server.app().shares;
    until("all four have begun", || {
        shares.memory_held() >= 4 * UPLOAD_MEMORY
    })
    .await;
    // The fifth of this terminal is told to come again.
    let (_, pack) = w.pack(w.files, 10);
    let fifth = put_all(&a.connection, [pack]).await.unwrap_err();
    assert_eq!(fifth.code(), Some(Code::RateLimited));
    assert!(fifth.is_transient());
    let b = w.open_b().await;
    upload(&w, &b).await;
    stranger_uploads(&w).await;
}

#[tokio::test]
async fn w_6_an_upload_that_drips_is_ended() {
    let limits = Limits {
        body_idle: DEADLINE,
        body_window: Duration::from_millis(300),
        ..Limits::default()
    };
    let w = World::with_limits(limits).await;
    let a = w.open_a().await;
    let mut sender = dial_as(w.server.socket(), &w.a.identity()).await;
    // By certificate alone: the packs of a session that is not settled.
    let statement = serde_json::to_string(&a.statement).unwrap();
    let id = PackId(w.seed.id());
    let outbox = simsync_vault::ids::CollectionId::OUTBOX;
    let path = format!("/v1/packs/{id}?collection={outbox}&size=100000&offset=0");
    let drip = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Ok(Frame::data(Bytes::from_static(b"x"))), ()))
    });
    let put = request(&Method::PUT, &path)
        .header("simsync-session", statement)
        .body(StreamBody::new(drip).boxed_unsync())
        .unwrap();
    let answer = send(&mut sender, put).await.unwrap();
    assert_eq!(problem_of(answer, "drip").await.code, Code::BadRequest);
    // What arrived is kept, and one that goes on is not ended.
    assert!(a.connection.pack_state(id).await.unwrap().received > 0);
    upload(&w, &a).await;
}

#[tokio::test]
async fn w_6_requests_event_streams_and_bodies_that_never_come_have_places() {
    let w = World::with_limits(limits(|t| (t.requests, t.events) = (3, 2))).await;
    let a = w.a.connect(&w.client()).await.unwrap();
    let one = a.events().await.unwrap();
    let _two = a.events().await.unwrap();
    refused(a.events().await, Code::RateLimited);
    drop(one);
    let deadline = Instant::now() + DEADLINE;
    while a.events().await.is_err() {
        assert!(Instant::now() < deadline, "no place is given back");
    }
    // Requests that are begun and never end, on another connection.
    let mut sender = dial_as(w.server.socket(), &w.a.identity()).await;
    let mut hanging = Vec::new();
    for _ in 0..3 {
        hanging.push(hang(&mut sender, Method::PUT, "/v1/tails", 100, &Bytes::new()).await);
    }
    let deadline = Instant::now() + DEADLINE;
    while a.health().await.is_ok() {
        assert!(Instant::now() < deadline, "requests have no places");
    }
    refused(a.health().await, Code::RateLimited);
    w.open_b().await.connection.commits(0).await.unwrap();
    drop((sender, hanging));
}

#[tokio::test]
async fn w_6_a_terminal_has_so_many_connections_and_the_oldest_makes_room() {
    let w = World::with_limits(limits(|t| t.connections = 3)).await;
    let client = w.client();
    let mut open = Vec::new();
    for _ in 0..3 {
        let connection = w.a.connect(&client).await.unwrap();
        connection.health().await.unwrap();
        open.push(connection);
    }
    let other = w.b.connect(&client).await.unwrap();
    let newest = w.a.connect(&client).await.unwrap();
    until("the oldest makes room", || open[0].is_closed()).await;
    for connection in [&open[1], &open[2], &newest, &other] {
        connection.health().await.unwrap();
    }
}

#[tokio::test]
async fn w_6_slow_handshakes_take_no_more_than_an_addresss_places() {
    let mut limits = Limits {
        handshake: DEADLINE,
        ..Limits::default()
    };
    limits.address.handshakes = 2;
    let w = World::with_limits(limits).await;
    let open = w.a.connect(&w.client()).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..2 {
        let tcp = tokio::net::TcpStream::connect(w.server.socket()).await;
        silent.push(tcp.unwrap());
    }
    let hasty = w.client().with_timeouts(Timeouts {
        connect: Duration::from_millis(300),
        ..Timeouts::default()
    });
    let deadline = Instant::now() + DEADLINE;
    while w.b.connect(&hasty).await.is_ok() {
        assert!(Instant::now() < deadline, "handshakes have no places");
    }
    open.health().await.unwrap();
    drop(silent);
    w.b.connect(&w.client()).await.unwrap();
}

#[tokio::test]
async fn w_6_whoever_has_no_certificate_is_counted_by_address() {
    let mut limits = limits(|_| {});
    (limits.address.connections, limits.address.memory) = (2, 100 << 10);
    let w = World::with_limits(limits).await;
    let client = w.client();
    let shares = &w.server.app().shares;
    let [one, two] = [
        client.connect(None).await.unwrap(),
        client.connect(None).await.unwrap(),
    ];
    one.health().await.unwrap();
    let third = client.connect(None).await;
    let refused_there = match third {
        Ok(third) => third.health().await.is_err(),
        Err(_) => true,
    };
    assert!(refused_there);
    // Two bodies of an open path fit, and a third does not.
    for _ in 0..2 {
        let one = one.clone();
        tokio::spawn(async move {
            let path = "/v1/enrol";
            one.raw(Method::POST, path, Bytes::from_static(b"{"), true)
                .await
        });
    }
    until("both are counted", || shares.memory_held() >= 96 << 10).await;
    let body = Bytes::from_static(b"{");
    let third = two.raw(Method::POST, "/v1/pair", body, true).await.unwrap();
    assert_eq!(third.0, 429);
    // Terminals of the same address have their own share.
    upload(&w, &w.open_a().await).await;
}

#[tokio::test]
async fn w_6_a_full_server_says_so() {
    let mut limits = limits(|_| {});
    limits.process.uploads = 0;
    let w = World::with_limits(limits).await;
    let a = w.open_a().await;
    let (_, pack) = w.pack(w.files, 10);
    let refusal = put_all(&a.connection, [pack]).await.unwrap_err();
    assert_eq!(refusal.code(), Some(Code::Overloaded));
    assert!(refusal.is_transient());
}

#[tokio::test]
async fn w_6_refusals_are_counted_and_none_is_left_out() {
    let limits = Limits {
        audit_refusals: 5,
        audit_window: 10 * DEADLINE,
        ..Limits::default()
    };
    let mut w = World::with_limits(limits).await;
    let (_, foreign) = w.pack(w.files, 10);
    let foreign = simsync_vault::ids::CollectionId(foreign.id.0);
    for _ in 0..4 {
        let a = w.a.connect(&w.client()).await.unwrap();
        for _ in 0..50 {
            refused(a.packs(foreign).await, Code::CollectionRefused);
        }
    }
    let simsync_server::admin::Outcome::Audit { entries, .. } =
        w.server.order(AdminCommand::Audit).await
    else {
        panic!("no audit log");
    };
    let refusals = entries.iter().filter(|e| e.action == "refused").count();
    assert_eq!(refusals, 5);
    // The others are written when the time has come, at the latest when the server stops.
    w.server.stop().await;
    let entries = w.server.home().store().unwrap().audit_log().await.unwrap();
    let refusals: Vec<serde_json::Value> = entries
        .iter()
        .filter(|e| e.action == "refused")
        .map(|e| serde_json::from_str(&e.detail).unwrap())
        .collect();
    assert_eq!(refusals.len(), 6);
    assert_eq!(refusals[5]["more"], 195);
    assert_eq!(refusals[5]["code"], "collection-refused");
    assert!(simsync_server::store::audit::verify(&entries).is_ok());
}
