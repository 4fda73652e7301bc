//! Metrics of the links of a node, by class.

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

use crate::{handshake::Refusal, link::Class};

const STREAMS: &str = "longhaul_peer_streams";
const FRAMES: &str = "longhaul_peer_frames_total";
const BYTES: &str = "longhaul_peer_bytes_total";
const RECONNECTS: &str = "longhaul_peer_reconnects_total";
const REFUSED: &str = "longhaul_peer_refused_handshakes_total";
const RELOADS: &str = "longhaul_peer_certificate_reloads_total";

/// Handles to the metrics of one class.
#[derive(Debug, Clone)]
pub(crate) struct ClassMeters {
    streams: Gauge,
    pub(crate) sent: Traffic,
    pub(crate) received: Traffic,
    /// Attempts to open a link after one that failed or broke.
    pub(crate) reconnects: Counter,
}

/// What went in one direction.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    frames: Counter,
    bytes: Counter,
}

/// Counts a link for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl ClassMeters {
    pub(crate) fn of(class: Class) -> Self {
        describe();
        let class = class.name();
        let traffic = |direction: &'static str| Traffic {
            frames: counter!(FRAMES, "class" => class, "direction" => direction),
            bytes: counter!(BYTES, "class" => class, "direction" => direction),
        };
        Self {
            streams: gauge!(STREAMS, "class" => class),
            sent: traffic("sent"),
            received: traffic("received"),
            reconnects: counter!(RECONNECTS, "class" => class),
        }
    }

    pub(crate) fn count(&self) -> Counted {
        self.streams.increment(1);
        Counted(self.streams.clone())
    }
}

impl Traffic {
    pub(crate) fn note(&self, bytes: usize) {
        self.frames.increment(1);
        self.bytes.increment(bytes as u64);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// One handshake was refused, here or by the other node.
pub(crate) fn refused(refusal: &Refusal) {
    counter!(REFUSED, "reason" => refusal.name()).increment(1);
}

/// The files of the certificate have changed, and were taken or not.
pub(crate) fn reloaded(taken: bool) {
    let outcome = if taken { "taken" } else { "refused" };
    counter!(RELOADS, "outcome" => outcome).increment(1);
}

fn describe() {
    describe_gauge!(STREAMS, "Streams with other nodes that are open, by class.");
    describe_counter!(FRAMES, "Frames exchanged with other nodes.");
    describe_counter!(BYTES, Unit::Bytes, "Bytes of those frames.");
    describe_counter!(
        RECONNECTS,
        "Attempts to reach a node after one that failed or a stream that broke."
    );
    describe_counter!(
        REFUSED,
        "Streams that one of the nodes did not want, by reason."
    );
    describe_counter!(
        RELOADS,
        "Changes of the files with the node's certificate, by whether they could be used."
    );
}
