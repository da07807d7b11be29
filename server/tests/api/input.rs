//! Bad input: a clear problem, no panic, and the connection goes on.

use bytes::Bytes;
use http::Method;
use simsync_protocol::api::JSON_MAX;
use simsync_protocol::problem::{Code, Problem};
use simsync_server::config::Limits;
use simsync_server::testing::{TestServer, World, refused};
use simsync_vault::commit::Commit;

fn code((status, body): (u16, Bytes)) -> Code {
    let problem: Problem = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, problem.status);
    assert!(!problem.detail.is_empty());
    problem.code
}

#[tokio::test]
async fn m19_unknown_paths_and_methods_are_problems() {
    let server = TestServer::start().await;
    let c = server.client().connect(None).await.unwrap();
    let send = |method, path| c.raw(method, path, Bytes::new(), false);
    assert_eq!(code(send(Method::GET, "/").await.unwrap()), Code::NotFound);
    assert_eq!(
        code(send(Method::GET, "/v1/").await.unwrap()),
        Code::NotFound
    );
    assert_eq!(
        code(send(Method::GET, "/v1/../etc").await.unwrap()),
        Code::NotFound
    );
    assert_eq!(
        code(send(Method::GET, "/v1/nonce").await.unwrap()),
        Code::MethodNotAllowed
    );
    assert_eq!(
        code(send(Method::DELETE, "/v1/health").await.unwrap()),
        Code::MethodNotAllowed
    );
    c.health().await.unwrap();
}

#[tokio::test]
async fn m19_bodies_that_are_no_json_or_the_wrong_one_are_problems() {
    let w = World::new().await;
    let opened = w.open_a().await;
    let open = w.client().connect(None).await.unwrap();
    let bodies: [&[u8]; 7] = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{\"a\":1}",
        b"\xff\xfe",
        b"{\"signed\":\"***\"}",
    ];
    for path in ["/v1/enrol", "/v1/pair"] {
        for body in bodies {
            let answer = open
                .raw(Method::POST, path, Bytes::from_static(body), false)
                .await;
            assert_eq!(code(answer.unwrap()), Code::BadRequest, "{path} {body:?}");
        }
    }
    let c = &opened.connection;
    for (method, path) in [
        (Method::POST, "/v1/sessions"),
        (Method::POST, "/v1/sessions/renew"),
        (Method::POST, "/v1/sessions/narrow"),
        (Method::POST, "/v1/commits"),
        (Method::POST, "/v1/packs/fetch"),
        (Method::PUT, "/v1/tails"),
        (Method::POST, "/v1/tails/forget"),
        (Method::POST, "/v1/terminals/revoke"),
    ] {
        for body in bodies {
            let answer = c
                .raw(method.clone(), path, Bytes::from_static(body), false)
                .await;
            assert_eq!(code(answer.unwrap()), Code::BadRequest, "{path} {body:?}");
        }
    }
    c.commits(0).await.unwrap();
}

#[tokio::test]
async fn m19_bodies_over_the_limit_are_refused() {
    let w = World::new().await;
    let opened = w.open_a().await;
    let open = w.client().connect(None).await.unwrap();
    let large = Bytes::from(vec![b' '; (16 << 10) + 1]);
    let answer = open
        .raw(Method::POST, "/v1/enrol", large, false)
        .await
        .unwrap();
    assert_eq!(code(answer), Code::TooLarge);
    let large = Bytes::from(vec![b' '; JSON_MAX + 1]);
    let c = &opened.connection;
    let answer = c
        .raw(Method::POST, "/v1/commits", large, false)
        .await
        .unwrap();
    assert_eq!(code(answer), Code::TooLarge);
    c.commits(0).await.unwrap();
}

#[tokio::test]
async fn m19_damaged_cut_and_newer_commits_are_problems() {
    let w = World::new().await;
    let a = w.open_a().await;
    let c = &a.connection;
    let good = Commit::sign(w.vault.body(&w.a, &a.statement, None), &w.a.key).to_bytes();
    for n in [0, 1, 10, good.len() - 1] {
        let cut = c.commit(good[..n].to_vec(), None).await;
        refused(cut, Code::BadRequest);
    }
    let long = [&good[..], &[0]].concat();
    refused(c.commit(long, None).await, Code::BadRequest);
    refused(c.commit(vec![0xff; 1000], None).await, Code::BadRequest);
    let mut body = w.vault.body(&w.a, &a.statement, None);
    body.version = 99;
    let newer = Commit::sign(body, &w.a.key);
    let problem = refused(c.commit(newer.to_bytes(), None).await, Code::BadRequest);
    assert!(problem.detail.contains("99"), "{problem}");
    let mut tail = w.vault.tail(&a.statement);
    tail.version = 99;
    let tail = w.sign_tail(tail, &w.a);
    refused(c.put_tail(tail.to_bytes()).await, Code::BadRequest);
    refused(c.put_tail(vec![1, 2, 3]).await, Code::BadRequest);
    let key_object = simsync_protocol::api::NewKeyObject {
        signed: simsync_protocol::api::B64(vec![1; 10]),
        wraps: vec![],
    };
    refused(c.commit(good, Some(key_object)).await, Code::BadRequest);
}

#[tokio::test]
async fn m19_parameters_are_checked() {
    let w = World::new().await;
    let a = w.open_a().await;
    let c = &a.connection;
    for path in [
        "/v1/commits",
        "/v1/commits?after=x",
        "/v1/commits?after=-1",
        "/v1/key-objects?after=99999999999",
        "/v1/packs?collection=zz",
        "/v1/tails?n=1",
    ] {
        let answer = c.raw(Method::GET, path, Bytes::new(), false).await.unwrap();
        assert_eq!(code(answer), Code::BadRequest, "{path}");
    }
}

#[tokio::test]
async fn m11_open_paths_are_limited_per_address() {
    let server = TestServer::start_with(Limits {
        open_per_minute: 3,
        ..Limits::default()
    })
    .await;
    let c = server.client().connect(None).await.unwrap();
    for _ in 0..3 {
        c.nonce().await.unwrap();
    }
    refused(c.nonce().await, Code::RateLimited);
    let again = server.client().connect(None).await.unwrap();
    refused(again.nonce().await, Code::RateLimited);
    again.health().await.unwrap();
}

#[tokio::test]
async fn m19_connections_are_limited_per_address() {
    let server = TestServer::start_with(Limits {
        connections_per_address: 2,
        ..Limits::default()
    })
    .await;
    let client = server.client();
    let one = client.connect(None).await.unwrap();
    let two = client.connect(None).await.unwrap();
    assert!(client.connect(None).await.is_err());
    one.health().await.unwrap();
    drop((one, two));
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while client.connect(None).await.is_err() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "no place is given back"
        );
    }
}

#[tokio::test]
async fn m19_a_connection_that_asks_nothing_is_closed() {
    let server = TestServer::start_with(Limits {
        first_request: std::time::Duration::from_secs(1),
        ..Limits::default()
    })
    .await;
    let asking = server.client().connect(None).await.unwrap();
    asking.health().await.unwrap();
    let silent = server.client().connect(None).await.unwrap();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while !silent.is_closed() {
        assert!(tokio::time::Instant::now() < deadline, "it is still open");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    asking.health().await.unwrap();
}
