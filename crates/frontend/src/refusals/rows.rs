//! The table: which rules hold for which field of which calls.
//!
//! A validator takes its row from here, so nothing is refused that is not in the table. Fields that no row names are
//! taken as they come.

use super::rules::*;
use super::{Outcome, Row};
use crate::rpc::Rpc::{self, *};

macro_rules! rows {
    ($($(#[doc = $doc:literal])* $name:ident = $rpcs:expr, $field:literal, [$($rule:ident),+ $(,)?] $(=> $outcome:expr)?;)+) => {
        $(
            $(#[doc = $doc])*
            pub(crate) static $name: Row = Row {
                rpcs: $rpcs,
                field: $field,
                rules: &[$(&$rule),+],
                outcome: rows!(@outcome $($outcome)?),
            };
        )+

        /// All of it.
        #[cfg_attr(not(test), expect(dead_code, reason = "for the page and the tests"))]
        pub(crate) static ALL: &[&Row] = &[$(&$name),+];
    };
    (@outcome) => { Outcome::Refused };
    (@outcome $outcome:expr) => { $outcome };
}

/// Every call but those that make and remove task hubs.
const IN_A_HUB: &[Rpc] = Rpc::ALL.split_at(Rpc::ALL.len() - 2).0;
const _: () = assert!(matches!(
    Rpc::ALL.split_at(IN_A_HUB.len()).1,
    [CreateTaskHub, DeleteTaskHub]
));

const STEERING: &[Rpc] = &[
    RaiseEvent,
    TerminateInstance,
    SuspendInstance,
    ResumeInstance,
    RestartInstance,
    RewindInstance,
];
const LOOKING: &[Rpc] = &[GetInstance, WaitForInstanceStart, WaitForInstanceCompletion];
const ABANDONING: &[Rpc] = &[
    AbandonTaskActivityWorkItem,
    AbandonTaskOrchestratorWorkItem,
    AbandonTaskEntityWorkItem,
];
const FAILS: Outcome = Outcome::Fails("orchestration");
/// It is offered again, and given up after some attempts.
const BATCH_FAILS: Outcome = Outcome::Fails("batch");

rows! {
    MESSAGE = Rpc::ALL, "(message)", [MESSAGE_SIZE, MESSAGE_UNDECODABLE, MESSAGE_COMPRESSED];
    HUB = Rpc::ALL, "taskhub (header)", [HUB_EMPTY, HUB_LENGTH, HUB_CHARACTER, HUB_UNREADABLE, HUB_SEVERAL];
    HUB_EXISTS = IN_A_HUB, "taskhub (header)", [HUB_UNKNOWN];

    START_ID = &[StartInstance], "instanceId", [ID_LENGTH, ID_CONTROL, ID_RESERVED, ID_TAKEN];
    START_NAME = &[StartInstance], "name", [REQUIRED, NAME_LENGTH];
    START_VERSION = &[StartInstance], "version", [VERSION_LENGTH];
    START_INPUT = &[StartInstance], "input", [PAYLOAD_SIZE];
    START_AT = &[StartInstance], "scheduledStartTimestamp", [TIMESTAMP];
    START_REUSE = &[StartInstance], "orchestrationIdReusePolicy.replaceableStatus", [STATUS, REUSE_CONTRADICTORY];
    START_EXECUTION = &[StartInstance], "executionId", [TEXT_LENGTH];
    START_TAGS = &[StartInstance], "tags", [TAG_COUNT, TAG_KEY, TAG_VALUE, TAGS_SIZE];
    START_TRACE = &[StartInstance], "parentTraceContext", [TRACE_SIZE];
    START_REQUESTED = &[StartInstance], "requestTime", [TIMESTAMP];

    /// An entity can be asked for: there is no instance with its id.
    INSTANCE_ID = LOOKING, "instanceId", [REQUIRED, ID_LENGTH, ID_CONTROL];
    ORCHESTRATION_ID = STEERING, "instanceId", [REQUIRED, ID_LENGTH, ID_CONTROL, ID_RESERVED, NO_INSTANCE];
    PENDING = &[RaiseEvent, SignalEntity], "(backlog)", [PENDING_COUNT];
    EVENT_NAME = &[RaiseEvent], "name", [REQUIRED, NAME_LENGTH];
    EVENT_INPUT = &[RaiseEvent], "input", [PAYLOAD_SIZE];
    TERMINATE_OUTPUT = &[TerminateInstance], "output", [PAYLOAD_SIZE];
    REASON = &[SuspendInstance, ResumeInstance, RewindInstance], "reason", [PAYLOAD_SIZE];
    RESTART_STATE = &[RestartInstance], "(state)", [NOT_ENDED];
    REWIND_STATE = &[RewindInstance], "(state)", [NOT_FAILED];

    QUERY = &[QueryInstances], "query", [REQUIRED];
    QUERY_STATUS = &[QueryInstances], "query.runtimeStatus", [STATUS];
    QUERY_FROM = &[QueryInstances], "query.createdTimeFrom", [TIMESTAMP, SPAN];
    QUERY_TO = &[QueryInstances], "query.createdTimeTo", [TIMESTAMP];
    QUERY_HUBS = &[QueryInstances], "query.taskHubNames", [HUB_NAME_COUNT];
    QUERY_TOKEN = &[QueryInstances], "query.continuationToken", [PAGE_TOKEN];
    QUERY_PREFIX = &[QueryInstances], "query.instanceIdPrefix", [TEXT_LENGTH];

    LIST_STATUS = &[ListInstanceIds], "runtimeStatus", [STATUS];
    LIST_FROM = &[ListInstanceIds], "completedTimeFrom", [TIMESTAMP, SPAN];
    LIST_TO = &[ListInstanceIds], "completedTimeTo", [TIMESTAMP];
    LIST_TOKEN = &[ListInstanceIds], "lastInstanceKey", [PAGE_TOKEN];

    PURGE = &[PurgeInstances], "request", [REQUIRED];
    PURGE_ID = &[PurgeInstances], "instanceId", [REQUIRED, ID_LENGTH, ID_CONTROL, ID_NOT_ENTITY, LIVE];
    PURGE_FROM = &[PurgeInstances], "purgeInstanceFilter.createdTimeFrom", [TIMESTAMP, SPAN];
    PURGE_TO = &[PurgeInstances], "purgeInstanceFilter.createdTimeTo", [TIMESTAMP];
    PURGE_STATUS = &[PurgeInstances], "purgeInstanceFilter.runtimeStatus", [STATUS];
    PURGE_TIMEOUT = &[PurgeInstances], "purgeInstanceFilter.timeout", [DURATION];
    PURGE_BATCH = &[PurgeInstances], "instanceBatch.instanceIds", [BATCH_COUNT, REQUIRED, ID_LENGTH, ID_CONTROL, ID_NOT_ENTITY];

    HISTORY_ID = &[StreamInstanceHistory], "instanceId", [REQUIRED, ID_LENGTH, ID_CONTROL, NO_INSTANCE];
    HISTORY_EXECUTION = &[StreamInstanceHistory], "executionId", [NO_EXECUTION];

    SKIP = &[SkipGracefulOrchestrationTerminations], "instanceBatch", [REQUIRED];
    /// Whatever its ids are: those that cannot be ended are listed in the answer.
    SKIP_BATCH = &[SkipGracefulOrchestrationTerminations], "instanceBatch.instanceIds", [BATCH_COUNT];
    SKIP_REASON = &[SkipGracefulOrchestrationTerminations], "reason", [PAYLOAD_SIZE];

    WORK_TURNS = &[GetWorkItems], "maxConcurrentOrchestrationWorkItems", [NEGATIVE_LIMIT];
    WORK_ACTIVITIES = &[GetWorkItems], "maxConcurrentActivityWorkItems", [NEGATIVE_LIMIT];
    WORK_ENTITIES = &[GetWorkItems], "maxConcurrentEntityWorkItems", [NEGATIVE_LIMIT];
    FILTER_ORCHESTRATIONS = &[GetWorkItems], "workItemFilters.orchestrations", [FILTER_COUNT, NAME_LENGTH, VERSION_LENGTH];
    FILTER_ACTIVITIES = &[GetWorkItems], "workItemFilters.activities", [FILTER_COUNT, NAME_LENGTH, VERSION_LENGTH];
    FILTER_ENTITIES = &[GetWorkItems], "workItemFilters.entities", [FILTER_COUNT, NAME_LENGTH];

    /// Looked at only without a token.
    ANSWER_ID = &[CompleteActivityTask, CompleteOrchestratorTask], "instanceId (without completionToken)", [REQUIRED, ID_LENGTH, ID_CONTROL, ID_RESERVED];
    PART_TOKEN = &[CompleteOrchestratorTask], "completionToken (of a part)", [REQUIRED];
    BATCH_TOKEN = &[CompleteEntityTask], "completionToken", [REQUIRED];
    ABANDON_TOKEN = ABANDONING, "completionToken", [REQUIRED];

    ACTIVITY_RESULT = &[CompleteActivityTask], "result", [PAYLOAD_SIZE] => Outcome::Fails("activity");
    TURN_STATUS = &[CompleteOrchestratorTask], "customStatus", [PAYLOAD_SIZE] => FAILS;
    TURN_EVENTS = &[CompleteOrchestratorTask], "numEventsProcessed", [NEGATIVE_EVENTS] => FAILS;
    TURN_ACTION = &[CompleteOrchestratorTask], "actions", [ACTION_COUNT, ACTION_UNKNOWN] => FAILS;
    TASK_NAME = &[CompleteOrchestratorTask], "scheduleTask.name", [NAME_LENGTH] => FAILS;
    TASK_VERSION = &[CompleteOrchestratorTask], "scheduleTask.version", [VERSION_LENGTH] => FAILS;
    TASK_TAGS = &[CompleteOrchestratorTask], "scheduleTask.tags", [TAG_COUNT, TAG_KEY, TAG_VALUE, TAGS_SIZE] => FAILS;
    TASK_INPUT = &[CompleteOrchestratorTask], "scheduleTask.input", [PAYLOAD_SIZE] => FAILS;
    TIMER_AT = &[CompleteOrchestratorTask], "createTimer.fireAt", [NO_FIRE_AT, TIMESTAMP] => FAILS;
    CHILD_NAME = &[CompleteOrchestratorTask], "createSubOrchestration.name", [NAME_LENGTH] => FAILS;
    CHILD_VERSION = &[CompleteOrchestratorTask], "createSubOrchestration.version", [VERSION_LENGTH] => FAILS;
    CHILD_TAGS = &[CompleteOrchestratorTask], "createSubOrchestration.tags", [TAG_COUNT, TAG_KEY, TAG_VALUE, TAGS_SIZE] => FAILS;
    CHILD_INPUT = &[CompleteOrchestratorTask], "createSubOrchestration.input", [PAYLOAD_SIZE] => FAILS;
    SEND_TARGET = &[CompleteOrchestratorTask], "sendEvent.instance", [EVENT_TO_ENTITY] => FAILS;
    SEND_NAME = &[CompleteOrchestratorTask], "sendEvent.name", [NAME_LENGTH] => FAILS;
    SEND_DATA = &[CompleteOrchestratorTask], "sendEvent.data", [PAYLOAD_SIZE] => FAILS;
    END_REASON = &[CompleteOrchestratorTask], "terminateOrchestration.reason", [PAYLOAD_SIZE] => FAILS;
    END_STATUS = &[CompleteOrchestratorTask], "completeOrchestration.orchestrationStatus", [NO_END] => FAILS;
    END_RESULT = &[CompleteOrchestratorTask], "completeOrchestration.result", [PAYLOAD_SIZE] => FAILS;
    END_VERSION = &[CompleteOrchestratorTask], "completeOrchestration.newVersion", [VERSION_LENGTH] => FAILS;
    ENTITY_MESSAGE = &[CompleteOrchestratorTask], "sendEntityMessage", [MESSAGE_UNKNOWN] => FAILS;
    TURN_SIGNAL_NAME = &[CompleteOrchestratorTask], "entityOperationSignaled.operation", [NAME_LENGTH] => FAILS;
    TURN_SIGNAL_INPUT = &[CompleteOrchestratorTask], "entityOperationSignaled.input", [PAYLOAD_SIZE] => FAILS;
    TURN_SIGNAL_AT = &[CompleteOrchestratorTask], "entityOperationSignaled.scheduledTime", [TIMESTAMP] => FAILS;
    CALL_NAME = &[CompleteOrchestratorTask], "entityOperationCalled.operation", [NAME_LENGTH] => FAILS;
    CALL_INPUT = &[CompleteOrchestratorTask], "entityOperationCalled.input", [PAYLOAD_SIZE] => FAILS;
    CALL_AT = &[CompleteOrchestratorTask], "entityOperationCalled.scheduledTime", [TIMESTAMP] => FAILS;
    LOCK_SET = &[CompleteOrchestratorTask], "entityLockRequested.lockSet", [ID_NOT_ENTITY] => FAILS;
    REWIND_ACTION = &[CompleteOrchestratorTask], "rewindOrchestration", [ACTION_UNAVAILABLE] => FAILS;

    BATCH_RESULT = &[CompleteEntityTask], "results.success.result", [PAYLOAD_SIZE, RESULT_UNKNOWN] => Outcome::Fails("operation");
    BATCH_STATE = &[CompleteEntityTask], "entityState", [PAYLOAD_SIZE] => BATCH_FAILS;
    BATCH_ACTION = &[CompleteEntityTask], "actions", [ACTION_COUNT, ACTION_UNKNOWN] => BATCH_FAILS;
    BATCH_SIGNAL_NAME = &[CompleteEntityTask], "sendSignal.name", [NAME_LENGTH] => BATCH_FAILS;
    BATCH_SIGNAL_INPUT = &[CompleteEntityTask], "sendSignal.input", [PAYLOAD_SIZE] => BATCH_FAILS;
    BATCH_SIGNAL_AT = &[CompleteEntityTask], "sendSignal.scheduledTime", [TIMESTAMP] => BATCH_FAILS;
    BATCH_START_NAME = &[CompleteEntityTask], "startNewOrchestration.name", [NAME_LENGTH] => BATCH_FAILS;
    BATCH_START_VERSION = &[CompleteEntityTask], "startNewOrchestration.version", [VERSION_LENGTH] => BATCH_FAILS;
    BATCH_START_INPUT = &[CompleteEntityTask], "startNewOrchestration.input", [PAYLOAD_SIZE] => BATCH_FAILS;
    BATCH_START_AT = &[CompleteEntityTask], "startNewOrchestration.scheduledTime", [TIMESTAMP] => BATCH_FAILS;

    ENTITY_ID = &[SignalEntity, GetEntity], "instanceId", [REQUIRED, ID_NOT_ENTITY, ID_LENGTH, ID_CONTROL];
    SIGNAL_NAME = &[SignalEntity], "name", [REQUIRED, NAME_LENGTH];
    SIGNAL_INPUT = &[SignalEntity], "input", [PAYLOAD_SIZE];
    SIGNAL_REQUEST = &[SignalEntity], "requestId", [TEXT_LENGTH];
    SIGNAL_AT = &[SignalEntity], "scheduledTime", [TIMESTAMP];
    SIGNAL_REQUESTED = &[SignalEntity], "requestTime", [TIMESTAMP];

    ENTITIES = &[QueryEntities], "query", [REQUIRED];
    ENTITIES_PREFIX = &[QueryEntities], "query.instanceIdStartsWith", [TEXT_LENGTH];
    ENTITIES_FROM = &[QueryEntities], "query.lastModifiedFrom", [TIMESTAMP, SPAN];
    ENTITIES_TO = &[QueryEntities], "query.lastModifiedTo", [TIMESTAMP];
    ENTITIES_TOKEN = &[QueryEntities], "query.continuationToken", [PAGE_TOKEN];
    CLEAN_TOKEN = &[CleanEntityStorage], "continuationToken", [PAGE_TOKEN];

    HUB_MANAGEMENT = &[CreateTaskHub, DeleteTaskHub], "(server)", [HUB_CHANGES];
    HUB_LIMIT = &[CreateTaskHub], "(server)", [HUB_COUNT];
}
