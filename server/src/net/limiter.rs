//! Limits per address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
/// Addresses that are remembered; beyond it the ones that rest are forgotten.
const REMEMBERED: usize = 10_000;

/// What counts as one address: all of IPv4's 32 bits, the first 64 of IPv6's.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

/// Token bucket per address: a minute's worth at once, refilled evenly.
#[derive(Debug)]
pub struct RateLimiter {
    per_minute: u32,
    buckets: Mutex<HashMap<IpAddr, (f64, Instant)>>,
}

impl RateLimiter {
    /// So many a minute.
    pub fn new(per_minute: u32) -> Self {
        Self {
            per_minute,
            buckets: Mutex::default(),
        }
    }

    /// Takes one, if there is one left at `now`.
    pub fn take(&self, address: IpAddr, now: Instant) -> bool {
        let full = f64::from(self.per_minute);
        let mut buckets = self.buckets.lock();
        if buckets.len() >= REMEMBERED {
            buckets.retain(|_, (_, at)| now.duration_since(*at).as_secs() < 60);
        }
        let (tokens, at) = buckets.entry(network(address)).or_insert((full, now));
        let refill = now.duration_since(*at).as_secs_f64() * full / 60.0;
        *tokens = (*tokens + refill).min(full);
        *at = now;
        if *tokens < 1.0 {
            return false;
        }
        *tokens -= 1.0;
        true
    }
}

/// Counts connections, all and per address.
#[derive(Debug)]
pub struct ConnectionLimiter {
    total: usize,
    per_address: usize,
    open: Mutex<(usize, HashMap<IpAddr, usize>)>,
}

impl ConnectionLimiter {
    /// At most `total`, and `per_address` from each address.
    pub fn new(total: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            total,
            per_address,
            open: Mutex::default(),
        })
    }

    /// A place, given back when it is dropped; `None` if there is none.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let mut open = self.open.lock();
        if open.0 >= self.total {
            return None;
        }
        let here = open.1.entry(address).or_insert(0);
        if *here >= self.per_address {
            return None;
        }
        *here += 1;
        open.0 += 1;
        Some(Place {
            limiter: self.clone(),
            address,
        })
    }
}

/// One connection's place.
#[derive(Debug)]
pub struct Place {
    limiter: Arc<ConnectionLimiter>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.limiter.open.lock();
        open.0 = open.0.saturating_sub(1);
        if let Some(here) = open.1.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                open.1.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn buckets_empty_and_fill_again() {
        let (limiter, start) = (RateLimiter::new(2), Instant::now());
        let a: IpAddr = "192.0.2.1".parse().unwrap();
        let same_net = ["2001:db8::1", "2001:db8::2"].map(|a| a.parse::<IpAddr>().unwrap());
        assert!(limiter.take(a, start) && limiter.take(a, start) && !limiter.take(a, start));
        assert!(limiter.take(same_net[0], start) && limiter.take(same_net[1], start));
        assert!(!limiter.take(same_net[0], start));
        assert!(limiter.take(a, start + Duration::from_secs(31)));
        assert!(!limiter.take(a, start + Duration::from_secs(31)));
    }

    #[test]
    fn places_are_given_back() {
        let limiter = ConnectionLimiter::new(3, 2);
        let [a, b] = ["192.0.2.1", "192.0.2.2"].map(|a| a.parse::<IpAddr>().unwrap());
        let one = limiter.take(a).unwrap();
        let _two = limiter.take(a).unwrap();
        assert!(limiter.take(a).is_none());
        let _three = limiter.take(b).unwrap();
        assert!(limiter.take(b).is_none());
        drop(one);
        assert!(limiter.take(b).is_some());
    }
}
