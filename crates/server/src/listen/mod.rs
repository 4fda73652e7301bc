//! Listening sockets: addresses as configured, binding, and what to say when a port is taken.

mod address;
mod port_owner;

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

pub use address::{InvalidAddress, ListenAddress, OptionalAddress};
pub use port_owner::PortOwner;
pub(crate) use port_owner::program;

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

impl Listeners {
    /// Listens on every address that `address` stands for, skipping families this machine does not have.
    ///
    /// # Errors
    /// One of them is taken, or there is none.
    pub async fn bind(address: &ListenAddress, purpose: Purpose) -> Result<Self, ListenError> {
        let key = purpose.key;
        let resolved = address.resolve().map_err(|source| ListenError::Resolve {
            key,
            host: address.host.clone(),
            source,
        })?;
        let mut listeners = Self {
            sockets: Vec::new(),
            address: address.clone(),
        };
        let mut absent = None;
        for mut socket_address in resolved {
            // Any free port of the first is the port of all.
            socket_address.set_port(listeners.address.port);
            let must_have = address.port != 0 || listeners.sockets.is_empty();
            match TcpListener::bind(socket_address).await {
                Ok(socket) => {
                    listeners.address.port = socket
                        .local_addr()
                        .map_or(address.port, |bound| bound.port());
                    listeners.sockets.push(socket);
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && must_have => {
                    return Err(ListenError::InUse {
                        address: socket_address,
                        owner: PortOwner::find(socket_address.port()),
                        hint: purpose.hint,
                    });
                }
                Err(error) => absent = Some((socket_address, error)),
            }
        }
        match absent {
            Some((address, source)) if listeners.sockets.is_empty() => Err(ListenError::Bind {
                key,
                address,
                source,
            }),
            _ => Ok(listeners),
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
    async fn addresses_of_other_machines_are_refused() {
        let elsewhere: ListenAddress = "192.0.2.1:0".parse().expect("valid");
        let error = Listeners::bind(&elsewhere, PURPOSE)
            .await
            .expect_err("not ours");
        assert!(matches!(error, ListenError::Bind { .. }), "{error}");
    }
}
