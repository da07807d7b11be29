//! The server's address as it stands on a card: `HOST` or `HOST:PORT`, at most 64 bytes.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use simsync_card::ids::ParseIdError;

/// Port when the address names none.
pub const DEFAULT_PORT: u16 = 7443;

/// Host name (or IP address) and port of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    host: String,
    port: u16,
}

impl ServerAddress {
    /// Longest address, in bytes; what a card has room for.
    pub const MAX: usize = 64;

    /// From host and port; the host is checked as in [`FromStr`].
    pub fn new(host: &str, port: u16) -> Result<Self, ParseIdError> {
        let refuse = |why: &str| Err(ParseIdError::new("server address", why));
        let is_ip = host.parse::<IpAddr>().is_ok();
        let name_chars = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
        if host.is_empty() || !(is_ip || host.bytes().all(name_chars)) {
            return refuse("write HOST or HOST:PORT, with a host name or an IP address");
        }
        let address = Self {
            host: host.to_ascii_lowercase(),
            port,
        };
        if address.to_string().len() > Self::MAX {
            return refuse("longer than 64 bytes");
        }
        Ok(address)
    }

    /// Host name or IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host, if it is an IP address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl FromStr for ServerAddress {
    type Err = ParseIdError;
    fn from_str(s: &str) -> Result<Self, ParseIdError> {
        let bad_port =
            || ParseIdError::new("server address", "the port is not a number up to 65535");
        if s.parse::<IpAddr>().is_ok() {
            return Self::new(s, DEFAULT_PORT);
        }
        let (host, port) = match s.rsplit_once(':') {
            Some((host, port)) if !s.ends_with(']') => {
                (host, port.parse().map_err(|_| bad_port())?)
            }
            _ => (s, DEFAULT_PORT),
        };
        let host = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        Self::new(host, port)
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Serialize for ServerAddress {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ServerAddress {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, host, port) in [
            ("sync.example.org", "sync.example.org", 7443),
            ("Sync.Example.org:443", "sync.example.org", 443),
            ("127.0.0.1:9", "127.0.0.1", 9),
            ("::1", "::1", 7443),
            ("[::1]:9", "::1", 9),
            ("[::1]", "::1", 7443),
        ] {
            let a: ServerAddress = text.parse().unwrap();
            assert_eq!((a.host(), a.port()), (host, port), "{text}");
            assert_eq!(a.to_string().parse::<ServerAddress>().unwrap(), a);
        }
        for bad in [
            "",
            ":443",
            "a b",
            "host:99999",
            "host:x",
            "a/b",
            &"x".repeat(60),
        ] {
            assert!(bad.parse::<ServerAddress>().is_err(), "{bad}");
        }
    }
}
