//! Shares: who holds how many places and how much memory, by terminal, subscriber, address and altogether.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use simsync_card::ids::{SubscriberId, TerminalId};
use simsync_protocol::problem::{Code, Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time;

use super::limiter::network;
use crate::config::{Limits, Share};

/// Memory is counted in units of so many bytes.
const UNIT: usize = 1 << 10;
/// From so many holders on, those that are gone are looked for.
const SWEEP_FROM: usize = 64;

/// What can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A TLS handshake.
    Handshake,
    /// A connection, as long as it is open. A terminal that has too many loses its oldest.
    Connection,
    /// A request until its answer begins.
    Request,
    /// An upload of packs.
    Upload,
    /// An event stream.
    Events,
    /// So many bytes of memory.
    Memory(usize),
}

impl Kind {
    fn units(self) -> u32 {
        match self {
            Self::Memory(bytes) => u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX),
            _ => 1,
        }
    }
}

/// Whose share is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// That of an address without a certificate.
    Address,
    /// That of a terminal.
    Terminal,
    /// That of a subscriber, which all of their terminals share.
    Subscriber,
    /// That of the whole server, which everybody shares.
    Process,
}

impl Level {
    /// What the client is told.
    pub fn problem(self) -> Problem {
        let (code, detail) = match self {
            Self::Address => (
                Code::RateLimited,
                "too much is under way from this address: try again in a moment",
            ),
            Self::Terminal => (
                Code::RateLimited,
                "this terminal has too much under way at once: try again in a moment",
            ),
            Self::Subscriber => (
                Code::RateLimited,
                "the terminals of this subscriber have too much under way at once: try again in a moment",
            ),
            Self::Process => (
                Code::Overloaded,
                "the server has too much under way at once: try again in a moment",
            ),
        };
        Problem::new(code, detail)
    }
}

/// One holder's share.
#[derive(Debug)]
struct Account {
    level: Level,
    handshakes: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    events: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    /// Of a terminal: its connections, oldest first, each with what ends it.
    open: Mutex<VecDeque<(u64, oneshot::Sender<()>)>>,
}

impl Account {
    fn new(level: Level, share: &Share) -> Arc<Self> {
        let places = |n: usize| Arc::new(Semaphore::new(n.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self {
            level,
            handshakes: places(share.handshakes),
            connections: places(share.connections),
            requests: places(share.requests),
            uploads: places(share.uploads),
            events: places(share.events),
            memory: places(share.memory / UNIT),
            open: Mutex::default(),
        })
    }

    fn of(&self, kind: Kind) -> Arc<Semaphore> {
        match kind {
            Kind::Handshake => &self.handshakes,
            Kind::Connection => &self.connections,
            Kind::Request => &self.requests,
            Kind::Upload => &self.uploads,
            Kind::Events => &self.events,
            Kind::Memory(_) => &self.memory,
        }
        .clone()
    }
}

/// Accounts by name; one that nobody uses any more is forgotten.
#[derive(Debug)]
struct Book<K> {
    known: HashMap<K, Weak<Account>>,
    sweep_at: usize,
}

impl<K> Default for Book<K> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            sweep_at: SWEEP_FROM,
        }
    }
}

impl<K: Hash + Eq> Book<K> {
    fn get(&mut self, name: K, new: impl FnOnce() -> Arc<Account>) -> Arc<Account> {
        if let Some(account) = self.known.get(&name).and_then(Weak::upgrade) {
            return account;
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|_, account| account.strong_count() > 0);
            self.sweep_at = (2 * self.known.len()).max(SWEEP_FROM);
        }
        let account = new();
        self.known.insert(name, Arc::downgrade(&account));
        account
    }
}

/// All accounts of a server.
#[derive(Debug)]
pub struct Shares {
    limits: Limits,
    process: Arc<Account>,
    addresses: Mutex<Book<IpAddr>>,
    terminals: Mutex<Book<TerminalId>>,
    subscribers: Mutex<Book<SubscriberId>>,
}

impl Shares {
    /// Nobody holds anything yet.
    pub fn new(limits: &Limits) -> Self {
        Self {
            process: Account::new(Level::Process, &limits.process),
            limits: limits.clone(),
            addresses: Mutex::default(),
            terminals: Mutex::default(),
            subscribers: Mutex::default(),
        }
    }

    /// Of whoever shows no certificate.
    pub fn of_address(&self, address: IpAddr) -> Purse {
        let new = || Account::new(Level::Address, &self.limits.address);
        let own = self.addresses.lock().get(network(address), new);
        self.purse(vec![own])
    }

    /// Of a terminal: what it takes counts for itself, for its subscriber and for the server.
    pub fn of_terminal(&self, subscriber: &SubscriberId, terminal: &TerminalId) -> Purse {
        let new = || Account::new(Level::Terminal, &self.limits.terminal);
        let own = self.terminals.lock().get(*terminal, new);
        let new = || Account::new(Level::Subscriber, &self.limits.subscriber);
        let all = self.subscribers.lock().get(subscriber.clone(), new);
        self.purse(vec![own, all])
    }

    /// Bytes of memory that are reserved now, of all.
    pub fn memory_held(&self) -> usize {
        let free = self.process.memory.available_permits() * UNIT;
        self.limits.process.memory.saturating_sub(free)
    }

    fn purse(&self, mut accounts: Vec<Arc<Account>>) -> Purse {
        accounts.push(self.process.clone());
        Purse {
            accounts,
            most: self.limits.terminal.connections,
            wait: self.limits.share_wait,
        }
    }
}

/// The accounts that somebody's requests are put down to, the narrowest first.
#[derive(Debug, Clone)]
pub struct Purse {
    accounts: Vec<Arc<Account>>,
    most: usize,
    wait: Duration,
}

