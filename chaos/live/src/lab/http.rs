//! A GET of a page of a node: enough for readiness and metrics.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Where nodes answer HTTP.
pub const PORT: u16 = 9090;

/// Status and body of a page.
///
/// # Errors
/// Without an answer in time.
pub async fn get(address: Ipv4Addr, path: &str, within: Duration) -> Result<(u16, String)> {
    let answer = timeout(within, ask(address, path)).await??;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
    let status = head.split(' ').nth(1).context("no status")?;
    Ok((status.parse()?, body.to_owned()))
}

async fn ask(address: Ipv4Addr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(SocketAddr::from((address, PORT))).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
