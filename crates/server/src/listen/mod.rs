//! Listening sockets: addresses as configured, binding, and what to say when a port is taken.

mod address;
mod port_owner;

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

pub use address::{InvalidAddress, ListenAddress, OptionalAddress};
pub use port_owner::PortOwner;
pub(crate) use port_owner::program;

/// Connections that wait to be taken.
const BACKLOG: u32 = 1_024;

/// The sockets of one configured address; they share a port.
#[derive(Debug)]
pub struct Listeners {
    /// At least one.
    pub sockets: Vec<TcpListener>,
    /// The address with the port that was really taken.
    pub address: ListenAddress,
}

/// Why nothing can listen there.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The host is a name without an address.
    #[error("cannot resolve {host} of {key}: {source}")]
    Resolve {
        /// The setting.
        key: &'static str,
        /// The name.
        host: String,
        /// The resolver's answer.
        source: io::Error,
    },
    /// Someone else listens there.
    #[error("port {} is in use by {}; stop it, or choose another port with {hint}", .address.port(), known(.owner.as_ref()))]
    InUse {
        /// The address that is taken.
        address: SocketAddr,
        /// Who has it.
        owner: Option<PortOwner>,
        /// The flag that chooses another port.
        hint: &'static str,
    },
    /// The system refused for another reason.
    #[error("cannot listen on {address} ({key}): {source}")]
    Bind {
        /// The setting.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
}

/// The setting behind a listener, and the flag that changes its port; for messages.
#[derive(Debug, Clone, Copy)]
pub struct Purpose {
    /// The configuration key.
    pub key: &'static str,
    /// The flag.
    pub hint: &'static str,
}

/// Ports that are this process's, and at which nobody is answered yet: whoever connects is turned away at once.
#[derive(Debug)]
pub struct Reserved {
    sockets: Vec<TcpSocket>,
    /// The address with the port that was really taken.
    pub address: ListenAddress,
    purpose: Purpose,
}

impl Listeners {
    /// Listens on every address that `address` stands for, skipping families this machine does not have.
    ///
    /// # Errors
    /// One of them is taken, or there is none.
    pub async fn bind(address: &ListenAddress, purpose: Purpose) -> Result<Self, ListenError> {
        Reserved::bind(address, purpose)?.listen()
    }
}

impl Reserved {
    /// Takes every address that `address` stands for, skipping families this machine does not have.
    ///
    /// # Errors
    /// One of them is taken, or there is none.
    pub fn bind(address: &ListenAddress, purpose: Purpose) -> Result<Self, ListenError> {
        let key = purpose.key;
        let resolved = address.resolve().map_err(|source| ListenError::Resolve {
            key,
            host: address.host.clone(),
            source,
        })?;
        let mut reserved = Self {
            sockets: Vec::new(),
            address: address.clone(),
            purpose,
        };
        let mut absent = None;
        for mut socket_address in resolved {
            // Any free port of the first is the port of all.
            socket_address.set_port(reserved.address.port);
            let must_have = address.port != 0 || reserved.sockets.is_empty();
            match bound(socket_address) {
                Ok(socket) => {
                    reserved.address.port = socket
                        .local_addr()
                        .map_or(address.port, |bound| bound.port());
                    reserved.sockets.push(socket);
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && must_have => {
                    return Err(purpose.in_use(socket_address));
                }
                Err(error) => absent = Some((socket_address, error)),
            }
        }
        match absent {
            Some((address, source)) if reserved.sockets.is_empty() => Err(ListenError::Bind {
                key,
                address,
                source,
            }),
            _ => Ok(reserved),
        }
    }

    /// Takes connections from now on.
    ///
    /// # Errors
    /// Someone else has begun to.
    pub fn listen(self) -> Result<Listeners, ListenError> {
        let purpose = self.purpose;
        let listening = self.sockets.into_iter().map(|socket| {
            let address = socket.local_addr();
            socket.listen(BACKLOG).map_err(|source| match address {
                Ok(address) if source.kind() == io::ErrorKind::AddrInUse => purpose.in_use(address),
                address => ListenError::Bind {
                    key: purpose.key,
                    address: address.unwrap_or_else(|_| ([0, 0, 0, 0], self.address.port).into()),
                    source,
                },
            })
        });
        Ok(Listeners {
            sockets: listening.collect::<Result<_, _>>()?,
            address: self.address,
        })
    }
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A port is free at once when its last user has ended.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

impl Purpose {
    fn in_use(self, address: SocketAddr) -> ListenError {
        ListenError::InUse {
            address,
            owner: PortOwner::find(address.port()),
            hint: self.hint,
        }
    }
}

/// The owner, or why it has no name.
fn known(owner: Option<&PortOwner>) -> impl fmt::Display {
    owner.map_or_else(
        || "a process this user cannot see".to_owned(),
        PortOwner::to_string,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PURPOSE: Purpose = Purpose {
        key: "listen.grpc",
        hint: "--port",
    };

    #[tokio::test]
    async fn port_zero_is_one_free_port_for_all_addresses() {
        let listeners = Listeners::bind(&ListenAddress::localhost(0), PURPOSE)
            .await
            .expect("free");
        assert_ne!(listeners.address.port, 0);
        for socket in &listeners.sockets {
            let bound = socket.local_addr().expect("bound");
            assert_eq!(bound.port(), listeners.address.port);
        }
    }

    #[tokio::test]
    async fn taken_port_names_its_owner_and_the_way_out() {
        let taken = Listeners::bind(&ListenAddress::localhost(0), PURPOSE)
            .await
            .expect("free");
        let error = Listeners::bind(&taken.address, PURPOSE)
            .await
            .expect_err("taken")
            .to_string();
        let pid = std::process::id().to_string();
        for part in [&taken.address.port.to_string(), &pid, "--port"] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[tokio::test]
    async fn a_reserved_port_turns_everybody_away_until_it_is_listened_on() {
        let reserved = Reserved::bind(&ListenAddress::localhost(0), PURPOSE).expect("free");
        let port = reserved.address.port;
        let connect = || tokio::net::TcpStream::connect(("127.0.0.1", port));
        let refused = connect().await.expect_err("nobody listens");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let _listeners = reserved.listen().expect("ours");
        connect().await.expect("waits to be taken");
    }

    #[tokio::test]
    async fn addresses_of_other_machines_are_refused() {
        let elsewhere: ListenAddress = "192.0.2.1:0".parse().expect("valid");
        let error = Listeners::bind(&elsewhere, PURPOSE)
            .await
            .expect_err("not ours");
        assert!(matches!(error, ListenError::Bind { .. }), "{error}");
    }
}
