//! Batches of packs that are not what was asked for.

use bytes::Bytes;
use simsync_protocol::api::PACK_MAX;
use simsync_protocol::batch::record_header;
use simsync_protocol::{ClientError, Connection};
use simsync_vault::ids::{CollectionId, PackId};

use crate::false_server::{Answer, Body, DEADLINE, FalseServer};

const HOME: CollectionId = CollectionId([9; 16]);

fn record(n: u8, says: u64, has: usize) -> Vec<u8> {
    let header = record_header(&PackId([n; 16]), &HOME, says);
    [&header[..], &vec![n; has]].concat()
}

/// Asks for packs 1 and 2.
async fn fetch(c: &Connection) -> Result<usize, ClientError> {
    let ids = vec![PackId([1; 16]), PackId([2; 16])];
    let fetched = tokio::time::timeout(DEADLINE, c.fetch_packs(ids)).await;
    fetched.expect("in time").map(|packs| packs.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_batches_that_are_not_what_was_asked_for_make_no_sense() {
    let (one, two, three) = (record(1, 5, 5), record(2, 5, 5), record(3, 5, 5));
    let server = FalseServer::start(Answer::whole(200, [&one[..], &two].concat())).await;
    let c = server.connect().await;
    assert_eq!(fetch(&c).await.unwrap(), 2);
    for (tried, bytes) in [
        ("none", vec![]),
        ("one too few", one.clone()),
        ("one too many", [&one[..], &two, &three].concat()),
        ("the same twice", [&one[..], &one].concat()),
        ("another one", [&one[..], &three].concat()),
        ("the other way round", [&two[..], &one].concat()),
        ("an empty pack", [&one[..], &record(2, 0, 0)].concat()),
        (
            "shorter than it says",
            [&one[..], &record(2, 6, 5)].concat(),
        ),
        ("longer than it says", [&one[..], &record(2, 4, 5)].concat()),
        ("half a header", one[..20].to_vec()),
        ("2^64 - 1 bytes", record(1, u64::MAX, 100)),
        ("a byte too many", record(1, PACK_MAX + 1, 100)),
        (
            "both too large together",
            [&one[..], &record(2, PACK_MAX - 4, 100)].concat(),
        ),
    ] {
        server.answer(Answer::whole(200, bytes));
        let error = fetch(&c).await.expect_err(tried);
        assert!(
            matches!(error, ClientError::Protocol(_)),
            "{tried}: {error:?}"
        );
        c.health().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_a_pack_too_many_is_refused_before_its_bytes_come() {
    let (one, two) = (record(1, 5, 5), record(2, 5, 5));
    let third = record(3, 60 << 20, 0);
    let body = Body::Endless([one, two, third].concat().into(), vec![0; 64 << 10].into());
    let server = FalseServer::start(Answer::new(200, body)).await;
    let c = server.connect().await;
    let error = fetch(&c).await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol(_)), "{error:?}");
    let given = server.given();
    assert!(given < 40 << 20, "{given} bytes were taken");
    c.health().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_a_range_is_never_longer_than_asked_for() {
    let server = FalseServer::start(Answer::whole(200, "0123456789")).await;
    let c = server.connect().await;
    let range = async |answer: Answer| {
        server.answer(answer);
        c.fetch_range(PackId([1; 16]), 0, 10).await
    };
    let partial = |bytes: &'static [u8]| {
        Answer::whole(206, Bytes::from_static(bytes)).with("content-range", "bytes 0-9/10")
    };
    assert_eq!(range(partial(b"0123456789")).await.unwrap(), "0123456789");
    for bad in [
        partial(b"0123456789a"),
        Answer::whole(200, "0123456789"),
        Answer::whole(206, "0123456789"),
    ] {
        let error = range(bad).await.unwrap_err();
        assert!(matches!(error, ClientError::Protocol(_)), "{error:?}");
    }
}
