//! A whole node in this process: what it serves, what it finds again, and how it ends.

mod hubs;
mod operating;
mod restarting;
mod serving;
mod stopping;
mod support;
