//! Callers on the bus that send anything but what the interface files in `daemon/dbus/` say. The tables are made from
//! those files, so that what is added there is tried here. Every call gets an error with a sentence, nothing is ordered,
//! and the service goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bus_support;

use simsync_codes::Code;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bus_support::{Bus, DEADLINE, Fake, Plan, card};
use simsyncd::bus::names::{BUS_NAME, Kind, ROOT};
use zbus::{Connection, DBusError as _, DynamicType, Message, ObjectPath, OwnedVariant, Variant};

const PREFIX: &str = "org.simsync.SimSync1";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// One interface, as its file says.
struct Interface {
    name: String,
    /// Methods and the signatures of what they take.
    methods: Vec<(String, String)>,
    /// Properties and their types.
    properties: Vec<(String, String)>,
}

fn attribute(line: &str, name: &str) -> Option<String> {
    let (_, rest) = line.split_once(&format!(" {name}=\""))?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// All interface files.
fn interfaces() -> Vec<Interface> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/dbus");
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let mut interface = Interface {
            name: String::new(),
            methods: Vec::new(),
            properties: Vec::new(),
        };
        for line in text.lines().map(str::trim) {
            let name = || attribute(line, "name").unwrap();
            if line.starts_with("<interface ") {
                interface.name = name();
            } else if line.starts_with("<method ") {
                interface.methods.push((name(), String::new()));
            } else if line.starts_with("<property ") {
                let kind = attribute(line, "type").unwrap();
                interface.properties.push((name(), kind));
            } else if attribute(line, "direction").as_deref() == Some("in") {
                let takes = &mut interface.methods.last_mut().unwrap().1;
                takes.push_str(&attribute(line, "type").unwrap());
            }
        }
        found.push(interface);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<_> = found.iter().map(|i| i.name.as_str()).collect();
    assert_eq!(names.len(), 7, "{names:?}");
    let methods: usize = found.iter().map(|i| i.methods.len()).sum();
    assert!(methods >= 19, "{methods} methods were read");
    found
}

type Answered = Pin<Box<dyn Future<Output = zbus::Result<Message>> + Send>>;

/// What a call carries.
struct Body {
    what: String,
    signature: String,
    call: Box<dyn Fn(Connection, String, String, String) -> Answered>,
}

fn body<B>(what: &str, content: B) -> Body
where
    B: serde::Serialize + DynamicType + Send + Sync + 'static,
{
    let signature = content.signature().to_string();
    // Without the parentheses of the whole.
    let inner = signature
        .strip_prefix('(')
        .and_then(|s| s.strip_suffix(')'));
    let content = Arc::new(content);
    Body {
        what: what.to_owned(),
        signature: inner.unwrap_or(&signature).to_owned(),
        call: Box::new(move |conn, path, interface, method| {
            let content = content.clone();
            Box::pin(async move {
                conn.call_method(
                    Some(BUS_NAME),
                    path.as_str(),
                    Some(interface.as_str()),
                    method.as_str(),
                    &*content,
                )
                .await
            })
        }),
    }
}

fn options(n: usize) -> HashMap<String, Variant<'static>> {
    (0..n)
        .map(|i| (format!("option{i}"), Variant::from(7u32)))
        .collect()
}

fn option(name: &str, value: Variant<'static>) -> (HashMap<String, Variant<'static>>,) {
    (HashMap::from([(name.to_owned(), value)]),)
}

fn path(text: &str) -> ObjectPath<'static> {
    ObjectPath::try_from(text.to_owned()).unwrap()
}

