//! What becomes of a worker's answer to a batch, and what a batch is.

use std::time::Duration;

use bytes::Bytes;
use longhaul_engine::batch::{
    Batch, BatchAnswer, EntityAction, OperationResult, Verdict, decide, give_up,
};
use longhaul_engine::command::{CompleteBatch, StateChange};
use longhaul_engine::entity::{Caller, Operation};
use longhaul_engine::history::entity_event::{self, OperationText};
use longhaul_engine::history::event::{self, INBOUND};
use longhaul_engine::message::{Message, MessageBody};
use longhaul_engine::{Command, Effect};
use longhaul_types::{ExecutionId, InstanceId, limits};

use crate::support::{Cluster, START, decode, event_text};

fn operation(request_id: &str, called: bool, input: &[u8]) -> Operation {
    let text = OperationText {
        request_id,
        operation: "add",
        scheduled: None,
        input: Some(input),
        target: "@a@1",
    };
    let caller = Caller {
        instance: InstanceId::trusted("caller"),
        execution: ExecutionId::new("its-execution"),
    };
    let event = match called {
        true => {
            let parent = (&caller.instance, &caller.execution);
            entity_event::operation_called(INBOUND, START, text, parent)
        }
        false => entity_event::operation_signaled(INBOUND, START, text),
    };
    Operation {
        caller: called.then_some(caller),
        request_id: request_id.into(),
        event,
    }
}

/// A cluster in which these operations wait at one entity.
fn waiting(operations: Vec<Operation>) -> Cluster {
    let mut cluster = Cluster::new(1);
    let messages = operations.into_iter().map(|operation| Message {
        target: Cluster::key("@a@1"),
        body: MessageBody::Operation {
            operation,
            sender: None,
            due: None,
        },
    });
    let deliver = Command::Deliver {
        source: longhaul_types::PartitionId(1),
        first: 1,
        messages: messages.collect(),
    };
    cluster.apply(0, deliver);
    cluster
}

/// Call, signal, call.
fn three() -> Batch {
    let operations = vec![
        operation("c1", true, b"1"),
        operation("s2", false, b"2"),
        operation("c3", true, b"3"),
    ];
    waiting(operations).take_batch("@a@1").expect("ready")
}

fn done(results: usize) -> Vec<OperationResult> {
    let result = |at: usize| OperationResult::Completed(Some(format!("result {at}").into()));
    (0..results).map(result).collect()
}

fn judged(answer: BatchAnswer) -> Verdict {
    let mut drawn = 0u8;
    decide(&three().context, answer, START, &mut || {
        drawn += 1;
        ExecutionId::from_random([drawn; 16])
    })
}

fn committed(answer: BatchAnswer) -> CompleteBatch {
    match judged(answer) {
        Verdict::Commit(complete) => *complete,
        other => panic!("not committed: {other:?}"),
    }
}

/// The answers as events; a dash where nobody waits for one.
fn answers(complete: &CompleteBatch) -> Vec<String> {
    let text = |event: &Bytes| match event.is_empty() {
        true => "-".to_owned(),
        false => event_text(&decode(event)),
    };
    complete.answers.iter().map(text).collect()
}

#[test]
fn each_caller_gets_the_result_of_its_own_operation() {
    let failure = event::failure_details("Oops", "no luck");
    let complete = committed(BatchAnswer {
        results: vec![
            OperationResult::Completed(None),
            OperationResult::Failed(failure.clone()),
            OperationResult::Failed(failure),
        ],
        state: Some("after".into()),
        ..BatchAnswer::default()
    });
    let expected = [
        "EntityOperationCompleted @0 request=c1",
        "-",
        "EntityOperationFailed @0 request=c3 failure=Oops:'no luck'!",
    ];
    assert_eq!(answers(&complete), expected);
    assert_eq!(complete.state, StateChange::Set(Some("after".into())));
    assert_eq!(complete.batch, 0);
    assert!(complete.messages.is_empty());
}

