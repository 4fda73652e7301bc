//! Measures the unit: drives the empty call as hard as the load under measurement was driven.

use std::{num::NonZeroUsize, time::Duration};

use anyhow::Context;
use serde::Serialize;
use tonic::{Request, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_prost::ProstCodec;

use super::{child::EmptyServer, server::PATH};
use crate::bench::{
    load::{Failure, Load, Pace, Window, drive},
    output::{ratio, rounded},
};

const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Lets connections and windows settle before counting.
const WARMUP_SHARE: u32 = 5;
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls made and what they cost their server. Readings of one run can be added.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::bench) struct Unit {
    calls: u64,
    cpu: Duration,
    elapsed: Duration,
    in_flight: usize,
}

/// The unit as reported.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(in crate::bench) struct Report {
    /// Server CPU per call, µs.
    pub(in crate::bench) cpu_us: f64,
    /// Calls per second.
    pub(in crate::bench) calls_per_s: f64,
    /// Calls in flight.
    pub(in crate::bench) in_flight: usize,
}

impl Unit {
    /// Both readings together.
    pub(in crate::bench) fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            cpu: self.cpu + other.cpu,
            elapsed: self.elapsed + other.elapsed,
            in_flight: self.in_flight.max(other.in_flight),
        }
    }

    /// `None` if nothing was measured.
    pub(in crate::bench) fn report(self) -> Option<Report> {
        Some(Report {
            cpu_us: ratio(self.cpu.as_secs_f64() * 1e6, self.calls as f64)
                .filter(|cpu_us| *cpu_us > 0.0)?,
            calls_per_s: rounded(self.calls as f64 / self.elapsed.as_secs_f64()),
            in_flight: self.in_flight,
        })
    }
}

/// Makes empty calls for `duration`, `in_flight` at a time over `connections` connections.
pub(in crate::bench) async fn measure(
    server: &EmptyServer,
    duration: Duration,
    in_flight: NonZeroUsize,
    connections: NonZeroUsize,
) -> anyhow::Result<Unit> {
    let process = server.process().context("the empty server has ended")?;
    let mut channels = Vec::with_capacity(connections.get());
    for _ in 0..connections.get() {
        channels.push(
            connect(server.url())
                .await
                .context("cannot connect to the empty server")?,
        );
    }
    let window = Window::starting_now(duration / WARMUP_SHARE, duration);
    let mut nth = 0;
    let begin = || {
        nth += 1;
        let channel = channels[nth % channels.len()].clone();
        move || call(channel.clone())
    };
    let load = Load {
        pace: Pace::closed(window),
        runners: in_flight,
        drain_max: CALL_TIMEOUT,
    };
    let readings = drive(load, begin, || process.cpu()).await;
    if let Some((kind, count)) = readings.tally.failures.first_key_value() {
        anyhow::bail!("{count} empty calls failed: {kind}");
    }
    let cpu = readings
        .after
        .zip(readings.before)
        .and_then(|(after, before)| after.checked_sub(before));
    Ok(Unit {
        calls: readings.tally.completed,
        cpu: cpu.context("cannot read the CPU of the empty server")?,
        elapsed: duration,
        in_flight: in_flight.get(),
    })
}

async fn connect(url: String) -> Result<Channel, tonic::transport::Error> {
    tonic::transport::Endpoint::from_shared(url)?
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .connect()
        .await
}

async fn call(channel: Channel) -> Result<(), Failure> {
    let failed = |message: String| Failure {
        kind: format!("empty call: {message}"),
    };
    let mut grpc = Grpc::new(channel);
    grpc.ready()
        .await
        .map_err(|fault| failed(fault.to_string()))?;
    let codec = ProstCodec::<(), ()>::default();
    let called = grpc.unary(Request::new(()), PathAndQuery::from_static(PATH), codec);
    called
        .await
        .map_err(|status| failed(status.message().to_owned()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_empty_call_is_answered() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback is there");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let serving = tokio::spawn(super::super::server::serve(listener));
        let channel = connect(url).await.expect("the server listens");
        for _ in 0..3 {
            assert_eq!(call(channel.clone()).await, Ok(()));
        }
        serving.abort();
    }

    #[test]
    fn readings_add_up() {
        let reading = |calls, millis| Unit {
            calls,
            cpu: Duration::from_millis(millis),
            elapsed: Duration::from_secs(1),
            in_flight: 8,
        };
        let report = reading(1_000, 30).plus(reading(3_000, 90)).report();
        assert_eq!(
            report,
            Some(Report {
                cpu_us: 30.0,
                calls_per_s: 2_000.0,
                in_flight: 8
            })
        );
        assert_eq!(Unit::default().report(), None);
        assert_eq!(
            reading(10, 0).report(),
            None,
            "a unit of nothing divides nothing"
        );
    }
}
