//! The walls of the server: it refuses whoever has everything but one thing, with the real card and over real TLS.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

use simsync_card::client::{Applet, Pin};
use simsync_card::ids::Hash;
use simsync_card::sign::{SecretKey, Sig};
use simsync_card::text;
use simsync_protocol::api::{B64, Narrow, PairRequest};
use simsync_protocol::problem::Code;
use simsync_protocol::tls::certificate_request;
use simsync_rig::impostor::{Impostor, opening, refused, run};
use simsync_rig::rig::{Reader, Rig};
use simsync_rig::scene::{paired, paired_with, seed};
use simsync_vault::commit::SessionRef;
use simsync_vault::statement::SessionStatement;
use simsync_vault::tail::{TAIL_VERSION, Tail, TailBody};
use simsyncd::store::Store;

/// Puts a terminal onto a card that is not its person's, as the card's owner could.
fn add_to_card(applet: &mut Applet<Reader>, pin: &str, key: &SecretKey, binding: &Hash) -> Sig {
    applet.select().unwrap();
    applet.verify(&Pin::parse(pin.as_bytes()).unwrap()).unwrap();
    applet
        .add_terminal(&key.point(), "foreign", binding)
        .unwrap()
        .sig
}

#[test]
fn m9_server_refuses_any_other_combination() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, anna) = paired(&mut rig, "A").unwrap();
    let (_b, bert) = paired_with(&mut rig, "B", "card-2", &serde_json::json!({})).unwrap();
    let thief = Impostor::of(&a, &anna).unwrap();
    // Bert lets Anna's terminal onto his card: terminal and card are willing, and the server alone is in the way.
    let mut applet = Applet::new(rig.bridge.lend(&bert.card).unwrap());
    applet.select().unwrap();
    applet
        .verify(&Pin::parse(bert.pin.as_bytes()).unwrap())
        .unwrap();
    let berts = applet.read_info().unwrap();
    assert_ne!(berts.card, thief.pairing.card.id);
    run(async {
        // Paired under her name, with his card; and under his, with her terminal's key.
        for (subscriber, code) in [
            (&thief.pairing.subscriber, Code::CardMismatch),
            (&berts.subscriber, Code::NotPaired),
        ] {
            let connection = thief
                .client(&rig.server)
                .unwrap()
                .connect(None)
                .await
                .unwrap();
            let answer = connection.nonce().await.unwrap();
            let csr = certificate_request(&thief.key, subscriber).unwrap();
            let exporter = connection.exporter();
            let binding =
                text::binding(&exporter, &answer.server, &answer.nonce.0, &Hash::of(&csr));
            let statement = add_to_card(&mut applet, &bert.pin, &thief.key, &binding);
            let request = PairRequest {
                subscriber: subscriber.clone(),
                card: berts.card,
                nonce: answer.nonce,
                label: "A".to_owned(),
                statement,
                csr: B64(csr),
                attributes: vec!["files".to_owned()],
            };
            refused(connection.pair(&request).await, code);
        }
        // A session of his card with her terminal's certificate.
        let connection = thief.connect(&rig.server).await.unwrap();
        let (nonce, binding) = thief.binding(&connection).await.unwrap();
        let (statement, _) = thief
            .open_at_card(&mut applet, &berts.card, &bert.pin, &binding)
            .unwrap();
        refused(
            connection.open_session(&opening(&statement, nonce)).await,
            Code::CardMismatch,
        );
    })
    .unwrap();
    drop(applet);
    // The same way round with her own card is let in: nothing but the combination was wrong.
    let mut applet = Applet::new(rig.bridge.lend(&anna.card).unwrap());
    run(async {
        let connection = thief.connect(&rig.server).await.unwrap();
        let (nonce, binding) = thief.binding(&connection).await.unwrap();
        let own = thief.pairing.card.id;
        let (statement, _) = thief
            .open_at_card(&mut applet, &own, &anna.pin, &binding)
            .unwrap();
        let request = opening(&statement, nonce);
        connection.open_session(&request).await.unwrap();
    })
    .unwrap();
}

