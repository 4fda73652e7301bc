//! Streams of frames between the nodes of a cluster.
//!
//! ```text
//!   whoever speaks to other nodes            whoever answers them
//!          │ open(node, class)                      ▲ accept(class)
//!   ┌──────▼──────┐   hello ─►  ◄─ hello     ┌──────┴──────┐
//!   │    Links    ├──────────────────────────┤    Links    │
//!   └─────────────┘   frames ─► ◄─ frames    └─────────────┘
//! ```
//!
//! A [`Link`] is one bidirectional stream, in order, each side with room for little more than what is
//! being sent: whoever sends too fast waits. There are two kinds of [`Links`]: [`GrpcLinks`] between
//! processes, [`MemoryLinks`] within one. What is in a frame is the business of those who use it; this
//! crate knows neither logs nor commands.
//!
//! An [`Exchange`] makes questions and answers of the links of one class.
//!
//! A link that breaks is gone. Opening another is the business of whoever needs it, as often as it
//! likes: attempts that follow a failure wait by themselves.

mod addresses;
mod backoff;
mod exchange;
mod grpc;
mod handshake;
mod identity;
mod link;
mod memory;
mod meters;
mod sockets;
mod tls;

pub use addresses::{AddressBook, Addresses};
pub use backoff::BackoffConfig;
pub use exchange::{
    Answers, AskError, Asker, AskerId, Contact, Events, Exchange, ExchangeSetup, Line, WeakExchange,
};
pub use grpc::{
    CallError, Calls, GrpcConfig, GrpcLinks, GrpcSetup, Port, PortSetup, Security, StartError,
};
pub use handshake::Refusal;
pub use identity::{ClusterId, Identity, PROTOCOL_VERSION};
pub use link::{
    Broken, Class, FRAME_BYTES_MAX, Incoming, Link, LinkReceiver, LinkSender, Links, OpenError,
    Room,
};
pub use memory::MemoryLinks;
pub use sockets::{Dial, Io, Listen, Socket, Tcp};
pub use tls::{TlsError, TlsFiles};
