//! Calls between nodes that come, go and lose each other.

mod calls;
mod leaders;