#[test]
fn results_count_from_the_front_and_never_beyond_the_batch() {
    let answered = |results| {
        let answer = BatchAnswer {
            results: done(results),
            ..BatchAnswer::default()
        };
        answers(&committed(answer))
    };
    let first = "EntityOperationCompleted @0 request=c1 output='result 0'";
    let third = "EntityOperationCompleted @0 request=c3 output='result 2'";
    assert_eq!(answered(1), [first]);
    assert_eq!(answered(2), [first, "-"]);
    assert_eq!(answered(3), [first, "-", third]);
    assert_eq!(answered(9), [first, "-", third]);
}

#[test]
fn the_state_is_what_was_answered_and_absent_is_not_empty() {
    let state = |state: Option<&'static str>| {
        let answer = BatchAnswer {
            results: done(3),
            state: state.map(Into::into),
            ..BatchAnswer::default()
        };
        committed(answer).state
    };
    assert_eq!(state(None), StateChange::Set(None));
    assert_eq!(state(Some("")), StateChange::Set(Some(Bytes::new())));
    assert_eq!(state(Some("0")), StateChange::Set(Some("0".into())));
}

#[test]
fn what_a_worker_could_not_run_is_not_committed() {
    let reason = Bytes::from_static(b"why");
    let failing = |results, failure: Option<&Bytes>| BatchAnswer {
        results: done(results),
        failure: failure.cloned(),
        ..BatchAnswer::default()
    };
    let later = |verdict| match verdict {
        Verdict::Later(reason) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(later(judged(failing(0, None))), None);
    assert_eq!(
        later(judged(failing(0, Some(&reason)))),
        Some(reason.clone())
    );
    assert_eq!(
        later(judged(failing(2, Some(&reason)))),
        Some(reason.clone()),
        "results of some are not the worker's last word if it failed"
    );
    assert_eq!(answers(&committed(failing(3, Some(&reason)))).len(), 3);

    let stateless = BatchAnswer {
        requires_state: true,
        ..failing(3, Some(&reason))
    };
    assert!(matches!(judged(stateless), Verdict::Again));
}

#[test]
fn giving_up_answers_callers_and_touches_nothing_else() {
    let failure = event::failure_details("Hopeless", "nobody can");
    let complete = give_up(&three().context, &failure, START);
    let expected = [
        "EntityOperationFailed @0 request=c1 failure=Hopeless:'nobody can'!",
        "-",
        "EntityOperationFailed @0 request=c3 failure=Hopeless:'nobody can'!",
    ];
    assert_eq!(answers(&complete), expected);
    assert_eq!(complete.state, StateChange::Keep);
    assert!(complete.messages.is_empty());
}

#[test]
fn what_operations_send_has_ids_of_its_own_and_goes_where_something_can_be() {
    let soon = START + Duration::from_secs(5);
    let signal = |target: &str| EntityAction::Signal {
        target: target.into(),
        operation: "add".into(),
        input: Some("1".into()),
        scheduled: Some(soon),
    };
    let start = |instance: &str, name: &str, scheduled| EntityAction::Start {
        instance: instance.into(),
        name: name.into(),
        version: Some("2".into()),
        input: None,
        scheduled,
        trace: None,
    };
    let complete = committed(BatchAnswer {
        results: done(1),
        actions: vec![
            signal("@B@1"),
            signal("nothing"),
            start("job", "Job", Some(soon)),
            start("job-2", "Job", Some(START)),
            start("", "Job", None),
            start("job-3", "", None),
            start("@a@1", "Job", None),
        ],
        ..BatchAnswer::default()
    });
    let targets: Vec<&str> = complete
        .messages
        .iter()
        .map(|it| it.target.id.as_str())
        .collect();
    let [signaled, job, job_2, unnamed] = &complete.messages[..] else {
        panic!("{targets:?}");
    };
    assert_eq!(targets[..3], ["@b@1", "job", "job-2"]);

    let MessageBody::Operation {
        operation,
        sender: None,
        due,
    } = &signaled.body
    else {
        panic!("{signaled:?}");
    };
    assert_eq!(*due, Some(soon));
    assert!(operation.caller.is_none());
    let text = format!(
        "EntityOperationSignaled @0 add request={} due=@5 input=1 target=@b@1",
        operation.request_id
    );
    assert_eq!(event_text(&decode(&operation.event)), text);

    let creation = |message: &Message| match &message.body {
        MessageBody::Start(creation) => (**creation).clone(),
        other => panic!("{other:?}"),
    };
    let (job, job_2, nameless) = (creation(job), creation(job_2), creation(unnamed));
    assert_eq!(job.scheduled_start, Some(soon));
    assert_eq!(job_2.scheduled_start, None, "what is due is not scheduled");
    assert_eq!(job.version.as_deref(), Some("2"));
    assert!(job.parent.is_none() && job.tags.is_none());

    let mut ids = vec![
        operation.request_id.to_string(),
        job.execution.to_string(),
        job_2.execution.to_string(),
        nameless.execution.to_string(),
        unnamed.target.id.to_string(),
    ];
    assert!(ids.iter().all(|id| id.len() == 32), "GUIDs: {ids:?}");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5, "nothing shares an id with anything");
}

