"""The wire protocol without an SDK in between: for what no SDK sends, hides or forgets to look at."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as stubs
from google.protobuf import timestamp_pb2, wrappers_pb2

from support.waiting import DEADLINE_S

HUB = (("taskhub", "default"),)

# For scenarios in which the server goes away: gRPC would otherwise wait up to two minutes before it tries again.
# The misnamed minimum is how long one attempt may take.
QUICK_RECONNECT = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200),
                   ("grpc.min_reconnect_backoff_ms", 5000)]

COMPLETED = pb.ORCHESTRATION_STATUS_COMPLETED
CONTINUED_AS_NEW = pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW
FAILED = pb.ORCHESTRATION_STATUS_FAILED
PENDING = pb.ORCHESTRATION_STATUS_PENDING
RUNNING = pb.ORCHESTRATION_STATUS_RUNNING
SUSPENDED = pb.ORCHESTRATION_STATUS_SUSPENDED
TERMINATED = pb.ORCHESTRATION_STATUS_TERMINATED


def text(value: str | None) -> wrappers_pb2.StringValue | None:
    """An optional string as the wire carries it: absent and "" are different."""
    return None if value is None else wrappers_pb2.StringValue(value=value)


def number(value: int) -> wrappers_pb2.Int32Value:
    """An optional number as the wire carries it."""
    return wrappers_pb2.Int32Value(value=value)


def guid() -> str:
    """A fresh request or critical section id."""
    return str(uuid.uuid4())


def timestamp(seconds: float) -> timestamp_pb2.Timestamp:
    """A point in time, from seconds since the epoch."""
    whole = int(seconds // 1)
    return timestamp_pb2.Timestamp(seconds=whole, nanos=int((seconds - whole) * 1e9))


def open_channel(address: str) -> grpc.Channel:
    """A connection of its own; by default gRPC would share one between equal channels."""
    return grpc.insecure_channel(address, options=[
        ("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1), *QUICK_RECONNECT])


# Actions, as an orchestrator turn answers them.

def schedule_task(id: int, name: str, input: str | None = None, **fields: Any) -> pb.OrchestratorAction:
    return pb.OrchestratorAction(id=id, scheduleTask=pb.ScheduleTaskAction(name=name, input=text(input), **fields))


def create_timer(id: int, fire_at: float) -> pb.OrchestratorAction:
    return pb.OrchestratorAction(id=id, createTimer=pb.CreateTimerAction(fireAt=timestamp(fire_at)))


def create_child(id: int, name: str, instance_id: str = "", **fields: Any) -> pb.OrchestratorAction:
    return pb.OrchestratorAction(id=id, createSubOrchestration=pb.CreateSubOrchestrationAction(
        name=name, instanceId=instance_id, **fields))


def complete(id: int, result: str | None = None, status: int = COMPLETED, **fields: Any) -> pb.OrchestratorAction:
    return pb.OrchestratorAction(id=id, completeOrchestration=pb.CompleteOrchestrationAction(
        orchestrationStatus=status, result=text(result), **fields))


def continue_as_new(id: int, input: str | None = None, **fields: Any) -> pb.OrchestratorAction:
    return complete(id, input, CONTINUED_AS_NEW, **fields)


def _entity_message(id: int, **message: Any) -> pb.OrchestratorAction:
    return pb.OrchestratorAction(id=id, sendEntityMessage=pb.SendEntityMessageAction(**message))


def signal_entity(id: int, entity_id: str, operation: str, input: str | None = None,
                  **fields: Any) -> pb.OrchestratorAction:
    return _entity_message(id, entityOperationSignaled=pb.EntityOperationSignaledEvent(
        requestId=guid(), operation=operation, input=text(input), targetInstanceId=text(entity_id), **fields))


def call_entity(id: int, entity_id: str, operation: str, input: str | None = None,
                **fields: Any) -> pb.OrchestratorAction:
    fields.setdefault("requestId", guid())
    return _entity_message(id, entityOperationCalled=pb.EntityOperationCalledEvent(
        operation=operation, input=text(input), targetInstanceId=text(entity_id), **fields))


def lock_entities(id: int, section: str, *entity_ids: str) -> pb.OrchestratorAction:
    return _entity_message(id, entityLockRequested=pb.EntityLockRequestedEvent(
        criticalSectionId=section, lockSet=entity_ids, position=0))


def unlock_entity(id: int, section: str, entity_id: str) -> pb.OrchestratorAction:
    return _entity_message(id, entityUnlockSent=pb.EntityUnlockSentEvent(
        criticalSectionId=section, targetInstanceId=text(entity_id)))


# Results, as an entity batch answers them.

def success(result: str | None = None) -> pb.OperationResult:
    return pb.OperationResult(success=pb.OperationResultSuccess(result=text(result)))


def failure(message: str, **fields: Any) -> pb.OperationResult:
    return pb.OperationResult(failure=pb.OperationResultFailure(failureDetails=pb.TaskFailureDetails(
        errorType="OperationError", errorMessage=message, **fields)))


def send_signal(entity_id: str, operation: str, input: str | None = None, **fields: Any) -> pb.OperationAction:
    return pb.OperationAction(sendSignal=pb.SendSignalAction(
        instanceId=entity_id, name=operation, input=text(input), **fields))


def start_orchestration(name: str, instance_id: str, input: str | None = None, **fields: Any) -> pb.OperationAction:
    return pb.OperationAction(startNewOrchestration=pb.StartNewOrchestrationAction(
        name=name, instanceId=instance_id, input=text(input), **fields))


def kinds(events: Iterable[pb.HistoryEvent]) -> list[str]:
    """The type of each event, as named on the wire."""
    return [event.WhichOneof("eventType") for event in events]


@dataclass
class Turn:
    """One delivery of an orchestration to a worker."""

    request: pb.OrchestratorRequest
    token: str

    def new(self) -> list[str]:
        return kinds(self.request.newEvents)

    def past(self) -> list[str]:
        return kinds(self.request.pastEvents)

    def started(self) -> pb.ExecutionStartedEvent:
        for event in [*self.request.pastEvents, *self.request.newEvents]:
            if event.HasField("executionStarted"):
                return event.executionStarted
        raise AssertionError(f"no ExecutionStarted in {self.past()} + {self.new()}")

    def answers(self) -> list[tuple[str, str]]:
        """What entities said to calls: ("completed", output) or ("failed", message)."""
        return [("completed", event.entityOperationCompleted.output.value)
                if event.HasField("entityOperationCompleted")
                else ("failed", event.entityOperationFailed.failureDetails.errorMessage)
                for event in self.request.newEvents
                if event.WhichOneof("eventType") in ("entityOperationCompleted", "entityOperationFailed")]

    def raised(self) -> list[tuple[str, str]]:
        return [(event.eventRaised.name, event.eventRaised.input.value)
                for event in self.request.newEvents if event.HasField("eventRaised")]


@dataclass
class Activity:
    """One delivery of an activity to a worker."""

    request: pb.ActivityRequest
    token: str

    @property
    def instance_id(self) -> str:
        return self.request.orchestrationInstance.instanceId


@dataclass
class Batch:
    """One delivery of an entity's operations to a worker."""

    request: pb.EntityRequest
    token: str

    @property
    def state(self) -> str | None:
        """The state the operations find; None if there is none, which is not ""."""
        return self.request.entityState.value if self.request.HasField("entityState") else None

    def messages(self) -> list[pb.EntityOperationSignaledEvent | pb.EntityOperationCalledEvent]:
        return [getattr(event, event.WhichOneof("eventType")) for event in self.request.operationRequests]

    def operations(self) -> list[tuple[str, str]]:
        """Names and inputs."""
        return [(message.operation, message.input.value) for message in self.messages()]


