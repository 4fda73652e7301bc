//! The connections under the links: TCP, or whatever a simulation puts in its place.

use std::{fmt, io, net::SocketAddr};

use futures::{FutureExt, future::BoxFuture};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

/// Bytes in both directions.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// A connection and where its other end is.
pub struct Socket {
    /// The bytes.
    pub io: Box<dyn Io>,
    /// The other end.
    pub peer: SocketAddr,
}

/// Makes connections.
pub trait Dial: Send + Sync + 'static {
    /// Connects to `host:port`.
    fn dial(&self, address: String) -> BoxFuture<'static, io::Result<Socket>>;
}

/// Takes connections.
pub trait Listen: Send + 'static {
    /// The next connection. A future that is dropped has taken none.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Socket>>;

    /// Where connections are taken.
    ///
    /// # Errors
    /// The system does not say.
    fn local_address(&self) -> io::Result<SocketAddr>;
}

/// Connects over TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Dial for Tcp {
    fn dial(&self, address: String) -> BoxFuture<'static, io::Result<Socket>> {
        async move { tcp(TcpStream::connect(address).await?) }.boxed()
    }
}

impl Listen for TcpListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Socket>> {
        async { tcp(TcpListener::accept(self).await?.0) }.boxed()
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

fn tcp(stream: TcpStream) -> io::Result<Socket> {
    // Frames are written whole; waiting for more only delays them.
    stream.set_nodelay(true)?;
    Ok(Socket {
        peer: stream.peer_addr()?,
        io: Box::new(stream),
    })
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
