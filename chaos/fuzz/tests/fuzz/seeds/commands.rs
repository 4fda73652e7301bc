//! Small stories of clients and workers.

use longhaul_frontend::fuzzing::calls;
use longhaul_fuzz::Step;
use longhaul_proto::sidecar::operation_action::OperationActionType;
use longhaul_proto::sidecar::operation_result::ResultType;
use longhaul_proto::sidecar::orchestrator_action::OrchestratorActionType as Action;
use longhaul_proto::sidecar::send_entity_message_action::EntityMessageType as ToEntity;
use longhaul_proto::sidecar::*;
use prost::Message;
use prost_types::Timestamp;

use super::Seed;
use super::calls::{failure, start};
use super::output::Output;

/// A story on its way.
#[derive(Clone, Default)]
struct Story(Output);

impl Story {
    fn then(self, step: Step, more: impl FnOnce(Output) -> Output) -> Self {
        Self(more(self.0.u8(step as u8)))
    }

    fn call(self, name: &str, message: &impl Message) -> Self {
        let number = calls().iter().position(|it| *it == name);
        let number = u8::try_from(number.expect("there is such a call")).expect("few");
        let message = message.encode_to_vec();
        self.then(Step::Call, |out| out.u8(number).chunk(&message))
    }

    fn start(self, id: &str) -> Self {
        self.call("StartInstance", &start(id, "Order"))
    }

    /// The first turn that is ready, answered with these actions.
    fn turn(self, actions: Vec<Action>) -> Self {
        let message = answer(actions).encode_to_vec();
        self.then(Step::Turn, |out| out.u8(0).chunk(&message))
    }

    fn activity(self, result: &ActivityResponse) -> Self {
        let message = result.encode_to_vec();
        self.then(Step::Activity, |out| out.u8(0).chunk(&message))
    }

    fn operations(self, done: usize) -> Self {
        let message = batch_result(done).encode_to_vec();
        self.then(Step::Operations, |out| out.u8(0).chunk(&message))
    }

    fn plain(self, step: Step) -> Self {
        self.then(step, |out| out)
    }

    fn pass(self, millis: u16) -> Self {
        self.then(Step::Pass, |out| out.u16(millis))
    }

    /// Both ways, and acknowledged.
    fn deliver(self) -> Self {
        let both = |story: Self, from: u8| {
            let story = story.then(Step::Deliver, |out| out.u8(from).u8(1));
            story.then(Step::Acknowledge, |out| out.u8(from))
        };
        both(both(self, 0), 1)
    }

    fn told(self, name: &str) -> Seed {
        (name.to_owned(), self.0.done())
    }
}

pub(super) fn seeds() -> Vec<Seed> {
    let story = Story::default;
    vec![
        story()
            .start("order-1")
            .turn(vec![schedule("Pay"), schedule("Ship")])
            .activity(&done())
            .activity(&failed())
            .turn(vec![complete(1)])
            .told("activities"),
        story()
            .start("order-1")
            .turn(vec![timer(1), child("order-2"), child("x:0001")])
            .pass(2_000)
            .plain(Step::Timers)
            .deliver()
            .turn(vec![complete(1)])
            .turn(vec![complete(3)])
            .deliver()
            .turn(vec![continue_as_new()])
            .turn(vec![complete(1)])
            .told("timers-and-children"),
        story()
            .start("order-1")
            .turn(vec![
                call_entity("@a@1"),
                lock(&["@a@1", "@b@1"]),
                signal_entity("@c@1"),
            ])
            .deliver()
            .operations(2)
            .deliver()
            .operations(1)
            .deliver()
            .turn(vec![unlock("@a@1"), unlock("@b@1"), complete(1)])
            .deliver()
            .plain(Step::Release)
            .plain(Step::Expire)
            .told("entities"),
        story()
            .call("SignalEntity", &signal("@a@1", "r1"))
            .call("SignalEntity", &signal("@a@1", "r1"))
            .operations(1)
            .then(Step::LateOperations, |out| out.u8(0).chunk(&[]))
            .pass(60_000)
            .plain(Step::Expire)
            .told("signals"),
        story()
            .start("order-1")
            .turn(every_action())
            .deliver()
            .then(Step::LateTurn, |out| {
                out.u8(0).chunk(&answer(vec![complete(1)]).encode_to_vec())
            })
            .plain(Step::Timers)
            .plain(Step::Release)
            .told("every-action"),
        story()
            .start("order-1")
            .turn(vec![schedule("Pay"), child("order-2")])
            .activity(&failed())
            .turn(vec![complete(3)])
            .call("RewindInstance", &rewind())
            .deliver()
            .turn(vec![schedule("Pay")])
            .activity(&done())
            .turn(vec![complete(1)])
            .call("RestartInstance", &restart())
            .turn(vec![complete(1)])
            .told("rewind-and-restart"),
        story()
            .start("order-1")
            .turn(vec![child("order-2"), call_entity("@a@1")])
            .call("SuspendInstance", &suspend())
            .call("RaiseEvent", &event())
            .call("ResumeInstance", &resume())
            .turn(vec![])
            .call("TerminateInstance", &terminate())
            .turn(vec![complete(5)])
            .deliver()
            .call("SkipGracefulOrchestrationTerminations", &skip())
            .call("PurgeInstances", &purge())
            .told("lifecycle"),
    ]
}

