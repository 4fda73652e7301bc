//! What a node keeps: the rows of its partition replicas, in memory first and on disk behind it.
//!
//! ```text
//!   engine ──typed records──► tables::PartitionTables ──bytes──► rows::Rows ─┬─ rocks::RocksRows   on disk
//!                                  │        │                               └─ mem::MemRows       for simulation
//!                               records    keys                 the same contract, kept by `conformance`
//! ```
//!
//! Everything here is synchronous and starts no threads of its own (RocksDB has some); callers choose where to block.
//! The log that makes unflushed rows recoverable is another crate's, and only its entries' contents are encoded here:
//! [`records::encode_batch`]. The formats are described in `docs/storage-format.md`.

pub mod config;
pub mod conformance;
mod fault;
pub mod keys;
pub mod mem;
pub mod records;
pub mod rocks;
pub mod rows;
pub mod snapshot;
pub mod tables;
#[cfg(test)]
mod testing;
pub mod transfer;

pub use config::Config;
pub use mem::MemStore;
pub use rocks::RocksStore;
pub use rows::{Rows, RowsView, Store};
pub use tables::{Look, PartitionTables, Reading};
pub use transfer::{Arrived, Incoming, Outgoing};
