//! Every call from every node.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use longhaul_engine::command::PurgeTarget;
use longhaul_engine::query::{EndedFilter, EntityQuery, InstanceFilter, Span, StatusSet};
use longhaul_engine::{Command, Reply, Status};
use longhaul_partition::{Claimed, Partition, WaitFor};
use longhaul_types::{HubId, NodeId};
use parking_lot::Mutex;

use crate::claims::Encoder;
use crate::testing::{
    BYSTANDER, Cluster, HUB, REPLICAS, create, done, key, partition_of, raise, terminate, until,
};
use crate::{AnswerKind, Judge, WorkerAnswer};

fn everybody() -> impl Iterator<Item = NodeId> {
    REPLICAS.into_iter().chain([BYSTANDER])
}

fn all_instances(hub: HubId) -> InstanceFilter {
    InstanceFilter {
        hub,
        statuses: StatusSet::ALL,
        created: Span::default(),
        id_prefix: String::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_node_does_every_other_sees_at_once() {
    let cluster = Cluster::start().await;
    for (number, node) in everybody().enumerate() {
        let router = cluster.router(node);
        let id = format!("order-{number}");
        let home = router.home(&key(&id));
        done(&home, create(&id)).await;
        done(&home, raise(&id)).await;
        let again = home.propose(create(&id)).await;
        assert_eq!(again, Ok(Reply::Done), "the same execution");
        for other in everybody() {
            let home = cluster.router(other).home(&key(&id));
            let view = home.view(&key(&id)).await.expect("read").expect("there");
            assert_eq!(view.input.as_deref(), Some(id.as_bytes()));
            let history = home.history(&key(&id)).await.expect("read");
            let history = history.expect("there");
            assert_eq!(history.execution, view.execution);
            assert_eq!(home.children(&key(&id)).await, Ok(vec![]));
            assert_eq!(home.view(&key("nothing")).await, Ok(None));
        }
        done(&home, terminate(&id)).await;
        let ended = home.wait(&key(&id), WaitFor::Ended).await;
        assert_eq!(ended.expect("ended").status, Status::Terminated);
    }
}

#[tokio::test(start_paused = true)]
async fn entities_can_be_signalled_and_read_from_everywhere() {
    let cluster = Cluster::start().await;
    for (number, node) in everybody().enumerate() {
        let id = format!("@counter@{number}");
        let home = cluster.router(node).home(&key(&id));
        let signal = || Command::SignalEntity {
            key: key(&id),
            request_id: "the same".into(),
            event: Bytes::from_static(b"operation"),
            due: None,
        };
        done(&home, signal()).await;
        done(&home, signal()).await;
        for other in everybody() {
            let home = cluster.router(other).home(&key(&id));
            let view = home.entity(&key(&id), true).await.expect("read");
            assert_eq!(view.map(|it| it.backlog), Some(1));
            assert_eq!(home.entity(&key(&id), false).await, Ok(None));
            let query = EntityQuery {
                hub: HUB,
                id_prefix: id.clone(),
                modified: Span::default(),
                transient: true,
            };
            let found = home.query_entities(query, None, 10).await.expect("read");
            assert_eq!(found.len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn queries_and_purges_reach_every_partition_from_everywhere() {
    let cluster = Cluster::start().await;
    for node in everybody() {
        let router = cluster.router(node);
        let ids: Vec<String> = (0..6).map(|number| format!("{node}-{number}")).collect();
        for id in &ids {
            let home = router.home(&key(id));
            done(&home, create(id)).await;
            done(&home, terminate(id)).await;
        }
        let mut found = 0;
        let mut deleted = 0;
        let filter = EndedFilter {
            hub: HUB,
            statuses: StatusSet::ALL,
            completed: Span::default(),
        };
        for home in router.all() {
            let views = home.query_instances(all_instances(HUB), None, 100).await;
            found += views.expect("read").len();
            let first = home.query_ended(filter.clone(), None, 1).await;
            let first = first.expect("read").remove(0);
            let target = PurgeTarget {
                key: key(first.id.as_str()),
                completed_at: Some(first.at),
            };
            let purge = Command::Purge {
                targets: vec![target],
            };
            let purged = home.propose(purge).await;
            assert_eq!(purged, Ok(Reply::Purged { count: 1, live: 0 }));
            deleted += 1 + home.purge_ended(&filter, || true).await.expect("purged");
        }
        assert_eq!((found, deleted), (ids.len(), ids.len() as u64));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hub_is_removed_wherever_it_is() {
    let cluster = Cluster::start().await;
    let router = cluster.router(BYSTANDER);
    for number in 0..8 {
        let id = number.to_string();
        done(&router.home(&key(&id)), create(&id)).await;
    }
    router.remove_hub(HubId(2)).await.expect("nothing to do");
    let left = || async {
        let mut left = 0;
        for home in router.all() {
            let views = home.query_instances(all_instances(HUB), None, 100).await;
            left += views.expect("read").len();
        }
        left
    };
    assert_eq!(left().await, 8);
    router.remove_hub(HUB).await.expect("removed");
    assert_eq!(left().await, 0);
}

#[derive(Default)]
struct Recorder(Mutex<Vec<WorkerAnswer>>);

impl Judge for Recorder {
    fn judge(
        &self,
        _partition: Partition,
        answer: WorkerAnswer,
    ) -> BoxFuture<'static, Result<(), longhaul_partition::ProposeError>> {
        self.0.lock().push(answer);
        async { Ok(()) }.boxed()
    }
}

struct NoWork;

impl Encoder for NoWork {
    fn encode(&self, claimed: &Claimed) -> Result<Bytes, String> {
        Err(format!("nobody claims {}", claimed.token()))
    }
}

#[tokio::test(start_paused = true)]
async fn answers_of_workers_are_judged_by_the_leader() {
    let cluster = Cluster::start().await;
    let id = partition_of("a");
    let leader = cluster.leader(id).await;
    let recorder = Arc::new(Recorder::default());
    cluster
        .router(leader)
        .appoint(recorder.clone(), Arc::new(NoWork));
    let mut sent = Vec::new();
    for node in everybody() {
        let answer = WorkerAnswer {
            hub: HUB,
            kind: AnswerKind::Activity,
            message: Bytes::from(format!("from {node}")),
        };
        let home = cluster.router(node).home(&key("a"));
        assert_eq!(home.here().is_some(), node == leader);
        home.answer(answer.clone()).await.expect("judged");
        sent.push(answer);
    }
    assert_eq!(*recorder.0.lock(), sent);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_waits_at_the_leader_no_more() {
    let cluster = Cluster::start().await;
    let id = partition_of("a");
    let leader = cluster.leader(id).await;
    let replica = cluster.replica(leader, id).expect("it leads");
    let home = cluster.router(BYSTANDER).home(&key("a"));
    let waiting = tokio::spawn(async move { home.wait(&key("a"), WaitFor::Ended).await });
    until(|| replica.figures().waiters == 1).await;
    waiting.abort();
    until(|| replica.figures().waiters == 0).await;
}
