//! What operators see: logs on standard error, metrics as a page, traces where a collector is.

pub(crate) mod gauges;
pub mod logs;
pub mod metrics;
mod process;
pub mod traces;
pub(crate) mod wal;
