//! The wire between a terminal and the server: it can stall, be cut, and come back.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::Result;
use parking_lot::{Condvar, Mutex};

type Hold = Box<dyn Fn() -> bool + Send>;

#[derive(Default)]
struct Gate {
    /// No connection passes, and those that are up are cut.
    down: bool,
    /// Bytes from the terminal wait.
    held: bool,
    /// Asked before each piece; holds the wire when it says so.
    hold_when: Option<Hold>,
    streams: Vec<TcpStream>,
    /// Nobody has the wire any more.
    is_over: bool,
}

/// One terminal's wire; it is gone with the last clone.
#[derive(Clone)]
pub struct Proxy {
    gate: Arc<(Mutex<Gate>, Condvar)>,
    /// None in the threads that carry.
    _end: Option<Arc<End>>,
}

/// The end of a wire.
struct End {
    wire: Proxy,
    address: SocketAddr,
    listening: Option<JoinHandle<()>>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.wire.with(|g| g.is_over = true);
        self.wire.set_down(true);
        // The thread that listens looks when somebody comes.
        if TcpStream::connect(self.address).is_ok()
            && let Some(listening) = self.listening.take()
        {
            let _ = listening.join();
        }
    }
}

/// Small pieces, so that a hold comes soon after its cause.
const PIECE: usize = 16 << 10;

impl Proxy {
    /// Listens on `127.0.0.HOST:port` and leads to `127.0.0.1:to`.
    pub fn start(host: u8, port: u16, to: u16) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), port));
        let listener = TcpListener::bind(address).map_err(|e| format!("{address}: {e}"))?;
        let carrying = Self {
            gate: Arc::default(),
            _end: None,
        };
        let wire = carrying.clone();
        let listening = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if carrying.with(|g| g.is_over) {
                    return;
                }
                carrying.connect(stream, to);
            }
        });
        Ok(Self {
            gate: wire.gate.clone(),
            _end: Some(Arc::new(End {
                wire,
                address,
                listening: Some(listening),
            })),
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Gate) -> T) -> T {
        let result = change(&mut self.gate.0.lock());
        self.gate.1.notify_all();
        result
    }

    /// Cuts the wire, or mends it.
    pub fn set_down(&self, down: bool) {
        self.with(|g| {
            g.down = down;
            if down {
                for s in g.streams.drain(..) {
                    let _ = s.shutdown(Shutdown::Both);
                }
            }
        });
    }

    /// Whether the wire is cut.
    pub fn is_down(&self) -> bool {
        self.with(|g| g.down)
    }

    /// Holds what the terminal sends from the moment on when `when` says so.
    pub fn hold_when(&self, when: impl Fn() -> bool + Send + 'static) {
        self.with(|g| g.hold_when = Some(Box::new(when)));
    }

    /// Whether the wire is held.
    pub fn is_held(&self) -> bool {
        self.with(|g| g.held)
    }

    /// Lets everything pass again.
    pub fn release(&self) {
        self.with(|g| {
            g.held = false;
            g.hold_when = None;
        });
    }

    fn connect(&self, terminal: TcpStream, to: u16) {
        if self.with(|g| g.down) {
            return;
        }
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else {
            return;
        };
        let _ = terminal.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let (Ok(t2), Ok(s2), Ok(t3), Ok(s3)) = (
            terminal.try_clone(),
            server.try_clone(),
            terminal.try_clone(),
            server.try_clone(),
        ) else {
            return;
        };
        self.with(|g| g.streams.extend([t3, s3]));
        let up = self.clone();
        std::thread::spawn(move || up.copy(terminal, server, true));
        let down = self.clone();
        std::thread::spawn(move || down.copy(s2, t2, false));
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream, gated: bool) {
        let mut buffer = vec![0; PIECE];
        loop {
            let n = match from.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(n) => n,
            };
            if gated {
                self.wait_at_gate();
            }
            if to.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }

    fn wait_at_gate(&self) {
        let mut gate = self.gate.0.lock();
        if gate.hold_when.as_ref().is_some_and(|when| when()) {
            gate.held = true;
            gate.hold_when = None;
        }
        while gate.held && !gate.down {
            self.gate.1.wait(&mut gate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wire_that_nobody_has_any_more_leaves_its_place() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|e| panic!("{e}"));
        let port = free.local_addr().unwrap_or_else(|e| panic!("{e}")).port();
        drop(free);
        for _ in 0..20 {
            let wire = Proxy::start(1, port, port).unwrap_or_else(|e| panic!("{e}"));
            let other = wire.clone();
            drop(wire);
            assert!(Proxy::start(1, port, port).is_err());
            drop(other);
        }
    }
}