#[test]
fn a_batch_has_one_name_however_often_it_is_handed_out() {
    let operations = vec![operation("s1", false, b"1"), operation("s2", false, b"2")];
    let mut cluster = waiting(operations);
    let first = cluster.take_batch("@a@1").expect("ready").context;
    let again = cluster.take_batch("@a@1").expect("ready").context;
    assert_eq!(first.execution, again.execution);
    assert_eq!(first.execution.as_str().len(), 32);
    let answer = BatchAnswer {
        results: done(1),
        ..BatchAnswer::default()
    };
    let Verdict::Commit(complete) = cluster.judge(&first, answer) else {
        panic!("one was done");
    };
    cluster.apply(0, Command::CompleteBatch(complete));
    let next = cluster.take_batch("@a@1").expect("ready").context;
    assert_ne!(next.execution, first.execution);
}

#[test]
fn a_batch_is_as_large_as_a_work_item_may_be() {
    let small = 0..=limits::ENTITY_BATCH_OPERATIONS_MAX;
    let small = small.map(|at| operation(&at.to_string(), false, b"1"));
    let batch = waiting(small.collect()).take_batch("@a@1").expect("ready");
    assert_eq!(batch.events.len(), limits::ENTITY_BATCH_OPERATIONS_MAX);
    assert_eq!(batch.context.operations.len(), batch.events.len());

    let half = vec![b'x'; limits::WORK_ITEM_BYTES_MAX / 2 - 100];
    let large = (0..3).map(|at| operation(&at.to_string(), false, &half));
    let batch = waiting(large.collect()).take_batch("@a@1").expect("ready");
    assert_eq!(batch.events.len(), 2);

    let huge = vec![b'x'; limits::WORK_ITEM_BYTES_MAX + 1];
    let huge = (0..2).map(|at| operation(&at.to_string(), false, &huge));
    let batch = waiting(huge.collect()).take_batch("@a@1").expect("ready");
    assert_eq!(batch.events.len(), 1, "one is always handed out");
}

#[test]
fn an_entity_without_a_state_wakes_the_leader_once_a_minute_and_not_for_every_batch() {
    let mut cluster = Cluster::new(1);
    let mut wakes = Vec::new();
    for second in 0..300u32 {
        let text = OperationText {
            request_id: &second.to_string(),
            operation: "add",
            scheduled: None,
            input: None,
            target: "@a@1",
        };
        let signal = Command::SignalEntity {
            key: Cluster::key("@a@1"),
            request_id: text.request_id.into(),
            event: entity_event::operation_signaled(INBOUND, cluster.now, text),
            due: None,
        };
        let signaled = cluster.apply(0, signal);
        let batch = cluster.take_batch("@a@1").expect("ready");
        let answer = BatchAnswer {
            results: done(1),
            ..BatchAnswer::default()
        };
        let Verdict::Commit(complete) = cluster.judge(&batch.context, answer) else {
            panic!("one was done");
        };
        let completed = cluster.apply(0, Command::CompleteBatch(complete));
        let effects = signaled.effects.into_iter().chain(completed.effects);
        wakes.extend(effects.filter_map(|effect| match effect {
            Effect::ExpiryArmed { at, .. } => Some(at),
            _ => None,
        }));
        cluster.pass(Duration::from_secs(1));
    }
    assert_eq!(wakes.len(), 6, "300 seconds touch six minutes: {wakes:?}");
    let entity = cluster.entity("@a@1").expect("it is remembered");
    assert_eq!(entity.expires_at(), wakes.last().copied());
}
