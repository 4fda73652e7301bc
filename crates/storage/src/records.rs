//! Encodings of everything that is stored or logged: a format version byte, then a protobuf message.
//!
//! ```text
//!   engine type ──to_wire──► longhaul.storage.v1 message ──► 0x01 │ protobuf
//!               ◄─from_wire─                              ◄──
//! ```
//!
//! Decoding slices payloads and texts out of the bytes it is given; what was decoded keeps them alive. Only this
//! module knows the formats, and the golden bytes in `testdata/` hold it to them.

#[cfg(test)]
mod bad_input;
mod command;
mod corrupt;
mod creation;
mod entity;
mod envelope;
#[cfg(test)]
mod golden;
mod history_run;
mod incarnation;
mod instance;
mod manifest;
mod message;
mod partition;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
pub(crate) mod strategies;
#[cfg(test)]
mod tests;
mod turn;
mod values;

pub use command::{command_from_wire, command_to_wire, decode_batch, encode_batch};
pub use corrupt::Corrupt;
pub use entity::{decode_entity, put_entity};
pub use history_run::{decode_history_run, put_history_run};
pub use incarnation::{decode_incarnation, encode_incarnation};
pub use instance::{decode_instance, put_instance};
pub use manifest::{FileFormat, SnapshotFile, SnapshotManifest};
pub use message::{decode_message, put_message};
pub use partition::{PartitionRow, Position, decode_partition_row, put_partition_row};
