//! What can go wrong between this client and a server.

use tonic::{Code, Status};

use crate::endpoint::InvalidEndpoint;

/// No connection to the server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The endpoint cannot be used at all.
    #[error(transparent)]
    Endpoint(#[from] InvalidEndpoint),
    /// Nothing answers there.
    #[error("cannot connect to {url}: {reason}")]
    Unreachable {
        /// The server's URL.
        url: String,
        /// What the system says.
        reason: String,
    },
}

impl ConnectError {
    pub(crate) fn unreachable(url: &str, fault: &tonic::transport::Error) -> Self {
        // The transport wraps the system's words in several layers that say nothing.
        let mut deepest: &dyn std::error::Error = fault;
        while let Some(source) = deepest.source() {
            deepest = source;
        }
        Self::Unreachable {
            url: url.to_owned(),
            reason: deepest.to_string(),
        }
    }
}

/// A call that the server answered with an error, or did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rpc}: {code:?}: {message}")]
pub struct CallError {
    /// The RPC's name on the wire.
    pub rpc: &'static str,
    /// The gRPC status code.
    pub code: Code,
    /// The server's sentence, or the transport's.
    pub message: String,
}

impl CallError {
    pub(crate) fn new(rpc: &'static str, status: Status) -> Self {
        Self {
            rpc,
            code: status.code(),
            message: status.message().to_owned(),
        }
    }

    /// Whether the same call may succeed a little later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.code,
            Code::Unavailable | Code::Unknown | Code::DeadlineExceeded | Code::Internal
        )
    }
}
