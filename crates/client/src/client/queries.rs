//! Calls of a program: list instances page by page.

use longhaul_proto::sidecar::{
    InstanceQuery, OrchestrationState, QueryInstancesRequest, QueryInstancesResponse,
};

use super::Client;
use crate::call_error::CallError;

/// Some of the instances that match a query, the oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct InstancePage {
    /// Their states.
    pub instances: Vec<OrchestrationState>,
    /// What the query for the next page has to carry as its token; `None` on the last page.
    pub next: Option<String>,
}

impl Client {
    /// One page of the instances that match.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a token that belongs to another query.
    pub async fn query_instances(&self, query: InstanceQuery) -> Result<InstancePage, CallError> {
        let (mut stub, request) = self.call(QueryInstancesRequest { query: Some(query) });
        let QueryInstancesResponse {
            orchestration_state,
            continuation_token,
        } = stub
            .query_instances(request)
            .await
            .map_err(|status| CallError::new("QueryInstances", status))?
            .into_inner();
        Ok(InstancePage {
            instances: orchestration_state,
            next: continuation_token.filter(|token| !token.is_empty()),
        })
    }
}
