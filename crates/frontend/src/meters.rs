//! Metrics of the gRPC service. Everything a successful call touches is registered once, at the start.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use tonic::Code;

use crate::rpc::Rpc;
use crate::status::code_name;

const REQUESTS: &str = "longhaul_rpc_requests_total";
const DURATION: &str = "longhaul_rpc_duration_seconds";
const DISPATCHED: &str = "longhaul_work_items_dispatched_total";
const STREAMS: &str = "longhaul_worker_streams";

/// Handles to the metrics of one service.
pub(crate) struct Meters {
    by_rpc: Vec<CallMeter>,
    /// Turns handed to workers.
    pub(crate) turns: Counter,
    /// Activities handed to workers.
    pub(crate) activities: Counter,
    /// Batches of entities' operations handed to workers.
    pub(crate) batches: Counter,
    /// Worker streams open now.
    pub(crate) worker_streams: Gauge,
}

struct CallMeter {
    answered_ok: Counter,
    duration: Histogram,
}

impl Meters {
    pub(crate) fn register() -> Self {
        describe_counter!(REQUESTS, "Calls answered, by RPC and gRPC status code.");
        describe_histogram!(
            DURATION,
            metrics::Unit::Seconds,
            "Time from a call to its answer; for a stream, to its beginning."
        );
        describe_counter!(DISPATCHED, "Work items handed to workers, by kind.");
        describe_gauge!(STREAMS, "Worker streams that are open.");
        let by_rpc = Rpc::ALL.iter().map(|rpc| CallMeter {
            answered_ok: counter!(REQUESTS, "rpc" => rpc.name(), "code" => code_name(Code::Ok)),
            duration: histogram!(DURATION, "rpc" => rpc.name()),
        });
        Self {
            by_rpc: by_rpc.collect(),
            turns: counter!(DISPATCHED, "kind" => "orchestration"),
            activities: counter!(DISPATCHED, "kind" => "activity"),
            batches: counter!(DISPATCHED, "kind" => "entity"),
            worker_streams: gauge!(STREAMS),
        }
    }

    /// One call was answered.
    pub(crate) fn answered(&self, rpc: Rpc, code: Code, after: Duration) {
        let meter = &self.by_rpc[rpc as usize];
        meter.duration.record(after);
        match code {
            Code::Ok => meter.answered_ok.increment(1),
            _ => counter!(REQUESTS, "rpc" => rpc.name(), "code" => code_name(code)).increment(1),
        }
    }
}
