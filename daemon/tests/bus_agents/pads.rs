//! Agents that tell a person about the reader's PIN pad.

use super::*;

/// One that tells the person to type the PIN on the reader.
struct PadAgent {
    seen: Arc<Seen>,
    /// What it answers with, if it is not the reading end of a pipe.
    instead: Option<fn() -> Result<Fd<'static>, Error>>,
}

#[interface(name = "org.simsync.SimSync1.Agent")]
impl PadAgent {
    async fn show_pin_pad(
        &self,
        details: HashMap<String, OwnedVariant>,
    ) -> Result<Fd<'static>, Error> {
        self.seen.details.lock().push(details);
        self.seen.asked.notify_one();
        if let Some(instead) = self.instead {
            return instead();
        }
        let (reader, writer) = std::io::pipe().unwrap();
        self.seen.kept.lock().push(writer);
        Ok(Fd::from(OwnedFd::from(reader)))
    }

    async fn cancel(&self) {
        self.seen.cancelled.notify_one();
    }
}

async fn pad_agent_at(
    conn: &Connection,
    path: &str,
    instead: Option<fn() -> Result<Fd<'static>, Error>>,
) -> Arc<Seen> {
    let seen = Arc::new(Seen::default());
    let agent = PadAgent {
        seen: seen.clone(),
        instead,
    };
    conn.object_server().at(path, agent).await.unwrap();
    let path = ObjectPath::try_from(path).unwrap();
    conn.call_method(
        Some(BUS_NAME),
        ROOT,
        Some(MANAGER),
        "RegisterAgent",
        &(path,),
    )
    .await
    .unwrap();
    seen
}

async fn show_pad(fake: &Fake, conn: &Connection) -> Result<PadShown, AgentError> {
    let request = PadRequest {
        reader: "Reader 00".to_owned(),
        purpose: PadPurpose::Sign,
        tries_left: Some(2),
        retry: true,
        seconds: 30,
    };
    tokio::time::timeout(DEADLINE, fake.agents.show_pad(by(conn), request))
        .await
        .expect("in time")
}

#[tokio::test]
async fn the_newest_agent_that_knows_pin_pads_tells_the_person() {
    let (bus, fake) = (Bus::start(), Fake::new());
    let _face = fake.on(&bus).await;
    let conn = bus.connect().await;
    let nobody = show_pad(&fake, &conn).await;
    assert!(matches!(nobody, Err(AgentError::NoAgent)));
    // One that only knows prompts, one that has the PIN already, one that answers with a file: the next one is told.
    let told = pad_agent_at(&conn, "/told", None).await;
    register(&conn, Some(BUS_NAME), "/prompts", gives("1234")).await;
    let not_mine = || Err(Error::NotMine("a script gives it".to_owned()));
    let script = pad_agent_at(&conn, "/script", Some(not_mine)).await;
    let file = || {
        let file = std::fs::File::open("/dev/null").unwrap();
        Ok(Fd::from(OwnedFd::from(file)))
    };
    let odd = pad_agent_at(&conn, "/odd", Some(file)).await;
    let mut shown = show_pad(&fake, &conn).await.unwrap();
    for seen in [&script, &odd] {
        assert_eq!(seen.details.lock().len(), 1);
    }
    let details = told.details.lock().remove(0);
    let text = |key: &str| String::try_from(details[key].clone()).unwrap();
    assert_eq!(
        (text("reader"), text("purpose")),
        ("Reader 00".into(), "sign".into())
    );
    assert_eq!(u32::try_from(details["tries_left"].clone()).unwrap(), 2);
    assert_eq!(u32::try_from(details["seconds"].clone()).unwrap(), 30);
    assert!(bool::try_from(details["retry"].clone()).unwrap());
    // It stands until the person takes it back, by the agent's end of the pipe.
    let at_once = std::time::Duration::ZERO;
    assert!(
        tokio::time::timeout(at_once, shown.declined())
            .await
            .is_err()
    );
    told.kept.lock().clear();
    tokio::time::timeout(DEADLINE, shown.declined())
        .await
        .unwrap();
    // Withdrawn, dropped: both are told.
    shown.withdraw().await;
    tokio::time::timeout(DEADLINE, told.cancelled.notified())
        .await
        .unwrap();
    drop(show_pad(&fake, &conn).await.unwrap());
    tokio::time::timeout(DEADLINE, told.cancelled.notified())
        .await
        .unwrap();
}

#[tokio::test]
async fn an_agent_may_decline_for_the_person() {
    let (bus, fake) = (Bus::start(), Fake::new());
    let _face = fake.on(&bus).await;
    let conn = bus.connect().await;
    let older = pad_agent_at(&conn, "/older", None).await;
    let declined = || Err(Error::Declined("no".to_owned()));
    pad_agent_at(&conn, "/declines", Some(declined)).await;
    let said = show_pad(&fake, &conn).await;
    assert!(matches!(said, Err(AgentError::Declined)));
    assert!(older.details.lock().is_empty());
}
