//! What a watcher vouches for is not looked at: real folders, real inotify, and every look against one at everything.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::{IndexedMutRandom as _, IndexedRandom as _};
use rand::{RngExt as _, SeedableRng};
use simsync_server::testing::{Seed, TestServer};
use simsyncd::engine::{Engine, EngineConfig};
use simsyncd::vouch::Vouches;
use simsyncd::watch::data::{Roots, run};
use tokio::sync::watch;

use crate::rig::{FILES, Person, Terminal, close, sync};

/// Watches a terminal's folder, for as long as what is answered lives.
fn watched(t: &Terminal) -> watch::Sender<Roots> {
    let roots = Roots {
        wanted: vec![t.data()],
        found: Vec::new(),
    };
    let (told, roots) = watch::channel(roots);
    let vouches = t.engine.config.vouches.clone();
    tokio::spawn(run(roots, vouches, |_| {}));
    told
}

/// What a look found, in words, and whether it was at everything.
fn look(engine: &Engine, t: &Terminal) -> (Vec<String>, bool) {
    let store = &engine.store;
    let pk = t.pk(&FILES);
    let collections = store.collections().unwrap();
    let c = collections.iter().find(|c| c.pk == pk).unwrap();
    let found = engine.scan(c, &t.data(), false).unwrap();
    let mut out = vec![format!("{} of {}", found.entries, found.rows.len())];
    out.extend(found.gone.iter().map(|p| format!("gone {p}")));
    let nodes = found.nodes.iter();
    out.extend(nodes.map(|(p, node, _)| format!("{p} {node:?}")));
    let files = found.candidates.iter();
    out.extend(files.map(|c| format!("{} {:?}", c.path, c.stat)));
    out.extend(found.reports.iter().map(|r| format!("{r:?}")));
    out.extend(found.not_met.iter().map(|p| format!("not met {p}")));
    out.sort();
    (out, found.is_whole)
}

/// Both kinds of looks find the same; answers whether the first was at everything.
async fn looks_agree(t: &Terminal) -> bool {
    let unwatched = Engine {
        config: Arc::new(EngineConfig {
            vouches: Vouches::default(),
            ..(*t.engine.config).clone()
        }),
        ..t.engine.clone()
    };
    tokio::task::block_in_place(|| {
        let (vouched, is_whole) = look(&t.engine, t);
        let (all, _) = look(&unwatched, t);
        assert_eq!(
            vouched,
            all,
            "a look at {}",
            if is_whole {
                "everything"
            } else {
                "what changed"
            }
        );
        is_whole
    })
}

