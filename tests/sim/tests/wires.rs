//! What a wire that breaks costs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::AtomicU16;
use std::time::{Duration, Instant};

use simsync_server::testing::Seed;
use simsync_sim::rig::{Person, Terminal, close};
use simsync_sim::wire::Wire;
use simsyncd::engine::EngineError;

const MIB: u64 = 1 << 20;

/// Delivers what waits, over a wire.
async fn deliver(person: &Person, t: &Terminal, wire: &Wire) -> Result<usize, EngineError> {
    let client = person.server.client().with_socket(wire.address);
    let conn = t.soft.connect(&client).await?;
    let (engine, outbox) = (t.engine.clone(), t.dir.path().join("outbox"));
    let work = move || engine.deliver_tails(&conn, &outbox);
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_what_the_server_has_of_a_tail_is_not_sent_again() {
    let seed = Seed::new();
    let (person, a, b) = Person::new().await;
    let session = person.open(&a).await;
    let large = seed.blob(12 * MIB as usize);
    std::fs::write(a.data().join("large"), &large).unwrap();
    person.yank(&a, &session, false).await;
    let port = person.server.socket().port();
    let wire = Wire::new(Arc::new(AtomicU16::new(port))).await;
    wire.cut_after(8 * MIB);
    deliver(&person, &a, &wire).await.unwrap_err();
    assert!(wire.is_cut());
    wire.mend();
    // The server goes on with what it has, after the wire broke.
    let deadline = Instant::now() + Duration::from_secs(20);
    let before = loop {
        let before = wire.sent();
        match deliver(&person, &a, &wire).await {
            Ok(delivered) => {
                assert_eq!(delivered, 1);
                break before;
            }
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    let again = wire.sent() - before;
    assert!(again < 6 * MIB, "{again} bytes were sent again");
    let session = person.open(&b).await;
    close(&b, &session).await;
    assert_eq!(std::fs::read(b.data().join("large")).unwrap(), large);
}
