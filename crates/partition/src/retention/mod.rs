//! What becomes of instances after they have ended.

mod policy;
mod purge;

pub use policy::{RetentionAges, RetentionPolicy};
