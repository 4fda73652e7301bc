//! Entities and sets of statuses as queries see them.

use std::time::Duration;

use longhaul_engine::Command;
use longhaul_engine::Status;
use longhaul_engine::batch::{BatchAnswer, OperationResult, Verdict};
use longhaul_engine::history::entity_event::{self, OperationText};
use longhaul_engine::history::event::INBOUND;
use longhaul_engine::query::{EntityView, Span, StatusSet};
use longhaul_engine::turn::Action;
use longhaul_types::InstanceId;

use crate::support::{Cluster, START};

const ENTITY: &str = "@counter@a";

fn signal(cluster: &mut Cluster, request_id: &str, delay: Duration) {
    let due = cluster.now + delay;
    let text = OperationText {
        request_id,
        operation: "add",
        scheduled: Some(due),
        input: None,
        target: ENTITY,
    };
    let command = Command::SignalEntity {
        key: Cluster::key(ENTITY),
        request_id: request_id.into(),
        event: entity_event::operation_signaled(INBOUND, cluster.now, text),
        due: Some(due),
    };
    cluster.apply(0, command);
}

fn work_off(cluster: &mut Cluster, state: Option<&'static str>) {
    let batch = cluster.take_batch(ENTITY).expect("ready");
    let answer = BatchAnswer {
        results: vec![OperationResult::Completed(None); batch.events.len()],
        state: state.map(Into::into),
        ..BatchAnswer::default()
    };
    let Verdict::Commit(complete) = cluster.judge(&batch.context, answer) else {
        panic!("everything was done");
    };
    cluster.apply(0, Command::CompleteBatch(complete));
}

fn lock(cluster: &mut Cluster, owner: &str) {
    cluster.create(owner, "Job");
    let lock = Action::LockEntities {
        section: format!("section of {owner}"),
        lock_set: vec![ENTITY.into()],
        position: 0,
        parent: None,
    };
    cluster.turn(owner, vec![(1, lock)]);
}

fn view(cluster: &Cluster, transient: bool) -> Option<EntityView> {
    let key = Cluster::key(ENTITY);
    cluster.entity(ENTITY)?.view(&key, transient)
}

#[test]
fn an_entity_exists_for_clients_while_it_has_a_state() {
    let mut cluster = Cluster::new(1);
    assert_eq!(view(&cluster, true), None);

    signal(&mut cluster, "s1", Duration::ZERO);
    signal(&mut cluster, "s2", Duration::ZERO);
    assert_eq!(view(&cluster, false), None);
    let waiting = view(&cluster, true).expect("it has a queue");
    assert_eq!((waiting.backlog, waiting.state), (2, None));
    assert_eq!(waiting.modified_at, START);

    cluster.pass(Duration::from_secs(5));
    work_off(&mut cluster, Some("0"));
    let stateful = view(&cluster, false).expect("it has a state");
    assert_eq!(stateful.state.as_deref(), Some(&b"0"[..]));
    assert_eq!(stateful.modified_at, START + Duration::from_secs(5));
    assert_eq!((stateful.backlog, stateful.locked_by), (0, None));

    signal(&mut cluster, "s3", Duration::ZERO);
    work_off(&mut cluster, None);
    assert_eq!(view(&cluster, true), None, "nothing is left to see");
    assert!(cluster.entity(ENTITY).is_some(), "though it is remembered");
}

#[test]
fn trap_73_a_locked_entity_names_the_instance_that_has_locked_it() {
    let mut cluster = Cluster::new(1);
    lock(&mut cluster, "order-1");
    assert_eq!(view(&cluster, false), None);
    let locked = view(&cluster, true).expect("it is locked");
    assert_eq!(locked.locked_by, Some(InstanceId::trusted("order-1")));
    assert_eq!(locked.id.as_str(), ENTITY);
}

#[test]
fn the_backlog_counts_operations_that_could_be_done_some_time() {
    let mut cluster = Cluster::new(1);
    lock(&mut cluster, "order-1");
    signal(&mut cluster, "waits", Duration::ZERO);
    lock(&mut cluster, "order-2");
    signal(&mut cluster, "waits too", Duration::ZERO);
    signal(&mut cluster, "is not due", Duration::from_secs(60));
    let call = Action::EntityOperation(longhaul_engine::turn::OperationRequest {
        call: true,
        target: ENTITY.into(),
        request_id: "the owner's".into(),
        operation: "get".into(),
        input: None,
        scheduled: None,
    });
    cluster.turn("order-1", vec![(2, call)]);
    let view = view(&cluster, true).expect("it is locked");
    assert_eq!(view.backlog, 3, "requests for the lock are no operations");
}

#[test]
fn sets_of_statuses() {
    let some: StatusSet = [Status::Running, Status::Failed].into_iter().collect();
    assert!(some.contains(Status::Running) && some.contains(Status::Failed));
    assert!(!some.contains(Status::Completed) && !StatusSet::NONE.contains(Status::Running));
    assert_eq!(
        some.iter().collect::<Vec<_>>(),
        [Status::Running, Status::Failed]
    );
    assert_eq!(some.terminal().iter().collect::<Vec<_>>(), [Status::Failed]);
    let all: Vec<Status> = StatusSet::ALL.iter().collect();
    let known: Vec<Status> = (0..8).filter_map(Status::from_wire).collect();
    assert_eq!(all, known);
    assert!(
        all.iter()
            .all(|status| StatusSet::NONE.with(*status).contains(*status))
    );
}

#[test]
fn spans_include_their_beginning_and_exclude_their_end() {
    let at = |seconds| START + Duration::from_secs(seconds);
    let span = |from: Option<u64>, to: Option<u64>| Span {
        from: from.map(at),
        to: to.map(at),
    };
    let cases = [
        (span(None, None), [true, true, true]),
        (span(Some(1), None), [false, true, true]),
        (span(None, Some(1)), [true, false, false]),
        (span(Some(1), Some(2)), [false, true, false]),
        (span(Some(1), Some(1)), [false, false, false]),
    ];
    for (span, expected) in cases {
        let got = [0, 1, 2].map(|seconds| span.contains(at(seconds)));
        assert_eq!(got, expected, "{span:?}");
    }
}