/// Arguments of all kinds. None of them is one that a method of ours does anything with.
fn bodies() -> Vec<Body> {
    let large = "x".repeat(1 << 20);
    let list: Vec<String> = vec!["entry".to_owned(); 100_000];
    let mut nested = Variant::from("deep");
    for _ in 0..20 {
        nested = Variant::from(vec![nested]);
    }
    vec![
        body("nothing", ()),
        body("a number", (7u32,)),
        body("a negative number", (-1i64,)),
        body("yes", (true,)),
        body("no text", ("",)),
        body("1 MB of text", (large.clone(),)),
        body("control characters", ("a\u{1b}[2J\n\u{7f}",)),
        body("two texts", ("a", "b")),
        body(
            "three texts of 1 MB",
            (large.clone(), large.clone(), large.clone()),
        ),
        body("three texts without anything", ("", "", "")),
        body("a folder of 1 MB", ("files", "notes", large.clone())),
        body("a name with a line end", ("files", "a\nb", "/tmp")),
        body("four texts", ("a", "b", "c", "d")),
        body(
            "a path too long",
            (path(&format!("/{}", "p".repeat(4000))),),
        ),
        body("path and text", (path("/a"), "b")),
        body("1 MB of bytes", (vec![7u8; 1 << 20],)),
        body("100,000 texts", (list,)),
        body("an unknown option", (options(1),)),
        body("10,000 options", (options(10_000),)),
        body("options and text", (options(0), "more")),
        body("a label of 1 MB", option("label", large.clone().into())),
        body("a label that is a list", option("label", vec![1u32].into())),
        body("a review that is a text", option("review", "yes".into())),
        body("deletions that are deep", option("allow_deletions", nested)),
        body(
            "a name of 1 MB",
            (HashMap::from([(large, Variant::from(true))]),),
        ),
        body("a map of numbers", (BTreeMap::from([(1u32, 2u64)]),)),
    ]
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("in time")
}

/// The name of an error that says something.
fn refused(result: zbus::Result<Message>, tried: &str) -> String {
    let (name, sentence) = match result {
        Err(zbus::Error::MethodError(name, Some(sentence), _)) => (name.to_string(), sentence),
        Err(zbus::Error::FDO(error)) => {
            let sentence = error.description().unwrap_or_default().to_owned();
            (error.name().to_string(), sentence)
        }
        other => panic!("{tried}: {other:?}"),
    };
    let readable = sentence.len() > 5 && !sentence.chars().any(char::is_control);
    assert!(readable, "{tried}: {name}: {sentence}");
    // These are about the service as a whole: nobody is there, or not in time.
    let gone = ["ServiceUnknown", "NoReply", "Timeout", "Disconnected"];
    assert!(!gone.iter().any(|g| name.ends_with(g)), "{tried}: {name}");
    name
}

/// The service, with one object of each kind, and somebody who calls it.
struct World {
    bus: Bus,
    fake: Fake,
    _offered: simsyncd::bus::BusService,
    conn: Connection,
    /// Interfaces and the paths of the objects that have them.
    objects: Vec<(Interface, Option<String>)>,
}

impl World {
    async fn new() -> Self {
        let bus = Bus::start();
        let fake = Fake::new();
        fake.change(|s| s.cards.push(card()));
        let offered = fake.on(&bus).await;
        let conn = bus.connect().await;
        // It waits: both words to it would be heard.
        fake.plan(Plan::Review(Vec::new()));
        let manager = format!("{PREFIX}.Manager");
        let reply = conn
            .call_method(Some(BUS_NAME), ROOT, Some(manager.as_str()), "Unlock", &())
            .await
            .unwrap();
        let job: zbus::OwnedObjectPath = reply.body().deserialize().unwrap();
        fake.commands.lock().clear();
        let place = |interface: &str| match interface.strip_prefix(PREFIX).unwrap() {
            ".Manager" => Some(ROOT.to_owned()),
            ".Reader" => Some(Kind::Reader.path("Reader 00").to_string()),
            ".Card" => Some(Kind::Card.path("Reader 00").to_string()),
            ".Terminal" => Some(Kind::Terminal.path("aa11bb22cc33").to_string()),
            ".Collection" => Some(Kind::Collection.path("c0ffee").to_string()),
            ".Job" => Some(job.to_string()),
            // Agents have it, and the service has none.
            ".Agent" => None,
            other => panic!("where is an object with {other}?"),
        };
        let objects = interfaces()
            .into_iter()
            .map(|i| {
                let place = place(&i.name);
                (i, place)
            })
            .collect();
        Self {
            bus,
            fake,
            _offered: offered,
            conn,
            objects,
        }
    }

    async fn send(
        &self,
        body: &Body,
        path: &str,
        interface: &str,
        method: &str,
    ) -> zbus::Result<Message> {
        let call = (body.call)(
            self.conn.clone(),
            path.to_owned(),
            interface.to_owned(),
            method.to_owned(),
        );
        within(call).await
    }

    async fn call<B>(
        &self,
        path: &str,
        interface: &str,
        method: &str,
        body: &B,
    ) -> zbus::Result<Message>
    where
        B: serde::Serialize + DynamicType + Sync,
    {
        let call = self
            .conn
            .call_method(Some(BUS_NAME), path, Some(interface), method, body);
        within(call).await
    }

