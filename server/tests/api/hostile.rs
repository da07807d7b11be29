//! Requests that no client of ours sends, on every path that there is: bodies, headers, and connections that end early.
//! Each is answered with a problem or ends alone; the server goes on.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use openssl::x509::X509;
use simsync_protocol::api::JSON_MAX;
use simsync_protocol::problem::{Code, Problem};
use simsync_protocol::tls::Identity;
use simsync_server::http::PATHS;
use simsync_server::testing::World;

type Broken = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Body = UnsyncBoxBody<Bytes, Broken>;

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Every path and method; `{id}` is one that is none of ours.
fn routes() -> impl Iterator<Item = (Method, String)> {
    PATHS.iter().flat_map(|(path, methods)| {
        let path = path.replace("{id}", &"07".repeat(16));
        methods.iter().map(move |m| (m.clone(), path.clone()))
    })
}

/// What needs no body, and takes no notice of one.
fn takes_no_body(method: &Method, path: &str) -> bool {
    *method == Method::GET || path == "/v1/nonce"
}

fn is_problem(status: u16, body: &[u8], tried: &str) -> Problem {
    let problem: Problem = serde_json::from_slice(body).unwrap_or_else(|e| panic!("{tried}: {e}"));
    assert_eq!(problem.status, status, "{tried}");
    assert_eq!(problem.code.status(), status, "{tried}");
    assert!(status < 500, "{tried}: {problem:?}");
    let detail = &problem.detail;
    let fits = (5..=501).contains(&detail.chars().count());
    assert!(
        fits && !detail.chars().any(char::is_control),
        "{tried}: {detail}"
    );
    problem
}

#[tokio::test]
async fn m19_no_path_takes_a_body_that_is_not_its_own() {
    let w = World::new().await;
    let opened = w.open_a().await;
    let c = &opened.connection;
    let before = c.commits(0).await.unwrap();
    let deep = ["[", "{\"a\":", "{\"keys\":{\"sig\":"].map(|part| part.repeat(100_000));
    let long = format!("\"{}\\u001b[2J\\u0000\"", "x".repeat(1 << 20));
    let key = format!("{{\"{}\":1}}", "k".repeat(1 << 20));
    let many = format!("[{}0]", "0,".repeat(1 << 20));
    let bodies: [&[u8]; 12] = [
        deep[0].as_bytes(),
        deep[1].as_bytes(),
        deep[2].as_bytes(),
        long.as_bytes(),
        key.as_bytes(),
        many.as_bytes(),
        b"1e999999",
        b"{\"signed\":\"AAAA\",\"signed\":\"AAAA\"}",
        b"{\"signed\":{},\"to\":[],\"packs\":7,\"sessions\":\"\",\"terminal\":null,\"nonce\":-1}",
        b"\xef\xbb\xbf{}",
        b"{}{}",
        &[0; 4096],
    ];
    for (method, path) in routes().filter(|(m, p)| !takes_no_body(m, p)) {
        for body in bodies {
            let shown = String::from_utf8_lossy(&body[..body.len().min(30)]).into_owned();
            let tried = format!("{method} {path} with {shown:?}");
            let sent = c.raw(method.clone(), &path, Bytes::copy_from_slice(body), false);
            let (status, answer) = tokio::time::timeout(DEADLINE, sent).await.unwrap().unwrap();
            let problem = is_problem(status, &answer, &tried);
            let expected = matches!(problem.code, Code::BadRequest | Code::TooLarge);
            assert!(expected, "{tried}: {problem:?}");
        }
    }
    // Nothing was taken for anything, and the grant is what it was.
    assert_eq!(c.commits(0).await.unwrap(), before);
}

