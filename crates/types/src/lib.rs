//! Names, ids, time and limits: values that more than one crate must name.
//!
//! Parse, order, hash and print; no other behaviour. No clock, no randomness, no I/O.

mod hub;
mod ids;
pub mod limits;
mod node;
mod partition;
mod timestamp;

pub use hub::{HubId, HubName, InvalidHubName};
pub use ids::{ExecutionId, InstanceId, InvalidInstanceId};
pub use node::NodeId;
pub use partition::{PartitionCount, PartitionId};
pub use timestamp::Timestamp;
