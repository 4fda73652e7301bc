//! What operators see: logs on standard error, metrics as a page.

pub(crate) mod gauges;
pub mod logs;
pub mod metrics;
mod process;
pub(crate) mod wal;