#[tokio::test]
async fn m19_no_path_takes_a_body_over_its_limit() {
    let w = World::new().await;
    let opened = w.open_a().await;
    let c = &opened.connection;
    for (method, path) in routes().filter(|(m, p)| !takes_no_body(m, p)) {
        let large = Bytes::from(vec![b' '; JSON_MAX + 1]);
        let sent = c.raw(method.clone(), &path, large, false);
        let (status, answer) = tokio::time::timeout(DEADLINE, sent).await.unwrap().unwrap();
        let tried = format!("{method} {path}");
        let problem = is_problem(status, &answer, &tried);
        // Packs may be as large, and are none.
        let packs = path.starts_with("/v1/packs") && !path.ends_with("/fetch");
        let expected = if packs {
            Code::BadRequest
        } else {
            Code::TooLarge
        };
        let refused = problem.code == expected || (packs && problem.code == Code::TooLarge);
        assert!(refused, "{tried}: {problem:?}");
    }
    c.commits(0).await.unwrap();
}

/// A connection with the first terminal's certificate and no manners.
async fn dial(w: &World) -> SendRequest<Body> {
    dial_as(w.server.socket(), &w.a.identity()).await
}

/// The same with any terminal's.
pub(crate) async fn dial_as(socket: SocketAddr, identity: &Identity) -> SendRequest<Body> {
    let mut tls = SslConnector::builder(SslMethod::tls()).unwrap();
    tls.set_verify(SslVerifyMode::NONE);
    tls.set_alpn_protos(b"\x02h2").unwrap();
    let certificate = X509::from_der(&identity.certificate).unwrap();
    tls.set_certificate(&certificate).unwrap();
    let key = simsync_protocol::tls::private_key(&identity.key).unwrap();
    tls.set_private_key(&key).unwrap();
    let ssl = tls.build().configure().unwrap();
    let ssl = ssl.into_ssl("localhost").unwrap();
    let tcp = tokio::net::TcpStream::connect(socket).await.unwrap();
    let mut stream = tokio_openssl::SslStream::new(ssl, tcp).unwrap();
    Pin::new(&mut stream).connect().await.unwrap();
    let (sender, driver) = http2::Builder::new(TokioExecutor::new())
        // What nobody reads stays at the server.
        .initial_stream_window_size(64 << 10)
        .initial_connection_window_size(64 << 20)
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(driver);
    sender
}

pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// These bytes, and then the stream is reset.
fn broken(bytes: &'static [u8]) -> Body {
    let pieces = [
        Ok(Frame::data(Bytes::from_static(bytes))),
        Err(Broken::from("broken")),
    ];
    StreamBody::new(stream::iter(pieces)).boxed_unsync()
}

pub(crate) async fn send(
    sender: &mut SendRequest<Body>,
    request: Request<Body>,
) -> hyper::Result<Response<Incoming>> {
    let sent = async {
        sender.ready().await?;
        sender.send_request(request).await
    };
    tokio::time::timeout(DEADLINE, sent).await.expect("in time")
}

pub(crate) fn request(method: &Method, path: &str) -> http::request::Builder {
    let uri = format!("https://localhost{path}");
    Request::builder().method(method).uri(uri)
}

/// The answer is a problem, as its header says.
pub(crate) async fn problem_of(answer: Response<Incoming>, tried: &str) -> Problem {
    let kind = answer.headers().get("content-type").unwrap();
    assert_eq!(kind, "application/problem+json", "{tried}");
    let status = answer.status().as_u16();
    let collected = tokio::time::timeout(DEADLINE, answer.into_body().collect());
    let body = collected.await.unwrap().unwrap().to_bytes();
    is_problem(status, &body, tried)
}

async fn goes_on(w: &World) {
    w.client()
        .connect(None)
        .await
        .unwrap()
        .health()
        .await
        .unwrap();
}

#[tokio::test]
async fn m19_bodies_that_break_off_end_alone() {
    let w = World::new().await;
    let mut sender = dial(&w).await;
    for (method, path) in routes() {
        for bytes in [&b""[..], b"{\"signed\":\"AA"] {
            let tried = format!("{method} {path}");
            let reset = request(&method, &path).body(broken(bytes)).unwrap();
            // The answer and the reset may cross; either is an end.
            let _ = send(&mut sender, reset).await;
            let health = request(&Method::GET, "/v1/health").body(whole("")).unwrap();
            let health = send(&mut sender, health).await.unwrap();
            assert_eq!(health.status(), 200, "after {tried}");
        }
    }
    // Everything at once, and then the connection is gone.
    for (method, path) in routes() {
        let mut sender = dial(&w).await;
        let hangs =
            stream::iter([Ok(Frame::data(Bytes::from_static(b"{\"")))]).chain(stream::pending());
        let body = StreamBody::new(hangs).boxed_unsync();
        sender.ready().await.unwrap();
        let waiting = sender.send_request(request(&method, &path).body(body).unwrap());
        drop((waiting, sender));
    }
    goes_on(&w).await;
}