    /// The service goes on: it answers somebody new with everything, as before.
    async fn goes_on(&self) {
        let conn = self.bus.connect().await;
        for (interface, path) in &self.objects {
            let Some(path) = path else { continue };
            let named = (interface.name.as_str(),);
            let all = conn.call_method(
                Some(BUS_NAME),
                path.as_str(),
                Some(PROPERTIES),
                "GetAll",
                &named,
            );
            let reply = within(all).await.unwrap();
            let all: HashMap<String, OwnedVariant> = reply.body().deserialize().unwrap();
            assert_eq!(all.len(), interface.properties.len(), "{}", interface.name);
        }
        let commands = self.fake.commands.lock();
        assert!(commands.is_empty(), "ordered: {commands:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_arguments_of_other_types_are_refused_by_every_method() {
    let world = World::new().await;
    let bodies = bodies();
    for (interface, path) in &world.objects {
        let path = path.as_deref().unwrap_or(ROOT);
        for (method, takes) in &interface.methods {
            for body in bodies.iter().filter(|b| b.signature != *takes) {
                let tried = format!("{method}({takes}) with {}", body.what);
                let result = world.send(body, path, &interface.name, method).await;
                refused(result, &tried);
            }
        }
        world.goes_on().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_arguments_that_cannot_be_used_are_refused_by_every_method() {
    let world = World::new().await;
    let bodies = bodies();
    let mut tried_ones = BTreeMap::<String, u32>::new();
    for (interface, path) in &world.objects {
        let Some(path) = path else { continue };
        for (method, takes) in interface.methods.iter().filter(|m| !m.1.is_empty()) {
            for body in bodies.iter().filter(|b| b.signature == *takes) {
                let tried = format!("{method}({takes}) with {}", body.what);
                *tried_ones.entry(method.clone()).or_default() += 1;
                let result = world.send(body, path, &interface.name, method).await;
                if method == "Log" {
                    // Any number will do.
                    result.unwrap();
                    continue;
                }
                let name = refused(result, &tried);
                assert_eq!(name, "org.simsync.SimSync1.Error.BadArgument", "{tried}");
            }
        }
    }
    for (interface, _) in world.objects.iter().filter(|(_, path)| path.is_some()) {
        for (method, takes) in interface.methods.iter().filter(|m| !m.1.is_empty()) {
            assert!(
                tried_ones.contains_key(method),
                "{method} takes {takes}: add what it cannot use to the list"
            );
        }
    }
    world.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_what_is_not_there_is_said_not_to_be() {
    let world = World::new().await;
    let introspect = "org.freedesktop.DBus.Introspectable";
    let gone = [
        Kind::Job.path("999").to_string(),
        Kind::Card.path("Reader 01").to_string(),
        Kind::Collection.path("\u{1f5d1}").to_string(),
        format!("{ROOT}/jobs/1/below"),
        format!("/{}", "a".repeat(4000)),
    ];
    let nothing = body("nothing", ());
    for (interface, path) in &world.objects {
        let name = interface.name.as_str();
        for gone in &gone {
            for (method, _) in &interface.methods {
                let tried = format!("{method} of {gone:.80}");
                refused(world.send(&nothing, gone, name, method).await, &tried);
            }
            for (property, _) in &interface.properties {
                let get = world.call(gone, PROPERTIES, "Get", &(name, property)).await;
                refused(get, &format!("{property} of {gone:.80}"));
            }
            let all = world.call(gone, PROPERTIES, "GetAll", &(name,)).await;
            refused(all, &format!("all of {gone:.80}"));
        }
        let Some(path) = path else {
            let all = world.call(ROOT, PROPERTIES, "GetAll", &(name,)).await;
            refused(all, name);
            continue;
        };
        for (unknown_interface, unknown) in [
            (name, "Nothing"),
            (name, "unlock"),
            ("org.simsync.SimSync9.Manager", "Unlock"),
            ("org.example", "Unlock"),
        ] {
            let result = world.send(&nothing, path, unknown_interface, unknown).await;
            refused(result, &format!("{unknown_interface}.{unknown}"));
        }
        for body in bodies().iter().filter(|b| !b.signature.is_empty()) {
            let tried = format!("Introspect with {}", body.what);
            let result = world.send(body, path, introspect, "Introspect").await;
            refused(result, &tried);
        }
    }
    world.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_properties_are_read_only_and_unknown_ones_refused() {
    let world = World::new().await;
    let large = "x".repeat(1 << 20);
    for (interface, path) in &world.objects {
        let Some(path) = path else { continue };
        let name = interface.name.as_str();
        for (property, _) in &interface.properties {
            let property = property.as_str();
            let before = world.call(path, PROPERTIES, "Get", &(name, property)).await;
            let before: OwnedVariant = before.unwrap().body().deserialize().unwrap();
            let same = before.try_clone().unwrap();
            let set = world
                .call(path, PROPERTIES, "Set", &(name, property, same))
                .await;
            refused(set, &format!("{property} set to itself"));
            for value in [
                Variant::from("other"),
                Variant::from(99u64),
                Variant::from(large.clone()),
            ] {
                let set = (name, property, value);
                let set = world.call(path, PROPERTIES, "Set", &set).await;
                refused(set, &format!("{property} set"));
            }
            let after = world.call(path, PROPERTIES, "Get", &(name, property)).await;
            let after: OwnedVariant = after.unwrap().body().deserialize().unwrap();
            assert_eq!(before, after, "{property}");
        }
        for unknown in ["", "Nothing", "state", large.as_str()] {
            let get = world.call(path, PROPERTIES, "Get", &(name, unknown)).await;
            refused(get, &format!("{unknown:.20} of {name}"));
            let set = (name, unknown, Variant::from(true));
            let set = world.call(path, PROPERTIES, "Set", &set).await;
            refused(set, &format!("{unknown:.20} of {name} set"));
        }
        for method in ["Get", "Set", "GetAll"] {
            for body in bodies() {
                // Of an interface that is none, if the types are right.
                let result = world.send(&body, path, PROPERTIES, method).await;
                refused(result, &format!("{method} with {}", body.what));
            }
        }
    }
    world.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_object_paths_that_are_none_cost_their_sender_the_connection_only() {
    let world = World::new().await;
    let manager = format!("{PREFIX}.Manager");
    for text in ["", "no path", "/a//b", "/a/", "relative/path", "/\u{e4}"] {
        let sender = world.bus.connect().await;
        let path = (ObjectPath::from_string_unchecked(text.to_owned()),);
        for method in ["RegisterAgent", "UnregisterAgent"] {
            let call =
                sender.call_method(Some(BUS_NAME), ROOT, Some(manager.as_str()), method, &path);
            assert!(within(call).await.is_err(), "{method} with {text:?}");
        }
    }
    world.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_words_that_the_bus_cannot_carry_do_not_silence_the_status() {
    let world = World::new().await;
    let odd = "an odd\0word";
    world.fake.change(|s| {
        s.label = odd.to_owned();
        s.last_error = Some(simsyncd::api::Reason::new(Code::Failed, odd));
        s.terminals[0].label = odd.to_owned();
        s.terminals[0].collections = vec![odd.to_owned()];
        s.collections[0].name = odd.to_owned();
        s.collections[0].path = Some(odd.to_owned());
        s.subscriber = Some(odd.to_owned());
        s.readers.push(odd.to_owned());
    });
    let job = world.fake.job.lock().clone().unwrap();
    job.send_modify(|s| {
        s.step = odd.to_owned();
        s.result = BTreeMap::from([(odd.to_owned(), odd.to_owned())]);
        s.review = vec![(odd.to_owned(), odd.to_owned(), odd.to_owned(), 1)];
    });
    // The changes are signalled first; a reader that came with them is what shows it.
    let reader = Kind::Reader.path(odd).to_string();
    let name = format!("{PREFIX}.Reader");
    let start = std::time::Instant::now();
    loop {
        let get = (name.as_str(), "Name");
        match world.call(&reader, PROPERTIES, "Get", &get).await {
            Ok(reply) => {
                let shown: OwnedVariant = reply.body().deserialize().unwrap();
                assert_eq!(String::try_from(shown).unwrap(), "an odd\u{FFFD}word");
                break;
            }
            Err(error) => assert!(start.elapsed() < DEADLINE, "{error}"),
        }
    }
    world.goes_on().await;
    let failure = simsyncd::api::Failure::new(Code::Failed, odd);
    world.fake.plan(Plan::Refuse(failure));
    let manager = format!("{PREFIX}.Manager");
    let result = world.call(ROOT, &manager, "Unlock", &()).await;
    refused(result, "a refusal");
    world.fake.commands.lock().clear();
    world.goes_on().await;
}