pub(super) fn answer(actions: Vec<Action>) -> OrchestratorResponse {
    let numbered = (1..).zip(actions).map(|(id, action)| OrchestratorAction {
        id,
        orchestrator_action_type: Some(action),
    });
    OrchestratorResponse {
        actions: numbered.collect(),
        ..Default::default()
    }
}

/// One of each kind.
pub(super) fn every_action() -> Vec<Action> {
    vec![
        schedule("Pay"),
        timer(1),
        child("order-2"),
        send("x:0001"),
        Action::TerminateOrchestration(TerminateOrchestrationAction {
            instance_id: "order-2".into(),
            reason: Some("late".into()),
            recurse: true,
        }),
        call_entity("@a@1"),
        signal_entity("@b@1"),
        lock(&["@b@1", "@a@1"]),
        unlock("@a@1"),
        Action::RewindOrchestration(RewindOrchestrationAction::default()),
        continue_as_new(),
        complete(1),
    ]
}

/// So many operations done, the last of them without success; with everything that operations send.
pub(super) fn batch_result(done: usize) -> EntityBatchResult {
    let result = |nth: usize| {
        let failed = nth + 1 == done && done > 1;
        let success = OperationResultSuccess {
            result: Some("1".into()),
            ..Default::default()
        };
        let failure = OperationResultFailure {
            failure_details: failure(),
            ..Default::default()
        };
        OperationResult {
            result_type: Some(match failed {
                true => ResultType::Failure(failure),
                false => ResultType::Success(success),
            }),
        }
    };
    let signal = SendSignalAction {
        instance_id: "@d@1".into(),
        name: "add".into(),
        input: Some("1".into()),
        scheduled_time: at(5),
        ..Default::default()
    };
    let start = StartNewOrchestrationAction {
        instance_id: "order-9".into(),
        name: "Order".into(),
        ..Default::default()
    };
    let actions = [
        OperationActionType::SendSignal(signal),
        OperationActionType::StartNewOrchestration(start),
    ];
    EntityBatchResult {
        results: (0..done).map(result).collect(),
        actions: (1..)
            .zip(actions)
            .map(|(id, action)| OperationAction {
                id,
                operation_action_type: Some(action),
            })
            .collect(),
        entity_state: Some("{}".into()),
        ..Default::default()
    }
}

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: 1_700_000_000 + seconds,
        nanos: 0,
    })
}

fn schedule(name: &str) -> Action {
    Action::ScheduleTask(ScheduleTaskAction {
        name: name.into(),
        input: Some("in".into()),
        ..Default::default()
    })
}

fn timer(seconds: i64) -> Action {
    let fire_at = at(seconds);
    Action::CreateTimer(CreateTimerAction { fire_at })
}

fn child(id: &str) -> Action {
    Action::CreateSubOrchestration(CreateSubOrchestrationAction {
        instance_id: id.into(),
        name: "Child".into(),
        ..Default::default()
    })
}

fn send(id: &str) -> Action {
    Action::SendEvent(SendEventAction {
        instance: Some(OrchestrationInstance {
            instance_id: id.into(),
            execution_id: None,
        }),
        name: "Ping".into(),
        data: Some("1".into()),
    })
}

