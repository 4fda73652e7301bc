//! The way to a node's Admin service, and what becomes of its refusals.

use std::time::Duration;

use longhaul_client::Endpoint;
use longhaul_proto::admin::v1 as wire;
use longhaul_proto::admin::v1::admin_client::AdminClient;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use super::{Failure, FailureKind};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than any single call takes, however slow the cluster: a transfer of leadership is the longest.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Pings tell a stream that nobody feeds any more from one that is slow.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// Chunks of rows hold at least one row, however large.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A connection to one node.
#[derive(Clone)]
pub(super) struct Connection {
    client: AdminClient<Channel>,
    url: String,
}

impl Connection {
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Self, Failure> {
        let url = endpoint.url().to_owned();
        let failed = |error: tonic::transport::Error| unreachable(&url, &innermost(&error));
        let channel = tonic::transport::Endpoint::from_shared(url.clone())
            .map_err(failed)?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_INTERVAL)
            .connect()
            .await
            .map_err(failed)?;
        let client = AdminClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { client, url })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) async fn cluster(&mut self) -> Result<wire::Cluster, Failure> {
        let call = self.client.get_cluster(wire::GetClusterRequest {});
        answer(&self.url, call).await
    }

    pub(super) async fn health(&mut self) -> Result<wire::HealthReport, Failure> {
        let call = self.client.health(wire::HealthRequest {});
        answer(&self.url, call).await
    }

    pub(super) async fn set_node_state(
        &mut self,
        request: wire::SetNodeStateRequest,
    ) -> Result<wire::SetNodeStateResponse, Failure> {
        let call = self.client.set_node_state(request);
        answer(&self.url, call).await
    }

    pub(super) async fn transfer_leader(
        &mut self,
        request: wire::TransferLeaderRequest,
    ) -> Result<wire::TransferLeaderResponse, Failure> {
        let call = self.client.transfer_leader(request);
        answer(&self.url, call).await
    }

    /// The parts of a backup; what goes wrong on the way is for [`refused`].
    pub(super) async fn backup(&mut self) -> Result<tonic::Streaming<wire::BackupPart>, Failure> {
        let begun = self.client.backup(wire::BackupRequest {}).await;
        begun
            .map(Response::into_inner)
            .map_err(|status| refused(&self.url, &status))
    }
}

async fn answer<T>(
    url: &str,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(refused(url, &status)),
        Err(_) => Err(unreachable(
            url,
            &format!(
                "no answer within {}",
                humantime::format_duration(CALL_TIMEOUT)
            ),
        )),
    }
}

/// What a status means to whoever runs the command.
pub(super) fn refused(url: &str, status: &Status) -> Failure {
    let kind = match status.code() {
        Code::Unavailable | Code::DeadlineExceeded => FailureKind::Unreachable,
        Code::NotFound => FailureKind::NotFound,
        Code::FailedPrecondition => FailureKind::Refused,
        _ => FailureKind::Failed,
    };
    let message = match status.code() {
        Code::Unimplemented => {
            format!("the server at {url} is not of this release: it does not know the call")
        }
        Code::Unavailable => format!("{url}: {}", status.message()),
        _ => status.message().to_owned(),
    };
    Failure { kind, message }
}

fn unreachable(url: &str, reason: &str) -> Failure {
    Failure {
        kind: FailureKind::Unreachable,
        message: format!("no node answers at {url}: {reason}; --endpoint names another one"),
    }
}

/// The transport wraps the system's words in several layers that say nothing.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
