//! Tries to open a connection from where it is run: proof that a way is cut, or is not.

use std::{net::SocketAddr, net::TcpStream, time::Duration};

use clap::Args;

/// Arguments of a probe.
#[derive(Debug, Args)]
pub struct ProbeArgs {
    /// Where to
    address: SocketAddr,

    /// How long to try
    #[arg(long)]
    millis: u64,
}

/// Tells whether the address was reached.
pub fn run(args: &ProbeArgs) {
    let within = Duration::from_millis(args.millis);
    let reached = TcpStream::connect_timeout(&args.address, within).is_ok();
    println!("{}", if reached { "reached" } else { "not reached" });
}
