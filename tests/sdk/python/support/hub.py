"""A task hub as a scenario sees it: the official client and workers, and raw calls where the SDK looks away."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterable
from typing import Any

import grpc
from durabletask.azuremanaged.client import DurableTaskSchedulerClient
from durabletask.azuremanaged.worker import DurableTaskSchedulerWorker
from durabletask.client import OrchestrationState, OrchestrationStatus
from durabletask.grpc_options import GrpcChannelOptions, GrpcWorkerResiliencyOptions
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as stubs
from durabletask.worker import VersioningOptions, WorkItemFilters

from support import raw
from support.waiting import DEADLINE_S, eventually

TASK_HUB = "default"


def quick_reconnect() -> dict[str, Any]:
    """Worker options for scenarios in which the server goes away."""
    return {
        "channel_options": GrpcChannelOptions(raw_options=[
            ("grpc.use_local_subchannel_pool", 1), *raw.QUICK_RECONNECT]),
        "resiliency_options": GrpcWorkerResiliencyOptions(
            reconnect_backoff_base_seconds=0.05, reconnect_backoff_cap_seconds=0.2, hello_timeout_seconds=2.0),
    }


class Hub:
    """The hub `default` of one server. Everything opened through it is closed by `close`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.client = DurableTaskSchedulerClient(
            host_address=address, secure_channel=False, taskhub=TASK_HUB, token_credential=None,
            channel_options=GrpcChannelOptions(raw_options=list(raw.QUICK_RECONNECT)))
        self._channel = raw.open_channel(address)
        self.stub = stubs.TaskHubSidecarServiceStub(self._channel)
        self._workers: list[DurableTaskSchedulerWorker] = []
        self._raw_workers: list[raw.RawWorker] = []

    def close(self) -> None:
        for raw_worker in self._raw_workers:
            raw_worker.close()
        for worker in self._workers:
            worker.stop()
        self.client.close()
        self._channel.close()

    # Workers.

    def new_worker(self, *, orchestrators: Iterable[Any] = (), activities: Iterable[Any] = (),
                   versioning: VersioningOptions | None = None,
                   filters: WorkItemFilters | str | None = None, **options: Any) -> DurableTaskSchedulerWorker:
        """A worker, not started. `filters="auto"` derives them from what is registered; None receives everything."""
        worker = DurableTaskSchedulerWorker(
            host_address=self.address, secure_channel=False, taskhub=TASK_HUB, token_credential=None,
            logger=logging.getLogger("scenario.worker"), **options)
        for orchestrator in orchestrators:
            worker.add_orchestrator(orchestrator)
        for activity in activities:
            worker.add_activity(activity)
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
             metadata: Iterable[tuple[str, str]] = raw.HUB) -> Any:
        """One unary call of the sidecar service."""
        return getattr(self.stub, rpc)(request, timeout=timeout, metadata=tuple(metadata))

    def refused(self, rpc: str, request: Any, code: grpc.StatusCode) -> str:
        """Makes a call that must be refused with this code; returns the detail."""
        try:
            answer = self.call(rpc, request)
        except grpc.RpcError as error:
            actual, detail = error.code(), error.details()  # type: ignore[attr-defined]
            assert actual == code, f"{rpc} was refused with {actual}: {detail}"
            return detail or ""
        raise AssertionError(f"{rpc} was accepted: {answer}")

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
            pb.StreamInstanceHistoryRequest(instanceId=instance_id), timeout=DEADLINE_S, metadata=raw.HUB)
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
