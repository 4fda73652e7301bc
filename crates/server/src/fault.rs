//! What happens when this node's storage can no longer be trusted: in production, the process ends at once.

use std::fmt;
use std::sync::Arc;

/// Told of faults. Whoever reports one acknowledges nothing afterwards.
#[derive(Clone)]
pub struct FaultHandler(Arc<dyn Fn(&str) + Send + Sync>);

impl FaultHandler {
    /// Calls `handle` with the cause of each fault.
    pub fn new(handle: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(handle))
    }

    /// Logs the cause and aborts the process. Restarting replays what was acknowledged, and nothing else.
    #[must_use]
    pub fn abort() -> Self {
        Self::new(|cause| {
            tracing::error!(
                cause,
                "fault: this process ends without acknowledging anything more"
            );
            std::process::abort();
        })
    }

    /// Reports a fault.
    pub fn raise(&self, cause: &dyn fmt::Display) {
        (self.0)(&cause.to_string());
    }
}

impl fmt::Debug for FaultHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultHandler")
    }
}
