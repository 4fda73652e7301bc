//! The unit of cost: one empty unary gRPC call, served by a process that does nothing else.
//!
//! The server half runs as a child process (`longhaul bench empty-server`), so that its CPU can be told from ours.
//! Nothing of the product is involved, only the gRPC library: what remains is the price of the protocol itself.

mod child;
mod server;
mod unit;

use std::{io::Read, net::SocketAddr, process::ExitCode};

use clap::Args;
use tokio::net::TcpListener;

pub(super) use child::EmptyServer;
pub(super) use unit::{Report, Unit, measure};

/// Arguments of `longhaul bench empty-server`.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// The port on 127.0.0.1; 0 lets the system choose
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// Serves the empty call until standard input ends; says on standard output which address it listens on.
pub(super) async fn serve(args: ServerArgs) -> anyhow::Result<ExitCode> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], args.port))).await?;
    println!("{}", listener.local_addr()?);
    tokio::select! {
        served = server::serve(listener) => served?,
        read = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())) => {
            read??;
        }
    }
    Ok(ExitCode::SUCCESS)
}
