//! Asking the nodes of the cluster, this one included, over links of class `admin`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use longhaul_peer::{Answers, Asker, AskerId, Class, Events, Exchange, ExchangeSetup, Links};
use longhaul_proto::admin::v1 as wire;
use longhaul_replication::NodeId;
use prost::Message;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use wire::node_answer::Kind as Answer;
use wire::node_request::Kind as Request;

use super::health::Report;
use super::here::Here;

/// How long a node may take for a report; one that takes longer is not well, which is found elsewhere.
const REPORT_PATIENCE: Duration = Duration::from_secs(1);

/// The nodes of the cluster. Cheap to clone.
#[derive(Clone)]
pub(super) struct Nodes {
    here: Arc<Here>,
    /// None on a node that stays alone.
    others: Option<Arc<Others>>,
}

struct Others {
    exchange: Exchange,
    _keeping: AbortOnDropHandle<()>,
}

/// The way to the other nodes.
pub(crate) struct OthersSetup {
    /// The node's links.
    pub(crate) links: Arc<dyn Links>,
    /// The members of the cluster.
    pub(crate) members: watch::Receiver<BTreeSet<NodeId>>,
}

/// A node that did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NodeFailure {
    /// It does not lead; who does, if it knows.
    #[error("node {node} does not lead")]
    NotLeader {
        node: NodeId,
        leader: Option<NodeId>,
    },
    /// It tried, or cannot be asked.
    #[error("node {node}: {reason}")]
    Failed { node: NodeId, reason: String },
}

impl Nodes {
    /// Must be called within a tokio runtime.
    pub(super) fn start(here: Arc<Here>, others: Option<OthersSetup>) -> Self {
        let me = here.node();
        let others = others.map(|OthersSetup { links, members }| {
            let exchange = Exchange::start(ExchangeSetup {
                links,
                class: Class::Admin,
                answers: Arc::new(FromHere(here.clone())),
                events: Arc::new(Unheard),
            });
            let keeping = keep(exchange.clone(), me, members);
            Arc::new(Others {
                exchange,
                _keeping: AbortOnDropHandle::new(tokio::spawn(keeping)),
            })
        });
        Self { here, others }
    }

    /// Asks a node.
    pub(super) async fn ask(&self, node: NodeId, request: Request) -> Result<Answer, NodeFailure> {
        let failed = |reason: String| NodeFailure::Failed { node, reason };
        let answer = if node == self.here.node() {
            self.here.answer(request).await
        } else {
            let others = self.others.as_ref();
            let others = others.ok_or_else(|| failed("this node knows no other".to_owned()))?;
            let request = wire::NodeRequest {
                kind: Some(request),
            };
            let asked = others.exchange.ask(node, request.encode_to_vec().into());
            let answer = asked.await.map_err(|error| failed(error.to_string()))?;
            let answer = wire::NodeAnswer::decode(answer);
            let answer = answer.map_err(|error| failed(error.to_string()))?.kind;
            answer.ok_or_else(|| failed("it is of another release".to_owned()))?
        };
        match answer {
            Answer::Failed(reason) => Err(failed(reason)),
            Answer::NotLeader(wire::NotLeader { leader }) => Err(NodeFailure::NotLeader {
                node,
                leader: leader.map(NodeId),
            }),
            answer => Ok(answer),
        }
    }

    /// What nodes tell of themselves, as far as they answer.
    pub(super) async fn reports(
        &self,
        nodes: impl IntoIterator<Item = NodeId>,
    ) -> BTreeMap<u64, Report> {
        let reports = nodes.into_iter().map(|node| async move {
            let report = tokio::time::timeout(REPORT_PATIENCE, self.report(node)).await;
            Some((node.0, report.ok()??))
        });
        join_all(reports).await.into_iter().flatten().collect()
    }

    async fn report(&self, node: NodeId) -> Option<Report> {
        let (before, began) = (self.here.clock_ms(), Instant::now());
        let answer = self
            .ask(node, Request::Report(wire::ReportRequest {}))
            .await;
        let Ok(Answer::Report(told)) = answer else {
            return None;
        };
        let after = before + super::view::milliseconds(began.elapsed());
        Some(Report {
            ahead_ms: ahead(told.clock_ms, before, after),
            told,
        })
    }
}

/// By how much a clock is ahead that was read between two moments of another one.
fn ahead(clock: u64, before: u64, after: u64) -> i64 {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    match clock {
        _ if clock < before => -signed(before - clock),
        _ if clock > after => signed(clock - after),
        _ => 0,
    }
}

async fn keep(exchange: Exchange, me: NodeId, mut members: watch::Receiver<BTreeSet<NodeId>>) {
    loop {
        let mut others = members.borrow_and_update().clone();
        others.remove(&me);
        exchange.keep(others);
        if members.changed().await.is_err() {
            return;
        }
    }
}

/// Answers other nodes.
struct FromHere(Arc<Here>);

impl Answers for FromHere {
    fn answer(&self, _: Asker, request: Bytes) -> BoxFuture<'static, Bytes> {
        let here = self.0.clone();
        async move {
            let request = wire::NodeRequest::decode(request);
            let kind = match request.ok().and_then(|request| request.kind) {
                Some(request) => here.answer(request).await,
                None => Answer::Failed(
                    "it does not know the question: it is of another release".to_owned(),
                ),
            };
            wire::NodeAnswer { kind: Some(kind) }.encode_to_vec().into()
        }
        .boxed()
    }

    fn asker_lost(&self, _: AskerId) {}
}

/// Nobody tells anything without being asked.
struct Unheard;

impl Events for Unheard {
    fn opened(&self, _: NodeId) {}
    fn told(&self, _: NodeId, _: Bytes) {}
    fn lost(&self, _: NodeId) {}
}

#[cfg(test)]
mod tests {
    use super::ahead;

    #[test]
    fn a_clock_that_may_be_right_is_right() {
        for (clock, expected) in [(90, -10), (100, 0), (150, 0), (200, 0), (230, 30)] {
            assert_eq!(ahead(clock, 100, 200), expected, "{clock}");
        }
    }
}
