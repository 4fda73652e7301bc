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
        let gone = self.hubs.gone(&name)?;
        let grace_over = self.grace_over.clone();
        let ending = async move {
            tokio::select! {
                biased;
                () = gone.cancelled() => deleted(&name),
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
    use crate::hubs::testing::{name, new_dir, open};

    fn headers(hub: Option<&str>) -> HeaderMap {
        let hub = hub.map(|hub| {
            let value = hub.parse().expect("a header value");
            (http::HeaderName::from_static("taskhub"), value)
        });
        hub.into_iter().collect()
    }

    fn endings(creation: Creation) -> (CallEndings, tempfile::TempDir) {
        let dir = new_dir();
        let hubs = Arc::new(open(&dir, creation).expect("new"));
        hubs.create(&name("default")).expect("created");
        let endings = CallEndings {
            hubs,
            default_hub: name("default"),
            grace_over: CancellationToken::new(),
        };
        (endings, dir)
    }

    #[tokio::test]
    async fn calls_that_last_end_with_their_hub_or_with_the_grace() {
        for path in LASTING {
            for named in [None, Some("Default")] {
                let (endings, _dir) = endings(Creation::Explicit);
                let ending = || endings.of(path, &headers(named)).expect("it lasts");
                assert!(ending().now_or_never().is_none());
                let over = ending();
                endings.grace_over.cancel();
                assert_eq!(over.await.code(), Code::Unavailable);
                let gone = ending();
                endings.hubs.delete(&name("default")).expect("deleted");
                let status = gone.await;
                assert_eq!(status.code(), Code::NotFound);
                assert!(
                    status.message().starts_with("Task hub not found: "),
                    "{status}"
                );
            }
        }
    }

    #[test]
    fn others_end_by_themselves() {
        let (endings, _dir) = endings(Creation::Explicit);
        let of = |path, hub| endings.of(path, &headers(hub)).is_some();
        assert!(!of("/TaskHubSidecarService/Hello", None));
        assert!(!of("/TaskHubSidecarService/StartInstance", Some("default")));
        for refused in ["unknown", "a b"] {
            assert!(!of(LASTING[0], Some(refused)));
        }
    }

    #[test]
    fn first_use_may_be_a_worker_stream() {
        let (endings, _dir) = endings(Creation::OnFirstUse);
        let worker = endings.of(LASTING[0], &headers(Some("new")));
        assert!(worker.is_some());
        assert_eq!(endings.hubs.list().len(), 2);
    }
}
