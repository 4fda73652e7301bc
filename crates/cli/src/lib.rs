//! The subcommands of `longhaul` that talk to a server as any client does.
//!
//! Each module has its clap arguments and a `run` that the binary calls outside any async runtime.

pub mod bench;
pub mod operate;