class RawWorker:
    """A work item stream of our own. Filtered to the given names, unless `filters` says otherwise.

    Items are read as they come and handed out by instance, so that leftovers of other scenarios do no harm.
    """

    def __init__(self, address: str, *, orchestrations: Iterable[str] = (), activities: Iterable[str] = (),
                 entities: Iterable[str] = (), filtered: bool = True,
                 metadata: Iterable[tuple[str, str]] | None = None, **limits: Any) -> None:
        self._channel = open_channel(address)
        self._stub = stubs.TaskHubSidecarServiceStub(self._channel)
        self._metadata = tuple(metadata) if metadata is not None else (
            *HUB, ("workerid", f"raw,{uuid.uuid4().hex}"))
        request = pb.GetWorkItemsRequest(**limits)
        if filtered:
            request.workItemFilters.SetInParent()
            for name in orchestrations:
                request.workItemFilters.orchestrations.add(name=name)
            for name in activities:
                request.workItemFilters.activities.add(name=name)
            for name in entities:
                request.workItemFilters.entities.add(name=name)
        self._arrived = threading.Condition()
        self._turns: list[Turn] = []
        self._activities: list[Activity] = []
        self._batches: list[Batch] = []
        self.pings = 0
        self.unexpected: list[str] = []
        self.ended: grpc.RpcError | str | None = None
        self.stream = self._stub.GetWorkItems(request, metadata=self._metadata)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        ended: grpc.RpcError | str = "ended with OK"
        try:
            for item in self.stream:
                with self._arrived:
                    if item.HasField("orchestratorRequest"):
                        self._turns.append(Turn(item.orchestratorRequest, item.completionToken))
                    elif item.HasField("activityRequest"):
                        self._activities.append(Activity(item.activityRequest, item.completionToken))
                    elif item.HasField("entityRequestV2"):
                        self._batches.append(Batch(item.entityRequestV2, item.completionToken))
                    elif item.HasField("healthPing"):
                        self.pings += 1
                    else:
                        self.unexpected.append(item.WhichOneof("request"))
                    self._arrived.notify_all()
        except grpc.RpcError as error:
            ended = error
        with self._arrived:
            self.ended = ended
            self._arrived.notify_all()

    def _await(self, take: Any, what: str, within: float) -> Any:
        deadline = time.monotonic() + within
        with self._arrived:
            while (found := take()) is None:
                assert self.ended is None, f"stream ended while waiting for {what}: {self.ended}"
                remaining = deadline - time.monotonic()
                assert remaining > 0, f"{what} was not delivered within {within:g} s"
                self._arrived.wait(remaining)
            return found

    def turn(self, instance_id: str, within: float = DEADLINE_S) -> Turn:
        """The next delivery of this orchestration."""
        def take() -> Turn | None:
            for index, turn in enumerate(self._turns):
                if turn.request.instanceId == instance_id:
                    return self._turns.pop(index)
            return None
        return self._await(take, f"a turn of {instance_id}", within)

    def waiting_turn(self, instance_id: str) -> Turn | None:
        """A delivery of this orchestration, if one has already come."""
        with self._arrived:
            for index, turn in enumerate(self._turns):
                if turn.request.instanceId == instance_id:
                    return self._turns.pop(index)
            return None

    def activity(self, instance_id: str, within: float = DEADLINE_S) -> Activity:
        """The next delivered activity of this orchestration."""
        def take() -> Activity | None:
            for index, activity in enumerate(self._activities):
                if activity.instance_id == instance_id:
                    return self._activities.pop(index)
            return None
        return self._await(take, f"an activity of {instance_id}", within)

    def batch(self, entity_id: str, within: float = DEADLINE_S) -> Batch:
        """The next delivery of this entity's operations."""
        def take() -> Batch | None:
            for index, batch in enumerate(self._batches):
                if batch.request.instanceId == entity_id:
                    return self._batches.pop(index)
            return None
        return self._await(take, f"a batch of {entity_id}", within)

    def wait_for_ping(self, count: int = 1, within: float = DEADLINE_S) -> None:
        self._await(lambda: True if self.pings >= count else None, f"ping {count}", within)

    def wait_for_end(self, within: float = DEADLINE_S) -> grpc.RpcError | str:
        """How the server ended the stream."""
        deadline = time.monotonic() + within
        with self._arrived:
            while self.ended is None:
                remaining = deadline - time.monotonic()
                assert remaining > 0, f"the stream did not end within {within:g} s"
                self._arrived.wait(remaining)
            return self.ended

    def outstanding_activities(self) -> int:
        """Activities delivered and not yet taken by `activity`."""
        with self._arrived:
            return len(self._activities)

    def outstanding_batches(self) -> int:
        """Entity batches delivered and not yet taken by `batch` or `batches`."""
        with self._arrived:
            return len(self._batches)

    def batches(self) -> list[Batch]:
        """Takes all delivered entity batches."""
        with self._arrived:
            taken, self._batches = self._batches, []
            return taken

    def answer(self, turn: Turn, *actions: pb.OrchestratorAction, token: str | None = None, **fields: Any) -> None:
        """Completes a turn with these actions."""
        self._stub.CompleteOrchestratorTask(pb.OrchestratorResponse(
            instanceId=turn.request.instanceId, actions=actions,
            completionToken=turn.token if token is None else token, **fields),
            timeout=DEADLINE_S, metadata=self._metadata)

    def finish(self, activity: Activity, result: str | None = None, *, token: str | None = None,
               **fields: Any) -> None:
        """Completes an activity."""
        self._stub.CompleteActivityTask(pb.ActivityResponse(
            instanceId=activity.instance_id, taskId=activity.request.taskId, result=text(result),
            completionToken=activity.token if token is None else token, **fields),
            timeout=DEADLINE_S, metadata=self._metadata)

    def commit(self, batch: Batch, *results: pb.OperationResult, state: str | None = None, token: str | None = None,
               **fields: Any) -> None:
        """Completes a batch with these results and this state; no state deletes the entity."""
        self._stub.CompleteEntityTask(pb.EntityBatchResult(
            results=results, entityState=text(state),
            completionToken=batch.token if token is None else token, **fields),
            timeout=DEADLINE_S, metadata=self._metadata)

    def abandon(self, item: Turn | Activity | Batch) -> None:
        """Gives an item back."""
        if isinstance(item, Batch):
            self._stub.AbandonTaskEntityWorkItem(
                pb.AbandonEntityTaskRequest(completionToken=item.token),
                timeout=DEADLINE_S, metadata=self._metadata)
        elif isinstance(item, Turn):
            self._stub.AbandonTaskOrchestratorWorkItem(
                pb.AbandonOrchestrationTaskRequest(completionToken=item.token),
                timeout=DEADLINE_S, metadata=self._metadata)
        else:
            self._stub.AbandonTaskActivityWorkItem(
                pb.AbandonActivityTaskRequest(completionToken=item.token),
                timeout=DEADLINE_S, metadata=self._metadata)

    def work_item_history(self, turn: Turn) -> list[pb.HistoryEvent]:
        """The past events of a turn that were too large to come with it."""
        chunks = self._stub.StreamInstanceHistory(pb.StreamInstanceHistoryRequest(
            instanceId=turn.request.instanceId, executionId=turn.request.executionId, forWorkItemProcessing=True),
            timeout=DEADLINE_S, metadata=self._metadata)
        return [event for chunk in chunks for event in chunk.events]

    def close(self) -> None:
        """Drops the stream and its connection."""
        self.stream.cancel()
        self._channel.close()
        self._reader.join(5.0)

    def __enter__(self) -> "RawWorker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
