//! The headers that say, on every call, which task hub is meant and who calls.

use tonic::metadata::{AsciiMetadataValue, MetadataMap};

use crate::endpoint::{Endpoint, InvalidEndpoint};

/// Headers prepared once and copied into every request.
#[derive(Debug, Clone)]
pub(crate) struct Identity(MetadataMap);

impl Identity {
    pub(crate) fn of(endpoint: &Endpoint) -> Result<Self, InvalidEndpoint> {
        let mut headers = MetadataMap::new();
        headers.insert("taskhub", header("task hub", endpoint.task_hub())?);
        headers.insert("x-user-agent", header("user agent", endpoint.user_agent())?);
        if let Some(worker_id) = endpoint.worker_id() {
            headers.insert("workerid", header("worker id", worker_id)?);
        }
        Ok(Self(headers))
    }

    pub(crate) fn request<M>(&self, message: M) -> tonic::Request<M> {
        tonic::Request::from_parts(self.0.clone(), tonic::Extensions::default(), message)
    }
}

fn header(field: &'static str, text: &str) -> Result<AsciiMetadataValue, InvalidEndpoint> {
    text.parse().map_err(|_| InvalidEndpoint::HeaderText {
        field,
        text: text.to_owned(),
    })
}
