//! The program itself: it comes to the bus, tells the service manager, refuses what it must, and stops in good order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bus_support;

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use bus_support::{Bus, DEADLINE};

fn daemon(home: &Path, bus: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simsyncd"));
    command
        .arg("--home")
        .arg(home)
        .args(["--bus", bus])
        .env_remove("NOTIFY_SOCKET")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn failed(command: &mut Command, code: i32, words: &str) {
    let Output { status, stderr, .. } = command.output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(code), "{text}");
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("simsyncd: ") && last.contains(words),
        "{text}"
    );
}

/// Ends a program that a failed test leaves behind.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads what the service manager is told until a word comes.
fn told(socket: &UnixDatagram, word: &str) {
    let start = Instant::now();
    let mut buffer = [0; 4096];
    while start.elapsed() < DEADLINE {
        let n = socket.recv(&mut buffer).expect("in time");
        if String::from_utf8_lossy(&buffer[..n]).contains(word) {
            return;
        }
    }
    panic!("{word} was not told");
}

#[test]
fn it_runs_alone_and_stops_in_good_order() {
    let bus = Bus::start();
    let dir = tempfile::tempdir().unwrap();
    let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut first = daemon(&dir.path().join("one"), &bus.address);
    first
        .env("NOTIFY_SOCKET", dir.path().join("notify"))
        .stderr(Stdio::null());
    let mut first = Guard(first.spawn().unwrap());
    told(&socket, "READY=1");
    // Another one on the same bus opens no file.
    let second = dir.path().join("two");
    failed(
        &mut daemon(&second, &bus.address),
        3,
        "another simsyncd runs",
    );
    assert!(!second.exists());
    let until = Instant::now() + DEADLINE;
    let pid = rustix::process::Pid::from_child(&first.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    told(&socket, "STOPPING=1");
    let ended = loop {
        if let Some(status) = first.0.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < until, "it does not stop");
        std::thread::yield_now();
    };
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn f_g1_started_by_hand_on_a_terminal_it_runs_and_says_what_is_bad() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let bus = Bus::start();
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("config")).unwrap();
    std::fs::write(dir.path().join("config/config.json"), "{").unwrap();
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let screen = std::fs::File::options()
        .write(true)
        .open(name.to_str().unwrap());
    let mut command = daemon(dir.path(), &bus.address);
    let status = command.stderr(screen.unwrap()).status().unwrap();
    assert_eq!(status.code(), Some(78));
}

#[test]
fn what_is_bad_is_said_in_one_sentence() {
    let bus = Bus::start();
    let dir = tempfile::tempdir().unwrap();
    let nowhere = "unix:path=/nonexistent/bus";
    failed(&mut daemon(dir.path(), nowhere), 3, "name a bus with --bus");
    std::fs::create_dir_all(dir.path().join("config")).unwrap();
    std::fs::write(dir.path().join("config/config.json"), "{").unwrap();
    failed(&mut daemon(dir.path(), &bus.address), 78, "config.json");
    failed(
        daemon(dir.path(), &bus.address).args(["--log", "a=b=c"]),
        2,
        "is no log filter",
    );
}

#[tokio::test]
async fn w_7_a_database_that_cannot_be_read_is_said_and_nothing_is_claimed() {
    const NAME: &str = "org.simsync.SimSync1";
    const PATH: &str = "/org/simsync/SimSync1";
    const MANAGER: &str = "org.simsync.SimSync1.Manager";
    let bus = Bus::start();
    let dir = tempfile::tempdir().unwrap();
    let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let home = dir.path().join("home");
    let mut command = daemon(&home, &bus.address);
    command
        .env("NOTIFY_SOCKET", dir.path().join("notify"))
        .stderr(Stdio::null());
    let running = Guard(command.spawn().unwrap());
    told(&socket, "READY=1");
    let conn = bus.connect().await;
    let get = async |property: &str| {
        let interface = Some("org.freedesktop.DBus.Properties");
        let what = (MANAGER, property);
        let reply = conn.call_method(Some(NAME), PATH, interface, "Get", &what);
        let reply = reply.await.unwrap();
        reply.body().deserialize::<zbus::OwnedVariant>().unwrap()
    };
    assert_eq!(String::try_from(get("State").await).unwrap(), "unpaired");
    let database = rusqlite::Connection::open(home.join("state/state.db")).unwrap();
    database.execute_batch("DROP TABLE conflicts").unwrap();
    let until = Instant::now() + DEADLINE;
    loop {
        // Whatever is asked, the status is published anew after it.
        let asked = conn.call_method(Some(NAME), PATH, Some(MANAGER), "Outstanding", &());
        asked.await.unwrap();
        if String::try_from(get("State").await).unwrap() == "attention" {
            break;
        }
        assert!(Instant::now() < until, "it claims that all is well");
    }
    let reasons = <Vec<(String, String)>>::try_from(get("PauseReasons").await).unwrap();
    assert_eq!(reasons[0].0, "store", "{reasons:?}");
    // It does not begin on what it cannot read, either.
    drop(running);
    database.execute_batch("DROP TABLE outstanding").unwrap();
    failed(&mut daemon(&home, &bus.address), 78, "database");
}
