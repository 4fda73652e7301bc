"""A task hub as a scenario sees it: the official client and workers, and raw calls where the SDK looks away."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
from durabletask.azuremanaged.client import DurableTaskSchedulerClient
from durabletask.azuremanaged.worker import DurableTaskSchedulerWorker
from durabletask.client import OrchestrationState, OrchestrationStatus
from durabletask.entities import EntityInstanceId
from durabletask.grpc_options import GrpcChannelOptions, GrpcWorkerResiliencyOptions
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as stubs
from durabletask.worker import VersioningOptions, WorkItemFilters

from support import raw
from support.waiting import DEADLINE_S, eventually

TASK_HUB = "default"

F = TypeVar("F", bound=Callable[..., Any])


class Program:
    """What the worker runs that the scenarios of a file share; functions enter themselves with the decorators."""

    def __init__(self) -> None:
        self.orchestrators: list[Any] = []
        self.activities: list[Any] = []
        self.entities: list[Any] = []

    def orchestrator(self, function: F) -> F:
        self.orchestrators.append(function)
        return function

    def activity(self, function: F) -> F:
        self.activities.append(function)
        return function

    def entity(self, function: F) -> F:
        self.entities.append(function)
        return function


def quick_reconnect() -> dict[str, Any]:
    """Worker options for scenarios in which the server goes away."""
    return {
        "channel_options": GrpcChannelOptions(raw_options=[
            ("grpc.use_local_subchannel_pool", 1), *raw.QUICK_RECONNECT]),
        "resiliency_options": GrpcWorkerResiliencyOptions(
            reconnect_backoff_base_seconds=0.05, reconnect_backoff_cap_seconds=0.2, hello_timeout_seconds=2.0),
    }


class Hub:
    """A hub of one server. Everything opened through it is closed by `close`."""

    def __init__(self, address: str, name: str = TASK_HUB) -> None:
        self.address = address
        self.name = name
        self.metadata = (("taskhub", name),)
        self.client = DurableTaskSchedulerClient(
            host_address=address, secure_channel=False, taskhub=name, token_credential=None,
            channel_options=GrpcChannelOptions(raw_options=list(raw.QUICK_RECONNECT)))
        self._channel = raw.open_channel(address)
        self.stub = stubs.TaskHubSidecarServiceStub(self._channel)
        self._workers: list[DurableTaskSchedulerWorker] = []
        self._raw_workers: list[raw.RawWorker] = []

    def close(self) -> None:
        for raw_worker in self._raw_workers:
            raw_worker.close()
        # Each takes up to a second to notice that it was stopped.
        with ThreadPoolExecutor(max_workers=len(self._workers) or 1) as stopping:
            list(stopping.map(DurableTaskSchedulerWorker.stop, self._workers))
        self.client.close()
        self._channel.close()

    # Workers.

    def new_worker(self, *, orchestrators: Iterable[Any] = (), activities: Iterable[Any] = (),
                   entities: Iterable[Any] = (), versioning: VersioningOptions | None = None,
                   filters: WorkItemFilters | str | None = None, **options: Any) -> DurableTaskSchedulerWorker:
        """A worker, not started. `filters="auto"` derives them from what is registered; None receives everything."""
        worker = DurableTaskSchedulerWorker(
            host_address=self.address, secure_channel=False, taskhub=self.name, token_credential=None,
            logger=logging.getLogger("scenario.worker"), **options)
        for orchestrator in orchestrators:
            worker.add_orchestrator(orchestrator)
        for activity in activities:
            worker.add_activity(activity)
        for entity in entities:
            worker.add_entity(entity)
        if versioning is not None:
            worker.use_versioning(versioning)
        if filters == "auto":
            worker.use_work_item_filters()
        elif filters is not None:
            worker.use_work_item_filters(filters)  # type: ignore[arg-type]
        self._workers.append(worker)
        return worker

    def worker(self, **options: Any) -> DurableTaskSchedulerWorker:
        """A started worker; see `new_worker`."""
        worker = self.new_worker(**options)
        worker.start()
        return worker

    def raw_worker(self, **options: Any) -> raw.RawWorker:
        """A work item stream without an SDK; see `RawWorker`."""
        options.setdefault("metadata", (*self.metadata, ("workerid", f"raw,{uuid.uuid4().hex}")))
        worker = raw.RawWorker(self.address, **options)
        self._raw_workers.append(worker)
        return worker

    # Instances.

    def unique(self, name: str) -> str:
        """A name or id no other scenario uses."""
        return f"{name}-{uuid.uuid4().hex[:12]}"

    def start(self, name: str, *, instance_id: str | None = None, input: str | None = None,
              version: str | None = None, policy: Iterable[int] | None = None, **fields: Any) -> str:
        """StartInstance as it is on the wire; `policy` lists the replaceable statuses, None sends no policy."""
        request = pb.CreateInstanceRequest(
            instanceId=self.unique(name) if instance_id is None else instance_id, name=name,
            input=raw.text(input), version=raw.text(version), **fields)
        if policy is not None:
            request.orchestrationIdReusePolicy.SetInParent()
            request.orchestrationIdReusePolicy.replaceableStatus.extend(policy)
        return self.call("StartInstance", request).instanceId

    def call(self, rpc: str, request: Any, *, timeout: float = DEADLINE_S,
             metadata: Iterable[tuple[str, str]] | None = None) -> Any:
        """One unary call of the sidecar service."""
        return getattr(self.stub, rpc)(
            request, timeout=timeout, metadata=self.metadata if metadata is None else tuple(metadata))

    def calls(self, rpc: str, requests: Iterable[Any]) -> list[Any]:
        """Makes these calls at the same time; returns the answers in their order."""
        under_way = [getattr(self.stub, rpc).future(request, timeout=DEADLINE_S, metadata=self.metadata)
                     for request in requests]
        return [call.result() for call in under_way]

    def refused(self, rpc: str, request: Any, code: grpc.StatusCode) -> str:
        """Makes a call that must be refused with this code; returns the detail."""
        try:
            answer = self.call(rpc, request)
        except grpc.RpcError as error:
            actual, detail = error.code(), error.details()  # type: ignore[attr-defined]
            assert actual == code, f"{rpc} was refused with {actual}: {detail}"
            return detail or ""
        raise AssertionError(f"{rpc} was accepted: {str(answer)[:300]}")

    def raise_event(self, instance_id: str, name: str, input: str | None = None) -> None:
        self.call("RaiseEvent", pb.RaiseEventRequest(instanceId=instance_id, name=name, input=raw.text(input)))

    def terminate(self, instance_id: str, output: str | None = None, *, recursive: bool = False) -> None:
        self.call("TerminateInstance", pb.TerminateRequest(
            instanceId=instance_id, output=raw.text(output), recursive=recursive))

    def state(self, instance_id: str, *, payloads: bool = True) -> pb.OrchestrationState | None:
        """The stored state, with absent and empty fields told apart; None if there is no such instance."""
        answer = self.call("GetInstance", pb.GetInstanceRequest(
            instanceId=instance_id, getInputsAndOutputs=payloads))
        return answer.orchestrationState if answer.exists else None

    def status(self, instance_id: str) -> int | None:
        state = self.state(instance_id)
        return None if state is None else state.orchestrationStatus

    def reaches(self, instance_id: str, status: int) -> pb.OrchestrationState:
        """Waits until the instance has this status."""
        eventually(lambda: self.status(instance_id) == status,
                   what=f"{instance_id} in {pb.OrchestrationStatus.Name(status)}")
        state = self.state(instance_id)
        assert state is not None
        return state

    def history(self, instance_id: str) -> list[pb.HistoryEvent]:
        """The committed history."""
        chunks = self.stub.StreamInstanceHistory(
            pb.StreamInstanceHistoryRequest(instanceId=instance_id), timeout=DEADLINE_S,
            metadata=self.metadata)
        return [event for chunk in chunks for event in chunk.events]

    def ended(self, instance_id: str, within: float = DEADLINE_S) -> OrchestrationState:
        """Waits, through the SDK, for any terminal status."""
        state = self.client.wait_for_orchestration_completion(instance_id, timeout=within)
        assert state is not None
        return state

    def completed(self, instance_id: str, within: float = DEADLINE_S) -> Any:
        """Waits for COMPLETED and returns the output."""
        state = self.ended(instance_id, within)
        assert state.runtime_status == OrchestrationStatus.COMPLETED, (
            f"{state.runtime_status.name}: {state.failure_details}")
        return None if state.serialized_output is None else json.loads(state.serialized_output)

    def run(self, orchestrator: Any, input: Any = None, **options: Any) -> Any:
        """Starts an orchestration through the SDK and returns its output."""
        return self.completed(self.client.schedule_new_orchestration(orchestrator, input=input, **options))

    # Entities.

    def signal(self, entity_id: EntityInstanceId | str, operation: str, input: str | None = None,
               **fields: Any) -> None:
        """SignalEntity as it is on the wire."""
        self.call("SignalEntity", pb.SignalEntityRequest(
            instanceId=str(entity_id), name=operation, input=raw.text(input), **fields))

    def entity(self, entity_id: EntityInstanceId | str, *, state: bool = True) -> pb.EntityMetadata | None:
        """What the server tells of an entity; None if it does not exist."""
        answer = self.call("GetEntity", pb.GetEntityRequest(instanceId=str(entity_id), includeState=state))
        return answer.entity if answer.exists else None

    def entities(self, prefix: str, **query: Any) -> list[pb.EntityMetadata]:
        """The first page of the entities whose ids begin like this."""
        return list(self.call("QueryEntities", pb.QueryEntitiesRequest(query=pb.EntityQuery(
            instanceIdStartsWith=raw.text(prefix), **query))).entities)

    def holds(self, entity_id: EntityInstanceId | str, value: Any) -> pb.EntityMetadata:
        """Waits until the entity's state is this value, as JSON."""
        seen: list[pb.EntityMetadata | None] = []

        def is_there() -> bool:
            seen[:] = [self.entity(entity_id)]
            try:
                return seen[0] is not None and json.loads(seen[0].serializedState.value) == value
            except json.JSONDecodeError:
                return False
        eventually(is_there, what=lambda: f"{entity_id} holding {value!r}, not {seen},")
        assert seen[0] is not None
        return seen[0]

    def is_gone(self, entity_id: EntityInstanceId | str) -> None:
        """Waits until the entity does not exist."""
        eventually(lambda: self.entity(entity_id) is None, what=f"the end of {entity_id}")

    def is_unlocked(self, entity_id: EntityInstanceId | str) -> None:
        """Waits until nobody holds the lock of the entity, which exists."""
        eventually(lambda: (metadata := self.entity(entity_id)) is not None and not metadata.HasField("lockedBy"),
                   what=f"{entity_id} unlocked")

    # Management.

    def purge(self, instance_id: str = "", **fields: Any) -> pb.PurgeInstancesResponse:
        """PurgeInstances as it is on the wire: of one id, or as `fields` say."""
        request = pb.PurgeInstancesRequest(**fields)
        if instance_id:
            request.instanceId = instance_id
        return self.call("PurgeInstances", request)

    def restart(self, instance_id: str, *, new_id: bool = False) -> str:
        """RestartInstance as it is on the wire; returns the id."""
        return self.call("RestartInstance", pb.RestartInstanceRequest(
            instanceId=instance_id, restartWithNewInstanceId=new_id)).instanceId

    def rewind(self, instance_id: str, reason: str | None = None) -> None:
        """RewindInstance as it is on the wire."""
        self.call("RewindInstance", pb.RewindInstanceRequest(instanceId=instance_id, reason=raw.text(reason)))

    def suspend(self, instance_id: str) -> None:
        self.call("SuspendInstance", pb.SuspendRequest(instanceId=instance_id))

    def resume(self, instance_id: str) -> None:
        self.call("ResumeInstance", pb.ResumeRequest(instanceId=instance_id))

    def query(self, **query: Any) -> list[str]:
        """The ids QueryInstances answers with, over all pages."""
        return [state.instanceId for page in self.pages("QueryInstances", **query) for state in page]

    def pages(self, rpc: str, sizes: Iterable[int] = (), **query: Any) -> list[list[Any]]:
        """All pages of QueryInstances, QueryEntities or ListInstanceIds.

        The first pages are asked for with these `sizes`, further ones with the last of them.
        """
        pages: list[list[Any]] = []
        sizes, size, token = iter(sizes), 0, None
        tokens: set[str] = set()
        while True:
            size = next(sizes, size)
            page, token = self.page(rpc, size, token, **query)
            pages.append(page)
            if token is None:
                return pages
            assert page, "an empty page says there is more"
            assert token not in tokens, "the pages go round in circles"
            tokens.add(token)

    def page(self, rpc: str, size: int = 0, token: str | None = None, **query: Any) -> tuple[list[Any], str | None]:
        """One page of QueryInstances, QueryEntities or ListInstanceIds, and the token of the next one, if any."""
        if rpc == "ListInstanceIds":
            answer = self.call(rpc, pb.ListInstanceIdsRequest(
                pageSize=size, lastInstanceKey=raw.text(token), **query))
            items, following = list(answer.instanceIds), answer.lastInstanceKey
            more = answer.HasField("lastInstanceKey")
        elif rpc == "QueryEntities":
            answer = self.call(rpc, pb.QueryEntitiesRequest(query=pb.EntityQuery(
                pageSize=raw.number(size) if size else None, continuationToken=raw.text(token), **query)))
            items, following = list(answer.entities), answer.continuationToken
            more = answer.HasField("continuationToken")
        else:
            answer = self.call(rpc, pb.QueryInstancesRequest(query=pb.InstanceQuery(
                maxInstanceCount=size, continuationToken=raw.text(token), **query)))
            items, following = list(answer.orchestrationState), answer.continuationToken
            more = answer.HasField("continuationToken")
        return items, following.value if more else None
