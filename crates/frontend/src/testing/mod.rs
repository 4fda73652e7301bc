//! A node in memory, a client and a worker for it, and a connection that is as free as HTTP/2 is.

mod client;
pub(crate) mod connection;
mod node;
pub(crate) mod wire;
mod worker;

pub(crate) use client::Client;
pub(crate) use connection::{Answered, Connection};
pub(crate) use node::{HUB, Node, OTHER_HUB, PENDING_EVENTS_MAX};
pub(crate) use worker::{Worker, completes, fails, schedules, starts_child};
