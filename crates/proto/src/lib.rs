//! Generated prost and tonic code, and nothing else: the public wire contract and our own messages.
//!
//! ```text
//! sidecar ─┬─ backend::v1        messages, clients, servers in plain prost types
//!          └─ spliced ─ raw      servers that send encoded work items and history as they are
//! sandbox                         answered with UNIMPLEMENTED, known so that we can say so
//! storage::v1, raft::v1, …        records and messages of our own
//! ```
//!
//! No conversions live here: only the crates at an edge know both these types and their own.

pub mod raw;

/// The contract of the portable SDKs: messages, and client and server of `TaskHubSidecarService`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod sidecar {
    include!(concat!(env!("OUT_DIR"), "/sidecar/_.rs"));
}

/// The contract of hosts that run the Durable Task Framework themselves.
pub mod backend {
    /// Messages, and client and server of `BackendService`.
    #[allow(missing_docs, unreachable_pub, clippy::all)]
    pub mod v1 {
        include!(concat!(
            env!("OUT_DIR"),
            "/backend/durabletask.protos.backend.v1.rs"
        ));
    }
}

/// The contract of on-demand sandboxes: messages, and client and server of `SandboxActivities`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod sandbox {
    include!(concat!(
        env!("OUT_DIR"),
        "/sandbox/microsoft.durabletask.sandboxes.rs"
    ));
}

/// Servers of both public services for our own use.
///
/// They share all message types with [`sidecar`] and [`backend`], except that `WorkItem` and
/// `HistoryChunk` are [`raw::EncodedWorkItem`] and [`raw::EncodedHistoryChunk`].
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod spliced {
    include!(concat!(env!("OUT_DIR"), "/spliced/_.rs"));
    include!(concat!(
        env!("OUT_DIR"),
        "/spliced/durabletask.protos.backend.v1.rs"
    ));
}

include!(concat!(env!("OUT_DIR"), "/longhaul/modules.rs"));

/// Encoded `FileDescriptorSet` of the public contract and its imports, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));
