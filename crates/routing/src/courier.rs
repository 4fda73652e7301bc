//! Messages between partitions on their way to the leader of the target.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use longhaul_engine::message::Message;
use longhaul_engine::{Command, Reply};
use longhaul_partition::Courier;
use longhaul_types::PartitionId;

use crate::attempts::Hold;
use crate::errors::Failure;
use crate::operation::{Operation, Outcome};
use crate::router::{Inner, Router};

/// A courier for partitions that are started before the router they need.
#[derive(Clone, Default)]
pub struct LateCourier(Arc<OnceLock<Weak<Inner>>>);

impl LateCourier {
    /// One that delivers nothing until [`Router::serve`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Router {
    /// Lets a courier go this router's ways; the first router stays.
    pub fn serve(&self, courier: &LateCourier) {
        // Whoever comes later knows no other ways.
        drop(courier.0.set(Arc::downgrade(&self.0)));
    }

    /// Its own courier.
    #[must_use]
    pub fn courier(&self) -> Arc<dyn Courier> {
        let courier = LateCourier::new();
        self.serve(&courier);
        Arc::new(courier)
    }

    /// Tried once, and a second time if another leader is named: an outbox repeats what it has by itself.
    async fn deliver(
        &self,
        source: PartitionId,
        target: PartitionId,
        first: u64,
        messages: Vec<Message>,
    ) -> Result<u64, Failure> {
        let deliver = Operation::Propose(Command::Deliver {
            source,
            first,
            messages,
        });
        let hold = Hold::For(Duration::ZERO);
        match self.partition(target).run(deliver, hold).await? {
            Outcome::Reply(Reply::Received { through }) => Ok(through),
            _ => Err(Failure::Fault(
                "a delivery was answered as another call".into(),
            )),
        }
    }
}

impl Courier for LateCourier {
    fn deliver(
        &self,
        source: PartitionId,
        target: PartitionId,
        first: u64,
        messages: Vec<Message>,
    ) -> BoxFuture<'static, Result<u64, longhaul_partition::ProposeError>> {
        let router = self.0.get().and_then(Weak::upgrade).map(Router);
        async move {
            let Some(router) = router else {
                return Err(longhaul_partition::ProposeError::NotApplied(
                    "the node is starting or stopping",
                ));
            };
            let delivered = router.deliver(source, target, first, messages).await;
            delivered.map_err(|failure| undelivered(&failure))
        }
        .boxed()
    }
}

fn undelivered(failure: &Failure) -> longhaul_partition::ProposeError {
    use longhaul_partition::ProposeError as Local;
    tracing::debug!(?failure, "messages were not delivered");
    match failure {
        Failure::NotLeader { leader } => Local::NotLeader { leader: *leader },
        Failure::NotNow(_) => Local::NotApplied("the target's leader cannot be reached"),
        Failure::Overloaded => Local::Overloaded,
        Failure::Full { pending, max } => Local::Full {
            pending: *pending,
            max: *max,
        },
        Failure::Unknown(_) | Failure::Fault(_) => {
            Local::Unknown("the target's leader gave no answer")
        }
    }
}
