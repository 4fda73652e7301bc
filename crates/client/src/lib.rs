//! Rust client of the Durable Task protocol: what programs call ([`Client`]) and what runs their code ([`Worker`]).
//!
//! ```text
//! Endpoint ──► ChannelPool ──► Client ──► Worker
//!  where        connections     RPCs       GetWorkItems loop over a Registry
//! ```
//!
//! It speaks the public protocol only, so it works against any server of it, and knows nothing of Longhaul's insides.
//! The worker is made for deterministic programs written as *decided steps* (see [`worker`]), not as a general SDK; it hosts
//! orchestrations, activities and entities.

mod call_error;
mod channel_pool;
mod client;
mod endpoint;
mod identity;
mod request_id;
pub mod worker;

pub use call_error::{CallError, ConnectError};
pub use client::{Client, Detail, InstancePage, Reach, WorkItemStream};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use request_id::request_id;
pub use tonic::Code;
pub use worker::Worker;
