//! TLS: who the server is, who the terminal is, and nothing that outlives a connection.

use std::time::Duration;

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};
use simsync_card::ids::Hash;
use simsync_protocol::client::Timeouts;
use simsync_protocol::{Client, ClientError, ServerAddress};
use simsync_server::testing::{TestServer, World};

#[tokio::test]
async fn m11_a_server_of_another_authority_is_refused() {
    let (one, two) = (TestServer::start().await, TestServer::start().await);
    let wrong = Client::new(one.address(), two.ca_pin()).with_socket(one.socket());
    assert!(matches!(
        wrong.connect(None).await,
        Err(ClientError::PinMismatch)
    ));
    let wrong = Client::new(one.address(), Hash::ZERO).with_socket(one.socket());
    assert!(matches!(
        wrong.connect(None).await,
        Err(ClientError::PinMismatch)
    ));
    one.client().connect(None).await.unwrap();
}

#[tokio::test]
async fn m11_a_server_of_another_name_is_refused() {
    let server = TestServer::start().await;
    for name in ["example.org", "127.0.0.1", "sub.localhost"] {
        let address = ServerAddress::new(name, server.socket().port()).unwrap();
        let client = Client::new(address, server.ca_pin()).with_socket(server.socket());
        let tried = client.connect(None).await;
        assert!(
            matches!(&tried, Err(ClientError::HostMismatch(host)) if host == name),
            "{tried:?}"
        );
    }
}

#[tokio::test]
async fn m13_a_terminals_certificate_makes_no_server() {
    // A terminal of the same CA that plays server: its certificate is for clients, and names no host.
    let w = World::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let leaf = simsync_server::ca::Credential {
        certificate: openssl::x509::X509::from_der(w.a.certificate.as_ref().unwrap()).unwrap(),
        key: simsync_protocol::tls::private_key(&w.a.key).unwrap(),
    };
    let context =
        simsync_server::net::tls::context(&w.server.home().ca.certificate, &leaf).unwrap();
    let false_server = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let ssl = openssl::ssl::Ssl::new(&context).unwrap();
        let mut stream = tokio_openssl::SslStream::new(ssl, tcp).unwrap();
        std::pin::Pin::new(&mut stream).accept().await.is_ok()
    });
    let address = ServerAddress::new("localhost", port).unwrap();
    let client = Client::new(address, w.server.ca_pin());
    let tried = client.connect(None).await;
    assert!(
        matches!(
            tried,
            Err(ClientError::Tls(_) | ClientError::HostMismatch(_))
        ),
        "{tried:?}"
    );
    assert!(!false_server.await.unwrap());
}

#[tokio::test]
async fn m11_a_certificate_of_another_authority_is_refused() {
    let (w, other) = (World::new().await, TestServer::start().await);
    let connected = other.client().connect(Some(&w.a.identity())).await;
    // In TLS 1.3 the client learns of it with its first request.
    let error = match connected {
        Err(e) => e,
        Ok(c) => c.key_object().await.unwrap_err(),
    };
    assert!(
        matches!(error, ClientError::Tls(_) | ClientError::Offline(_)),
        "{error:?}"
    );
}

#[tokio::test]
async fn m11_both_ends_have_the_same_exporter_and_every_connection_another() {
    let server = TestServer::start().await;
    let (one, two) = (
        server.client().connect(None).await.unwrap(),
        server.client().connect(None).await.unwrap(),
    );
    assert_ne!(one.exporter(), two.exporter());
    assert_ne!(
        one.nonce().await.unwrap().nonce,
        two.nonce().await.unwrap().nonce
    );
    assert_eq!(
        one.nonce().await.unwrap().server,
        server.home().settings.server
    );
}

#[tokio::test]
async fn m11_older_tls_is_refused_and_no_tickets_are_given() {
    let server = TestServer::start().await;
    let socket = server.socket();
    let result = tokio::task::spawn_blocking(move || {
        let connect = |max: SslVersion| {
            let mut b = SslConnector::builder(SslMethod::tls_client()).unwrap();
            b.set_verify(SslVerifyMode::NONE);
            b.set_max_proto_version(Some(max)).unwrap();
            b.set_alpn_protos(b"\x02h2").unwrap();
            let tickets = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let seen = tickets.clone();
            b.set_session_cache_mode(openssl::ssl::SslSessionCacheMode::CLIENT);
            b.set_new_session_callback(move |_, _| {
                seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            });
            let tcp = std::net::TcpStream::connect(socket).unwrap();
            tcp.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut stream = b
                .build()
                .connect("localhost", tcp)
                .map_err(|e| e.to_string())?;
            // The server's SETTINGS come after any ticket would.
            let mut byte = [0];
            std::io::Read::read(&mut stream, &mut byte).map_err(|e| e.to_string())?;
            Ok::<_, String>(tickets.load(std::sync::atomic::Ordering::Relaxed))
        };
        (connect(SslVersion::TLS1_2), connect(SslVersion::TLS1_3))
    })
    .await
    .unwrap();
    assert!(result.0.is_err());
    assert_eq!(result.1, Ok(0));
}

#[tokio::test]
async fn m10_a_server_that_is_not_there_is_offline() {
    let mut server = TestServer::start().await;
    let client = server.client();
    server.stop().await;
    let tried = client.connect(None).await;
    assert!(matches!(tried, Err(ClientError::Offline(_))), "{tried:?}");
    // Somebody who accepts and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client
        .with_socket(silent.local_addr().unwrap())
        .with_timeouts(Timeouts {
            connect: Duration::from_millis(100),
            ..Timeouts::default()
        });
    let tried = client.connect(None).await;
    assert!(matches!(tried, Err(ClientError::Offline(_))), "{tried:?}");
}
