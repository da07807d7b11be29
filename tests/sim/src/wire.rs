//! The wire between one terminal and the server: it can be cut at any moment, and then nothing passes any more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

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
}

impl Wire {
    /// To the server, wherever it listens now.
    pub async fn new(server: Arc<AtomicU16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_cut = Arc::new(watch::Sender::new(false));
        let cut = is_cut.clone();
        tokio::spawn(async move {
            while let Ok((terminal, _)) = listener.accept().await {
                let to = SocketAddr::from(([127, 0, 0, 1], server.load(Ordering::SeqCst)));
                tokio::spawn(pass(terminal, to, cut.subscribe()));
            }
        });
        Self { address, is_cut }
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

async fn pass(terminal: TcpStream, server: SocketAddr, mut cut: watch::Receiver<bool>) {
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
        () = copy(from_terminal, to_server, watched.clone()) => {}
        () = copy(from_server, to_terminal, watched) => {}
    }
}

/// What was read when the wire was cut is not passed on.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, cut: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(n) = from.read(&mut buffer).await else {
            return;
        };
        if n == 0 || *cut.borrow() || to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}