#[test]
fn m11_the_server_believes_proofs_and_not_the_terminal() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, person) = paired(&mut rig, "A").unwrap();
    let thief = Impostor::of(&a, &person).unwrap();
    let card = thief.pairing.card.id;
    let mut applet = Applet::new(rig.bridge.lend(&person.card).unwrap());
    let server = &rig.server;
    run(async {
        // The certificate and the unsealed key, and no card: key objects, and nothing of the vault.
        let c = thief.connect(server).await.unwrap();
        c.key_object().await.unwrap();
        refused(c.commits(0).await, Code::GrantRequired);
        refused(c.commit(vec![], None).await, Code::GrantRequired);
        // A session that the terminal vouches for itself.
        let (nonce, binding) = thief.binding(&c).await.unwrap();
        let mut forged = SessionStatement {
            card,
            n: 1000,
            terminal: thief.id(),
            binding,
            sig: thief
                .key
                .sign(&text::session(&card, 1000, &thief.id(), &binding)),
        };
        refused(
            c.open_session(&opening(&forged, nonce)).await,
            Code::SignatureRefused,
        );
        // A tail of that session.
        forged.n = 1001;
        let tail = |statement: &SessionStatement, items: Vec<Hash>| {
            let store = Store::open(&a.home.join("state/state.db")).unwrap();
            let newest = store.key_objects().unwrap().pop().unwrap().body;
            let body = TailBody {
                version: TAIL_VERSION,
                vault: newest.vault,
                epoch: newest.epoch,
                session: statement.clone(),
                parent: store.witness().unwrap().head,
                items,
                packs: Vec::new(),
                replaces: Vec::new(),
            };
            Tail::sign(body, &thief.key).to_bytes()
        };
        refused(
            c.put_tail(tail(&forged, vec![])).await,
            Code::SignatureRefused,
        );

        // The card's own word, once.
        let (nonce, binding) = thief.binding(&c).await.unwrap();
        let (first, _) = thief
            .open_at_card(&mut applet, &card, &person.pin, &binding)
            .unwrap();
        c.open_session(&opening(&first, nonce)).await.unwrap();
        c.commits(0).await.unwrap();
        refused(
            c.open_session(&opening(&first, nonce)).await,
            Code::NonceRefused,
        );
        let (fresh, _) = thief.binding(&c).await.unwrap();
        refused(
            c.open_session(&opening(&first, fresh)).await,
            Code::BindingRefused,
        );
        // The grant is of this connection and of nothing else.
        let other = thief.connect(server).await.unwrap();
        other.set_grant(c.grant());
        refused(other.commits(0).await, Code::GrantRequired);
        // A number that the card has passed, truly signed by it and for this connection.
        let (nonce, binding) = thief.binding(&c).await.unwrap();
        let (old, _) = thief
            .open_at_card(&mut applet, &card, &person.pin, &binding)
            .unwrap();
        let (later_nonce, later_binding) = thief.binding(&c).await.unwrap();
        let (newer, _) = thief
            .open_at_card(&mut applet, &card, &person.pin, &later_binding)
            .unwrap();
        c.open_session(&opening(&newer, later_nonce)).await.unwrap();
        refused(
            c.open_session(&opening(&old, nonce)).await,
            Code::SessionNumberUsed,
        );

        // The card is out: the grant reads nothing more, and the session has one tail.
        let grant = c.grant();
        c.narrow(Narrow::Removed).await.unwrap();
        c.set_grant(grant);
        refused(c.commits(0).await, Code::GrantNarrowed);
        c.put_tail(tail(&newer, vec![])).await.unwrap();
        c.put_tail(tail(&newer, vec![])).await.unwrap();
        let another = tail(&newer, vec![Hash([1; 32])]);
        refused(c.put_tail(another).await, Code::TailExists);

        // A revoked terminal is out at once, on a connection that is up.
        c.key_object().await.unwrap();
        let id = thief.id().to_string();
        server.admin(&["terminal", "revoke", "--yes", &id]).unwrap();
        refused(c.key_object().await, Code::TerminalRevoked);
    })
    .unwrap();
}

#[test]
fn m13_only_terminals_of_the_same_person_reach_the_storage_area() {
    seed();
    let mut rig = Rig::start().unwrap();
    let (a, anna) = paired(&mut rig, "A").unwrap();
    let (b, bert) = paired_with(&mut rig, "B", "card-2", &serde_json::json!({})).unwrap();
    let collection = Store::open(&a.home.join("state/state.db"))
        .unwrap()
        .collections()
        .unwrap()[0]
        .id;
    let annas = Impostor::of(&a, &anna).unwrap();
    let berts = Impostor::of(&b, &bert).unwrap();
    let mut hers = Applet::new(rig.bridge.lend(&anna.card).unwrap());
    let mut his = Applet::new(rig.bridge.lend(&bert.card).unwrap());
    let server = &rig.server;
    run(async {
        // Each with a session of their own, as open as can be.
        let (a, b) = (
            annas.connect(server).await.unwrap(),
            berts.connect(server).await.unwrap(),
        );
        for (who, connection, applet, pin) in [
            (&annas, &a, &mut hers, &anna.pin),
            (&berts, &b, &mut his, &bert.pin),
        ] {
            let (nonce, binding) = who.binding(connection).await.unwrap();
            let card = who.pairing.card.id;
            let (statement, _) = who.open_at_card(applet, &card, pin, &binding).unwrap();
            let request = opening(&statement, nonce);
            connection.open_session(&request).await.unwrap();
        }
        let packs: Vec<_> = a.packs(collection).await.unwrap().packs;
        assert!(!packs.is_empty());
        let ids: Vec<_> = packs.iter().map(|p| p.id).collect();
        assert_eq!(a.fetch_packs(ids.clone()).await.unwrap().len(), ids.len());
        // Bert knows every name, and gets nothing by it.
        refused(b.packs(collection).await, Code::CollectionRefused);
        refused(b.fetch_packs(ids).await, Code::NoSuchObject);
        let session = SessionRef {
            card: annas.pairing.card.id,
            n: 1,
        };
        refused(b.tail(session).await, Code::NoSuchObject);
        refused(b.forget(vec![session]).await, Code::NoSuchObject);
        refused(b.revoke_terminal(annas.id()).await, Code::NoSuchObject);
        let (one, two) = (a.key_object().await.unwrap(), b.key_object().await.unwrap());
        assert_ne!(one.signed, two.signed);
        // Without any certificate, nobody.
        let c = annas.client(server).unwrap();
        let nobody = c.connect(None).await.unwrap();
        refused(nobody.packs(collection).await, Code::CertificateRequired);
    })
    .unwrap();
}