/// What is held; given back when it is dropped.
#[derive(Debug, Default)]
pub struct Hold(Vec<OwnedSemaphorePermit>);

impl Hold {
    /// Both together.
    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Gives back what is more than so many bytes of memory.
    pub fn shrink(&mut self, bytes: usize) {
        let keep = Kind::Memory(bytes).units() as usize;
        for permit in &mut self.0 {
            let surplus = permit.num_permits().saturating_sub(keep);
            drop(permit.split(surplus));
        }
    }
}

impl Purse {
    /// Takes it if it is there.
    pub fn try_take(&self, kind: Kind) -> Result<Hold, Level> {
        let mut held = Hold::default();
        for account in &self.accounts {
            let permit = account.of(kind).try_acquire_many_owned(kind.units());
            held.0.push(permit.map_err(|_| account.level)?);
        }
        Ok(held)
    }

    /// Takes it, and waits for it a little.
    pub async fn take(&self, kind: Kind) -> Result<Hold, Problem> {
        self.take_within(kind, self.wait).await
    }

    /// Takes it, and waits for it so long.
    pub async fn take_within(&self, kind: Kind, wait: Duration) -> Result<Hold, Problem> {
        let end = time::Instant::now() + wait;
        let mut held = Hold::default();
        for account in &self.accounts {
            let permit = account.of(kind).acquire_many_owned(kind.units());
            match time::timeout_at(end, permit).await {
                Ok(Ok(permit)) => held.0.push(permit),
                _ => return Err(account.level.problem()),
            }
        }
        Ok(held)
    }

    /// A place for a connection. A terminal's oldest connection makes room: the server does not learn at once that a line
    /// is dead, and nobody may be kept out by connections that they cannot close.
    pub fn connect(&self, id: u64) -> Result<Seat, Level> {
        let Some((own, others)) = self.accounts.split_first() else {
            return Err(Level::Process);
        };
        let mut held = Hold::default();
        let named = own.level == Level::Terminal;
        let counted = if named { others } else { &self.accounts };
        for account in counted {
            let permit = account.of(Kind::Connection).try_acquire_owned();
            held.0.push(permit.map_err(|_| account.level)?);
        }
        let (end, ended) = oneshot::channel();
        let mut open = own.open.lock();
        open.push_back((id, end));
        while named && open.len() > self.most {
            if let Some((_, oldest)) = open.pop_front() {
                // It may be gone already.
                let _ = oldest.send(());
            }
        }
        drop(open);
        Ok(Seat {
            id,
            own: own.clone(),
            ended,
            _held: held,
        })
    }
}

/// A connection's place.
#[derive(Debug)]
pub struct Seat {
    id: u64,
    own: Arc<Account>,
    ended: oneshot::Receiver<()>,
    _held: Hold,
}

impl Seat {
    /// Returns when this connection has to make room.
    pub async fn wanted(&mut self) {
        if (&mut self.ended).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.own.open.lock().retain(|(id, _)| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(change: impl FnOnce(&mut Limits)) -> Shares {
        let mut limits = Limits {
            share_wait: Duration::from_millis(10),
            ..Limits::default()
        };
        change(&mut limits);
        Shares::new(&limits)
    }

    fn terminal(shares: &Shares, subscriber: &str, n: u8) -> Purse {
        shares.of_terminal(&subscriber.parse().unwrap(), &TerminalId([n; 32]))
    }

    #[test]
    fn each_level_has_its_share_and_gets_it_back() {
        let shares = shares(|l| {
            (l.terminal.memory, l.subscriber.memory) = (4 << 10, 6 << 10);
            l.process.memory = 7 << 10;
        });
        let (one, two) = (terminal(&shares, "a", 1), terminal(&shares, "a", 2));
        let other = terminal(&shares, "b", 3);
        let mut held = one.try_take(Kind::Memory(4 << 10)).unwrap();
        assert_eq!(one.try_take(Kind::Memory(1)).unwrap_err(), Level::Terminal);
        let too_much = two.try_take(Kind::Memory(3 << 10)).unwrap_err();
        assert_eq!(too_much, Level::Subscriber);
        let second = two.try_take(Kind::Memory(2 << 10)).unwrap();
        let too_much = other.try_take(Kind::Memory(2 << 10)).unwrap_err();
        assert_eq!(too_much, Level::Process);
        other.try_take(Kind::Memory(1 << 10)).unwrap();
        held.shrink(1 << 10);
        one.try_take(Kind::Memory(3 << 10)).unwrap();
        drop((held, second));
        other.try_take(Kind::Memory(4 << 10)).unwrap();
    }

    #[test]
    fn a_terminals_oldest_connection_makes_room() {
        let shares = shares(|l| l.terminal.connections = 2);
        let purse = terminal(&shares, "a", 1);
        let mut seats: Vec<Seat> = (0..3).map(|id| purse.connect(id).unwrap()).collect();
        assert!(seats[0].ended.try_recv().is_ok());
        assert!(seats[1].ended.try_recv().is_err() && seats[2].ended.try_recv().is_err());
        drop(seats.remove(1));
        let mut again = purse.connect(3).unwrap();
        assert!(seats[1].ended.try_recv().is_err() && again.ended.try_recv().is_err());
    }

    #[test]
    fn accounts_that_nobody_uses_are_forgotten() {
        let shares = shares(|_| {});
        for n in 0..=255u8 {
            shares.of_address(IpAddr::from([192, 0, 2, n]));
        }
        assert!(shares.addresses.lock().known.len() <= SWEEP_FROM);
    }
}
