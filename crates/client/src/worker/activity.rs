//! What an activity is.

use std::future::Future;

use futures::future::BoxFuture;
use longhaul_proto::sidecar::TaskFailureDetails;

/// One call of an activity. Delivered at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityCall {
    /// The orchestration that decided it.
    pub instance_id: String,
    /// The deciding action's id.
    pub task_id: i32,
    /// The activity's name.
    pub name: String,
    /// Its input.
    pub input: Option<String>,
}

/// Does something outside the orchestration and returns its result.
pub trait Activity: Send + Sync + 'static {
    /// Runs it once.
    fn call(
        &self,
        call: ActivityCall,
    ) -> BoxFuture<'static, Result<Option<String>, TaskFailureDetails>>;
}

impl<F, R> Activity for F
where
    F: Fn(ActivityCall) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Option<String>, TaskFailureDetails>> + Send + 'static,
{
    fn call(
        &self,
        call: ActivityCall,
    ) -> BoxFuture<'static, Result<Option<String>, TaskFailureDetails>> {
        Box::pin(self(call))
    }
}
