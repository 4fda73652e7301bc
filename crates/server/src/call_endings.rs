//! Which calls of SDKs last, and what ends them: their task hub is deleted, or the node has waited long enough.

use std::sync::Arc;

use futures::FutureExt;
use http::HeaderMap;
use longhaul_types::HubName;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::grpc::{Ending, Endings};
use crate::hubs::HubRegistry;

/// Worker streams and callers that wait. All other calls end in a moment.
const LASTING: [&str; 3] = [
    "/TaskHubSidecarService/GetWorkItems",
    "/TaskHubSidecarService/WaitForInstanceStart",
    "/TaskHubSidecarService/WaitForInstanceCompletion",
];

/// The endings of the calls of one node.
pub(crate) struct CallEndings {
    pub(crate) hubs: Arc<HubRegistry>,
    /// The hub of calls that name none.
    pub(crate) default_hub: HubName,
    /// Cancelled when workers had their time to finish what they hold.
    pub(crate) grace_over: CancellationToken,
}

impl Endings for CallEndings {
    fn of(&self, path: &str, headers: &HeaderMap) -> Option<Ending> {
        if !LASTING.contains(&path) {
            return None;
        }
        // A call without a hub is refused by the service, and so does not last.
        let name = match headers.get("taskhub") {
            Some(name) => HubName::parse(name.to_str().ok()?).ok()?,
            None => self.default_hub.clone(),
        };
        let (hubs, grace_over) = (self.hubs.clone(), self.grace_over.clone());
        let ending = async move {
            tokio::select! {
                biased;
                () = hubs.gone(&name) => deleted(&name),
                () = grace_over.cancelled() => stopping(),
            }
        };
        Some(ending.boxed())
    }
}

/// Begins as the refusal of an unknown hub does, by which workers know to wait for it.
fn deleted(name: &HubName) -> Status {
    Status::not_found(format!(
        "Task hub not found: {name}. It was deleted or replaced during this call: connect again once it exists"
    ))
}

fn stopping() -> Status {
    Status::unavailable(
        "the server is shutting down and has waited long enough: connect again, what was not finished is offered again",
    )
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::hubs::Creation;
    use crate::hubs::testing::{Decided, follow, name};

    fn headers(hub: Option<&str>) -> HeaderMap {
        let hub = hub.map(|hub| {
            let value = hub.parse().expect("a header value");
            (http::HeaderName::from_static("taskhub"), value)
        });
        hub.into_iter().collect()
    }

    async fn endings() -> CallEndings {
        let hubs = Arc::new(follow(&Decided::new(), Creation::Explicit));
        hubs.create(&name("default")).await.expect("created");
        CallEndings {
            hubs,
            default_hub: name("default"),
            grace_over: CancellationToken::new(),
        }
    }

    #[tokio::test]
    async fn calls_that_last_end_with_their_hub_or_with_the_grace() {
        for path in LASTING {
            for named in [None, Some("Default")] {
                let endings = endings().await;
                let ending = || endings.of(path, &headers(named)).expect("it lasts");
                assert!(ending().now_or_never().is_none());
                let over = ending();
                endings.grace_over.cancel();
                assert_eq!(over.await.code(), Code::Unavailable);
                let gone = ending();
                endings
                    .hubs
                    .delete(&name("default"))
                    .await
                    .expect("deleted");
                endings.hubs.create(&name("default")).await.expect("anew");
                assert_eq!(gone.await.code(), Code::Unavailable);
            }
        }
    }

    #[tokio::test]
    async fn a_deleted_hub_is_named() {
        let endings = endings().await;
        let mut gone = endings.of(LASTING[0], &headers(None)).expect("it lasts");
        assert!(gone.as_mut().now_or_never().is_none());
        endings
            .hubs
            .delete(&name("default"))
            .await
            .expect("deleted");
        let status = gone.await;
        assert_eq!(status.code(), Code::NotFound);
        let named = status.message().starts_with("Task hub not found: default");
        assert!(named, "{status}");
    }

    #[tokio::test]
    async fn others_end_by_themselves() {
        let endings = endings().await;
        let of = |path, hub| endings.of(path, &headers(hub)).is_some();
        assert!(!of("/TaskHubSidecarService/Hello", None));
        assert!(!of("/TaskHubSidecarService/StartInstance", Some("default")));
        assert!(!of(LASTING[0], Some("a b")));
    }
}
