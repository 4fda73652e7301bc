//! Addresses to listen on, as they are configured.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// A host and a port; port 0 is any free one.
///
/// `localhost` is both loopback addresses, so that a client finds us whichever of them it tries first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// An IP address or a name.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an address; write host:port")]
pub struct InvalidAddress;

impl ListenAddress {
    /// A port of this machine alone.
    #[must_use]
    pub fn localhost(port: u16) -> Self {
        Self {
            host: "localhost".to_owned(),
            port,
        }
    }

    /// Every socket address it stands for.
    ///
    /// # Errors
    /// The host is a name that cannot be resolved.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        if self.host == "localhost" {
            let hosts = [
                IpAddr::from(Ipv4Addr::LOCALHOST),
                Ipv6Addr::LOCALHOST.into(),
            ];
            return Ok(hosts.map(|host| (host, self.port).into()).to_vec());
        }
        if let Ok(host) = self.host.parse::<IpAddr>() {
            return Ok(vec![(host, self.port).into()]);
        }
        Ok((self.host.as_str(), self.port).to_socket_addrs()?.collect())
    }

    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.ip().is_some_and(|ip| ip.is_loopback())
    }

    /// Whether the two cannot be listened on at the same time, as far as the text tells.
    pub(crate) fn collides_with(&self, other: &Self) -> bool {
        self.port == other.port
            && self.port != 0
            && (self.host == other.host || self.is_everywhere() || other.is_everywhere())
    }

    /// The host under which a client on this machine finds it, for URLs.
    #[must_use]
    pub fn client_host(&self) -> String {
        match self.ip() {
            _ if self.is_loopback() || self.is_everywhere() => "localhost".to_owned(),
            Some(IpAddr::V6(ip)) => format!("[{ip}]"),
            _ => self.host.clone(),
        }
    }

    fn is_everywhere(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified())
    }

    fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl FromStr for ListenAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let (host, port) = text.rsplit_once(':').ok_or(InvalidAddress)?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let is_host = |host: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !host.is_empty() && host.chars().all(plain)
        };
        let host = match bracketed {
            Some(host) if host.parse::<Ipv6Addr>().is_ok() => host,
            None if is_host(host) => host,
            _ => return Err(InvalidAddress),
        };
        Ok(Self {
            host: host.to_owned(),
            port: port.parse().map_err(|_| InvalidAddress)?,
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip() {
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// An address, or none: the listener is off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionalAddress {
    /// Nothing listens.
    Off,
    /// Where to listen.
    On(ListenAddress),
}

impl OptionalAddress {
    /// Turns it on, if it is off, on the host of `other`.
    pub fn set_port(&mut self, port: u16, other: &ListenAddress) {
        let host = self.as_ref().unwrap_or(other).host.clone();
        *self = Self::On(ListenAddress { host, port });
    }

    /// Changes the host, unless it is off.
    pub fn set_host(&mut self, host: &str) {
        if let Self::On(address) = self {
            host.clone_into(&mut address.host);
        }
    }

    /// The address, unless it is off.
    #[must_use]
    pub fn as_ref(&self) -> Option<&ListenAddress> {
        match self {
            Self::On(address) => Some(address),
            Self::Off => None,
        }
    }
}

impl FromStr for OptionalAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        match text {
            "off" => Ok(Self::Off),
            address => address.parse().map(Self::On),
        }
    }
}

impl fmt::Display for OptionalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::On(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_shown() {
        for text in [
            "localhost:8080",
            "0.0.0.0:0",
            "[::1]:65535",
            "my-host.example:1",
        ] {
            let address: ListenAddress = text.parse().expect("valid");
            assert_eq!(address.to_string(), text);
        }
        for text in [
            "", "8080", ":8080", "::1:8080", "[x]:1", "a:65536", "a b:1", "a:-1",
        ] {
            assert_eq!(text.parse::<ListenAddress>(), Err(InvalidAddress), "{text}");
        }
    }

    #[test]
    fn localhost_is_both_loopback_addresses() {
        let addresses = ListenAddress::localhost(1).resolve().expect("no lookup");
        assert_eq!(addresses.len(), 2);
        assert!(addresses.iter().all(|address| address.ip().is_loopback()));
    }

    #[test]
    fn clients_on_this_machine_find_it_by_name() {
        for (address, host) in [
            ("127.0.0.1:1", "localhost"),
            ("[::1]:1", "localhost"),
            ("0.0.0.0:1", "localhost"),
            ("[::]:1", "localhost"),
            ("192.0.2.1:1", "192.0.2.1"),
            ("[2001:db8::1]:1", "[2001:db8::1]"),
        ] {
            let address: ListenAddress = address.parse().expect("valid");
            assert_eq!(address.client_host(), host);
        }
    }

    #[test]
    fn collisions_are_seen_in_the_text() {
        let check = |one: &str, other: &str, collides: bool| {
            let one: ListenAddress = one.parse().expect("valid");
            let other: ListenAddress = other.parse().expect("valid");
            assert_eq!(one.collides_with(&other), collides, "{one} {other}");
            assert_eq!(other.collides_with(&one), collides, "{other} {one}");
        };
        check("localhost:1", "localhost:1", true);
        check("localhost:1", "localhost:2", false);
        check("localhost:0", "localhost:0", false);
        check("0.0.0.0:1", "192.0.2.1:1", true);
        check("192.0.2.2:1", "192.0.2.1:1", false);
    }
}
