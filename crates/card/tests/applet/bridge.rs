//! The real applet in the simulator, in a reader that is this test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use simsync_card::transport::{Transport, TransportError};

use crate::life::SECRET;

const DEADLINE: Duration = Duration::from_secs(20);
/// Bridges so far; each has a folder of its own.
static BRIDGES: AtomicU32 = AtomicU32::new(0);

/// The bridge as a process of its own; it ends when its standard input closes.
pub struct Bridge {
    process: Child,
    folder: PathBuf,
}

impl Bridge {
    pub fn start() -> Self {
        let jar = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../javacard-applet/target/simsync-bridge.jar");
        assert!(
            jar.exists(),
            "{} is missing: run mvn -q package",
            jar.display()
        );
        let folder = std::env::temp_dir().join(format!(
            "simsync-card-{}-{}",
            std::process::id(),
            BRIDGES.fetch_add(1, Ordering::Relaxed)
        ));
        std::fs::create_dir_all(&folder).unwrap();
        let process = Command::new("java")
            .args(["-XX:TieredStopAtLevel=1", "-jar"])
            .arg(jar)
            .arg("--control")
            .arg(folder.join("control"))
            .arg("--stdin-lifetime")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        Self { process, folder }
    }

    /// One request on the control socket, and its reply.
    pub fn ask(&self, request: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut control = loop {
            match UnixStream::connect(self.folder.join("control")) {
                Ok(control) => break control,
                Err(error) if Instant::now() > deadline => panic!("no bridge: {error}"),
                Err(_) => std::thread::yield_now(),
            }
        };
        writeln!(control, "{request}").unwrap();
        let mut reply = String::new();
        BufReader::new(control).read_line(&mut reply).unwrap();
        reply.trim_end().to_owned()
    }

    /// A new card, in a reader that is this test.
    pub fn insert_blank(&self, name: &str) -> Reader {
        // One that was called so is thrown away.
        self.ask(&format!("eject {name}"));
        let secret = SECRET.map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(self.ask(&format!("blank {name} {secret}")), "ok");
        self.insert(name)
    }

    /// A card that was made before, in a reader that is this test.
    pub fn insert(&self, name: &str) -> Reader {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(self.ask(&format!("insert {name} {port}")), "ok");
        let (card, _) = listener.accept().unwrap();
        card.set_nodelay(true).unwrap();
        card.set_read_timeout(Some(DEADLINE)).unwrap();
        Reader { card }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The reader's side of the virtual reader's protocol: 2 bytes of length, then the APDU.
pub struct Reader {
    card: TcpStream,
}

impl Transport for Reader {
    fn transmit(&mut self, apdu: &[u8]) -> Result<Vec<u8>, TransportError> {
        let mut message = u16::try_from(apdu.len()).unwrap().to_be_bytes().to_vec();
        message.extend_from_slice(apdu);
        let mut answer = || {
            self.card.write_all(&message)?;
            let mut length = [0; 2];
            self.card.read_exact(&mut length)?;
            let mut answer = vec![0; u16::from_be_bytes(length).into()];
            self.card.read_exact(&mut answer)?;
            Ok(answer)
        };
        answer().map_err(|error: std::io::Error| TransportError::Other(Box::new(error)))
    }
}