#[tokio::test]
async fn m19_lengths_that_are_not_kept_end_alone() {
    let w = World::new().await;
    for (method, path) in routes().filter(|(m, p)| !takes_no_body(m, p)) {
        for length in [
            "1",
            "1000000",
            "18446744073709551615",
            "10000000000",
            "-1",
            "x",
        ] {
            let mut sender = dial(&w).await;
            let tried = format!("{method} {path} of length {length}");
            let lies = request(&method, &path)
                .header("content-length", length)
                .body(whole("{\"signed\":\"AA\"}"))
                .unwrap();
            if let Ok(answer) = send(&mut sender, lies).await {
                assert!(!answer.status().is_success(), "{tried}");
                assert!(answer.status().as_u16() < 500, "{tried}");
            }
        }
    }
    goes_on(&w).await;
}

#[tokio::test]
async fn m19_other_content_types_make_no_body_another() {
    let w = World::new().await;
    let mut sender = dial(&w).await;
    for (method, path) in routes().filter(|(m, p)| !takes_no_body(m, p)) {
        for kind in [
            "text/html",
            "multipart/form-data; boundary=x",
            "\u{7f}",
            "a/b; q=\"",
            "",
        ] {
            let tried = format!("{method} {path} as {kind:?}");
            let Ok(wrong) = request(&method, &path)
                .header("content-type", kind)
                .body(whole("--x\r\n\r\n{}\r\n--x--"))
            else {
                continue;
            };
            let answer = send(&mut sender, wrong).await.unwrap();
            problem_of(answer, &tried).await;
        }
    }
    goes_on(&w).await;
}

#[tokio::test]
async fn m19_floods_of_headers_are_refused() {
    let w = World::new().await;
    let long = "h".repeat(8000);
    for (method, path) in routes() {
        let mut sender = dial(&w).await;
        // Many small ones, some large ones, and one that is larger than all may be together.
        for (number, value) in [(1000, "h"), (10, long.as_str())] {
            let mut flood = request(&method, &path);
            for n in 0..number {
                flood = flood.header(format!("x-{n}"), value);
            }
            let tried = format!("{method} {path} with {number} headers");
            if let Ok(answer) = send(&mut sender, flood.body(whole("")).unwrap()).await {
                let status = answer.status().as_u16();
                assert_eq!(status, 431, "{tried}");
            }
        }
        let query = request(&method, &format!("{path}?after={}", "9".repeat(30_000)));
        if let Ok(answer) = send(&mut sender, query.body(whole("")).unwrap()).await {
            assert_eq!(answer.status(), 431, "{method} {path}");
        }
    }
    goes_on(&w).await;
}

#[tokio::test]
async fn m19_headers_of_ours_that_are_none_are_problems() {
    let w = World::new().await;
    let mut sender = dial(&w).await;
    let deep = "[".repeat(5000);
    let long = format!("\"{}\"", "x".repeat(5000));
    for (method, path) in routes().filter(|(_, p)| p != "/v1/health" && p != "/v1/nonce") {
        for value in [
            &b""[..],
            b"00",
            b"\xff\xfe",
            deep.as_bytes(),
            long.as_bytes(),
            b"null",
        ] {
            for name in ["simsync-grant", "simsync-session", "range"] {
                let shown = String::from_utf8_lossy(&value[..value.len().min(20)]);
                let tried = format!("{method} {path}, {name}: {shown}");
                let odd = request(&method, &format!("{path}?collection=00&size=1&offset=0"))
                    .header(name, value)
                    .body(whole("{}"))
                    .unwrap();
                let answer = send(&mut sender, odd).await.unwrap();
                // Paths that need neither take no notice of them.
                if answer.status() != 200 {
                    problem_of(answer, &tried).await;
                }
            }
        }
    }
    goes_on(&w).await;
}