/// Waits until a look is vouched for.
async fn is_vouched_for(t: &Terminal) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while looks_agree(t).await {
        assert!(Instant::now() < deadline, "nobody vouches for the folder");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A person at work in a folder, who keeps files open and mapped.
struct Worker {
    root: PathBuf,
    rng: StdRng,
    open: Vec<fs::File>,
}

impl Worker {
    /// A name, of few: so that they meet.
    fn name(&mut self) -> String {
        let depth = self.rng.random_range(1..4);
        let names: Vec<&str> = (0..depth)
            .map(|_| *["a", "b", "c", "d"].choose(&mut self.rng).unwrap())
            .collect();
        names.join("/")
    }

    fn path(&mut self) -> PathBuf {
        let name = self.name();
        self.root.join(name)
    }

    /// Does one thing, which may come to nothing.
    fn work(&mut self) {
        let (one, other) = (self.path(), self.path());
        let text = self.rng.random_range(0..1_000).to_string();
        match self.rng.random_range(0..17) {
            0 | 1 => drop(fs::create_dir_all(&one)),
            2..=4 => drop(fs::write(&one, text)),
            5 => append(&one, &text),
            6 => {
                let opened = fs::OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .open(&one);
                self.open.extend(opened);
            }
            7 | 8 => {
                // Not closed: nobody hears of that but by the write itself.
                if let Some(file) = self.open.choose_mut(&mut self.rng) {
                    file.write_all(text.as_bytes()).unwrap();
                }
            }
            9 => drop(self.open.pop()),
            10 | 11 => drop(fs::rename(&one, &other)),
            12 => drop(fs::remove_file(&one)),
            13 => drop(fs::remove_dir_all(&one)),
            14 => {
                let mode = *[0o700, 0o755, 0o500, 0o600].choose(&mut self.rng).unwrap();
                let bits = if one.is_dir() { mode | 0o100 } else { mode };
                if !one.is_symlink() {
                    drop(fs::set_permissions(&one, fs::Permissions::from_mode(bits)));
                }
            }
            15 => {
                drop(fs::remove_file(&one));
                drop(std::os::unix::fs::symlink(&text, &one));
            }
            _ => drop(fs::hard_link(&one, &other)),
        }
    }
}

fn append(path: &Path, text: &str) {
    if let Ok(mut file) = fs::OpenOptions::new().append(true).open(path) {
        file.write_all(text.as_bytes()).unwrap();
    }
}

/// Another program that has a file mapped, and changes it that way.
struct Mapping {
    program: Child,
}

impl Mapping {
    const PROGRAM: &str = "import mmap, sys
f = open(sys.argv[1], 'r+b')
m = mmap.mmap(f.fileno(), 0)
f.close()
print('mapped', flush=True)
for line in sys.stdin:
    m[0:1] = line.encode()[0:1]
    print('written', flush=True)
";

    fn of(path: &Path) -> Self {
        let program = Command::new("python3")
            .args(["-c", Self::PROGRAM])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut mapping = Self { program };
        mapping.hears("mapped");
        mapping
    }

    fn hears(&mut self, what: &str) {
        let out = self.program.stdout.as_mut().unwrap();
        let mut said = vec![0; what.len() + 1];
        out.read_exact(&mut said).unwrap();
        assert_eq!(said, [what.as_bytes(), b"\n"].concat());
    }

    fn write(&mut self, first: char) {
        writeln!(self.program.stdin.as_mut().unwrap(), "{first}").unwrap();
        self.hears("written");
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        drop(self.program.stdin.take());
        let _ = self.program.wait();
    }
}

/// A and B share one collection; A's folder is watched.
async fn watched_world(seed: &Seed) -> (Person, Terminal, Terminal, watch::Sender<Roots>) {
    let server = TestServer::start().await;
    let labels = [("A", &[FILES][..]), ("B", &[FILES])];
    let (person, terminals) = Person::found(seed, server, &labels).await;
    let [a, b] = <[Terminal; 2]>::try_from(terminals).ok().unwrap();
    let watching = watched(&a);
    (person, a, b, watching)
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_what_changes_unheard_is_looked_at() {
    let (person, a, _b, _watching) = watched_world(&Seed::new()).await;
    a.write("mapped", "0");
    a.write("linked", "1");
    a.write("quiet", "2");
    let session = person.open(&a).await;
    sync(&a, &session).await;
    is_vouched_for(&a).await;
    // By memory: its time changes, and nobody tells.
    let mut mapping = Mapping::of(&a.data().join("mapped"));
    mapping.write('7');
    assert!(!looks_agree(&a).await);
    sync(&a, &session).await;
    mapping.write('8');
    assert!(!looks_agree(&a).await);
    drop(mapping);
    // By a name elsewhere, which was there when everything was looked at.
    let elsewhere = a.dir.path().join("elsewhere");
    fs::hard_link(a.data().join("linked"), &elsewhere).unwrap();
    a.engine.config.vouches.doubt();
    sync(&a, &session).await;
    is_vouched_for(&a).await;
    append(&elsewhere, "more");
    assert!(!looks_agree(&a).await);
    sync(&a, &session).await;
    close(&a, &session).await;
    // A name within that is new: the first one looks different, too, and nobody told of that. From then on it is known.
    fs::hard_link(a.data().join("quiet"), a.data().join("second")).unwrap();
    assert!(looks_agree(&a).await);
    append(&a.data().join("quiet"), "more");
    assert!(!looks_agree(&a).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_where_nobody_can_vouch_everything_is_looked_at() {
    let (person, a, _b, watching) = watched_world(&Seed::new()).await;
    a.write("d/f", "1");
    let session = person.open(&a).await;
    sync(&a, &session).await;
    is_vouched_for(&a).await;
    // What was found different stays so until a row says it.
    a.write("d/f", "22");
    for _ in 0..3 {
        assert!(!looks_agree(&a).await);
    }
    // Another folder in its place.
    let away = a.dir.path().join("away");
    fs::rename(a.data(), &away).unwrap();
    fs::create_dir(a.data()).unwrap();
    assert!(looks_agree(&a).await);
    fs::remove_dir(a.data()).unwrap();
    fs::rename(&away, a.data()).unwrap();
    assert!(looks_agree(&a).await);
    is_vouched_for(&a).await;
    // Nobody may look into it, so nobody hears of what is in it; what is skipped is tried again each time.
    fs::set_permissions(a.data().join("d"), fs::Permissions::from_mode(0o000)).unwrap();
    looks_agree(&a).await;
    fs::set_permissions(a.data().join("d"), fs::Permissions::from_mode(0o700)).unwrap();
    a.write("d/g", "3");
    looks_agree(&a).await;
    is_vouched_for(&a).await;
    // More than the kernel remembers.
    for i in 0..20_000 {
        fs::write(a.data().join(format!("many {i}")), "").unwrap();
    }
    assert!(looks_agree(&a).await);
    // The watcher is gone.
    drop(watching);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !looks_agree(&a).await {
        assert!(Instant::now() < deadline, "it is vouched for by nobody");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    close(&a, &session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_what_nobody_told_of_is_as_it_was() {
    let seed = Seed::new();
    let (person, a, b, _watching) = watched_world(&seed).await;
    let mut worker = Worker {
        root: a.data(),
        rng: StdRng::from_seed(seed.bytes()),
        open: Vec::new(),
    };
    let mut vouched = 0;
    for round in 0..60 {
        for _ in 0..worker.rng.random_range(0..12) {
            worker.work();
        }
        vouched += u32::from(!looks_agree(&a).await);
        if round % 5 == 4 {
            let session = person.open(&a).await;
            sync(&a, &session).await;
            vouched += u32::from(!looks_agree(&a).await);
            close(&a, &session).await;
        }
        if round % 20 == 19 {
            let session = person.open(&b).await;
            sync(&b, &session).await;
            b.write(&format!("of b/{round}"), "b");
            b.write("of b/again", &round.to_string());
            close(&b, &session).await;
            let session = person.open(&a).await;
            sync(&a, &session).await;
            close(&a, &session).await;
        }
    }
    // The first look is at everything, and few others.
    assert!(vouched > 50, "{vouched} looks were vouched for");
    drop(worker.open);
}
