//! The wire between one terminal and the server: it can be cut at any moment, and then nothing passes any more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// One terminal's wire.
#[derive(Debug, Clone)]
pub struct Wire {
    /// Where the terminal connects to.
    pub address: SocketAddr,
    is_cut: Arc<watch::Sender<bool>>,
    sent: Arc<AtomicU64>,
    limit: Arc<AtomicU64>,
}

impl Wire {
    /// To the server, wherever it listens now.
    pub async fn new(server: Arc<AtomicU16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_cut = Arc::new(watch::Sender::new(false));
        let wire = Self {
            address,
            is_cut,
            sent: Arc::default(),
            limit: Arc::new(AtomicU64::new(u64::MAX)),
        };
        let passes = wire.clone();
        tokio::spawn(async move {
            while let Ok((terminal, _)) = listener.accept().await {
                let to = SocketAddr::from(([127, 0, 0, 1], server.load(Ordering::SeqCst)));
                tokio::spawn(pass(terminal, to, passes.clone()));
            }
        });
        wire
    }

    /// It is cut once the terminal sent so many bytes more.
    pub fn cut_after(&self, bytes: u64) {
        self.limit.store(self.sent() + bytes, Ordering::SeqCst);
    }

    /// How many bytes the terminal sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// The terminal sends so many bytes.
    fn count(&self, bytes: usize) {
        let before = self.sent.fetch_add(bytes as u64, Ordering::SeqCst);
        if before + bytes as u64 > self.limit.load(Ordering::SeqCst) {
            self.limit.store(u64::MAX, Ordering::SeqCst);
            self.cut();
        }
    }

    /// Nothing passes from now on.
    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// It is whole again: new connections can be made.
    pub fn mend(&self) {
        self.is_cut.send_replace(false);
    }

    /// Whether nothing passes.
    pub fn is_cut(&self) -> bool {
        *self.is_cut.borrow()
    }
}

async fn pass(terminal: TcpStream, server: SocketAddr, wire: Wire) {
    let mut cut = wire.is_cut.subscribe();
    if *cut.borrow_and_update() {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let _ = (terminal.set_nodelay(true), server.set_nodelay(true));
    let (from_terminal, to_terminal) = terminal.into_split();
    let (from_server, to_server) = server.into_split();
    let watched = cut.clone();
    tokio::select! {
        _ = cut.wait_for(|is_cut| *is_cut) => {}
        () = copy(from_terminal, to_server, watched.clone(), |n| wire.count(n)) => {}
        () = copy(from_server, to_terminal, watched, |_| {}) => {}
    }
}

/// What was read when the wire was cut is not passed on.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    cut: watch::Receiver<bool>,
    count: impl Fn(usize),
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(n) = from.read(&mut buffer).await else {
            return;
        };
        count(n);
        if n == 0 || *cut.borrow() || to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}