fn complete(status: i32) -> Action {
    Action::CompleteOrchestration(CompleteOrchestrationAction {
        orchestration_status: status,
        result: Some("out".into()),
        failure_details: (status == 3).then(failure).flatten(),
        ..Default::default()
    })
}

fn continue_as_new() -> Action {
    let raised = EventRaisedEvent {
        name: "Carried".into(),
        input: None,
    };
    Action::CompleteOrchestration(CompleteOrchestrationAction {
        orchestration_status: OrchestrationStatus::ContinuedAsNew.into(),
        result: Some("next".into()),
        new_version: Some("2".into()),
        carryover_events: vec![HistoryEvent {
            event_id: -1,
            timestamp: None,
            event_type: Some(history_event::EventType::EventRaised(raised)),
        }],
        ..Default::default()
    })
}

fn to_entity(message: ToEntity) -> Action {
    Action::SendEntityMessage(SendEntityMessageAction {
        entity_message_type: Some(message),
    })
}

fn call_entity(target: &str) -> Action {
    to_entity(ToEntity::EntityOperationCalled(
        EntityOperationCalledEvent {
            request_id: format!("call {target}"),
            operation: "add".into(),
            input: Some("1".into()),
            parent_instance_id: Some("order-1".into()),
            target_instance_id: Some(target.into()),
            ..Default::default()
        },
    ))
}

fn signal_entity(target: &str) -> Action {
    to_entity(ToEntity::EntityOperationSignaled(
        EntityOperationSignaledEvent {
            request_id: format!("signal {target}"),
            operation: "add".into(),
            scheduled_time: at(1),
            target_instance_id: Some(target.into()),
            ..Default::default()
        },
    ))
}

fn lock(entities: &[&str]) -> Action {
    to_entity(ToEntity::EntityLockRequested(EntityLockRequestedEvent {
        critical_section_id: "section".into(),
        lock_set: entities.iter().map(|&it| it.into()).collect(),
        ..Default::default()
    }))
}

fn unlock(entity: &str) -> Action {
    to_entity(ToEntity::EntityUnlockSent(EntityUnlockSentEvent {
        critical_section_id: "section".into(),
        target_instance_id: Some(entity.into()),
        ..Default::default()
    }))
}

fn done() -> ActivityResponse {
    ActivityResponse {
        result: Some("1".into()),
        ..Default::default()
    }
}

fn failed() -> ActivityResponse {
    ActivityResponse {
        failure_details: failure(),
        ..Default::default()
    }
}

fn signal(entity: &str, request: &str) -> SignalEntityRequest {
    SignalEntityRequest {
        instance_id: entity.into(),
        name: "add".into(),
        request_id: request.into(),
        ..Default::default()
    }
}

fn rewind() -> RewindInstanceRequest {
    RewindInstanceRequest {
        instance_id: "order-1".into(),
        reason: None,
    }
}

fn restart() -> RestartInstanceRequest {
    RestartInstanceRequest {
        instance_id: "order-1".into(),
        ..Default::default()
    }
}

fn suspend() -> SuspendRequest {
    SuspendRequest {
        instance_id: "order-1".into(),
        reason: None,
    }
}

fn resume() -> ResumeRequest {
    ResumeRequest {
        instance_id: "order-1".into(),
        reason: Some("go".into()),
    }
}

fn event() -> RaiseEventRequest {
    RaiseEventRequest {
        instance_id: "order-1".into(),
        name: "Paid".into(),
        input: None,
    }
}

fn terminate() -> TerminateRequest {
    TerminateRequest {
        instance_id: "order-1".into(),
        output: None,
        recursive: true,
    }
}

fn skip() -> SkipGracefulOrchestrationTerminationsRequest {
    SkipGracefulOrchestrationTerminationsRequest {
        instance_batch: Some(InstanceBatch {
            instance_ids: vec!["order-1".into(), "order-2".into()],
        }),
        reason: None,
    }
}

fn purge() -> PurgeInstancesRequest {
    PurgeInstancesRequest {
        request: Some(purge_instances_request::Request::InstanceBatch(
            InstanceBatch {
                instance_ids: vec!["order-1".into(), "@a@1".into()],
            },
        )),
        ..Default::default()
    }
}
