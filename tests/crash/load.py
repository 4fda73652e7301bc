"""The client side of the crash loop: drivers that each run one orchestration after another, come what may.

What the server acknowledged, and what it neither acknowledged nor refused, goes to a ledger the checks rely on.
"""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb

from ledger import Ledger
from support import raw

CALL_WITHIN_S = 10.0
WAIT_AT_MOST_S = 5.0

# What says nothing about whether the request took effect: the server was gone, or went.
AMBIGUOUS = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED,
             grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}


class Load:
    """Drivers, the requests they have in flight, and the violations they ran into."""

    def __init__(self, address: str, ledger: Ledger, seed: int, drivers: int) -> None:
        self._channel = raw.open_channel(address)
        self._stub = raw.stubs.TaskHubSidecarServiceStub(self._channel)
        self._ledger = ledger
        self._prefix = f"s{seed}"
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._writes_in_flight = 0
        self._started = 0
        self.unfinished: set[str] = set()
        self.refusals: list[str] = []
        self._threads = [threading.Thread(target=self._drive, args=(random.Random(f"{seed}/{number}"), number),
                                          daemon=True) for number in range(drivers)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def writes_in_flight(self) -> int:
        """Requests sent that change something and are not yet answered."""
        with self._lock:
            return self._writes_in_flight

    def started(self) -> int:
        with self._lock:
            return self._started

    def finish(self, within: float) -> bool:
        """Lets every driver end what it is at; false if some did not within this time."""
        self._stopping.set()
        deadline = time.monotonic() + within
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        self._stopping.set()
        self._channel.close()

    # One driver.

    def _drive(self, rng: random.Random, number: int) -> None:
        turn = 0
        while not self._stopping.is_set():
            turn += 1
            name = f"{self._prefix}-{number}-{turn}"
            shape, given = _choose(rng)
            try:
                if shape.endswith("collector"):
                    self._collect(rng, name, shape, given)
                else:
                    self._run(name, shape, given)
            except Exception as failure:  # a driver must not die unnoticed
                self._refused(f"driver {number}", repr(failure))
                return

    def _run(self, instance_id: str, shape: str, given: Any) -> None:
        self._start(instance_id, shape, given)
        self._await(instance_id)

    def _collect(self, rng: random.Random, instance_id: str, shape: str, given: Any) -> None:
        self._start(instance_id, shape, given)
        for number in range(rng.randrange(5, 30)):
            self._raise(instance_id, f"{instance_id}/{number}")
            # Spread over several crashes, some of them while the collector is idle.
            self._stopping.wait(rng.choice([0.0, 0.0, 0.01, 0.2]))
        relayed = [f"{instance_id}/r{number}" for number in range(6)]
        self._run(f"{instance_id}.relay", "relay",
                  {"to": instance_id, "before": relayed[:3], "after": relayed[3:]})
        self._await(instance_id)

    # Requests.

    def _start(self, instance_id: str, shape: str, given: Any) -> None:
        """Starts it, asking again until there is an answer: one execution id makes all attempts one start."""
        with self._lock:
            self.unfinished.add(instance_id)
            self._started += 1
        execution_id = uuid.uuid4().hex
        request = pb.CreateInstanceRequest(instanceId=instance_id, name=shape, input=raw.text(json.dumps(given)),
                                           executionId=raw.text(execution_id))
        self._insist(lambda: self._write(self._stub.StartInstance, request), f"start of {instance_id}")
        self._ledger.append(kind="started", instance=instance_id, shape=shape, given=given, execution=execution_id)

    def _raise(self, instance_id: str, event: str) -> None:
        """Raises an event once; without an answer nobody knows whether it was, and nobody asks again."""
        request = pb.RaiseEventRequest(instanceId=instance_id, name="add", input=raw.text(json.dumps(event)))
        try:
            self._write(self._stub.RaiseEvent, request)
            outcome = "acknowledged"
        except grpc.RpcError as error:
            outcome = "unknown"
            if error.code() not in AMBIGUOUS:  # type: ignore[attr-defined]
                outcome = "refused"
                self._refused(f"event {event}", error)
        self._ledger.append(kind="event", instance=instance_id, event=event, outcome=outcome)

    def _await(self, instance_id: str) -> None:
        """Waits for a terminal status, through any number of restarts."""
        request = pb.GetInstanceRequest(instanceId=instance_id)
        while True:
            try:
                answer = self._stub.WaitForInstanceCompletion(request, timeout=WAIT_AT_MOST_S, metadata=raw.HUB)
                break
            except grpc.RpcError as error:
                if error.code() not in AMBIGUOUS:  # type: ignore[attr-defined]
                    self._refused(f"waiting for {instance_id}", error)
                    return
                time.sleep(0.05)
        if not answer.exists:
            self._refused(f"waiting for {instance_id}", "it does not exist")
            return
        with self._lock:
            self.unfinished.discard(instance_id)

    def _insist(self, call: Callable[[], Any], what: str) -> None:
        while True:
            try:
                call()
                return
            except grpc.RpcError as error:
                if error.code() not in AMBIGUOUS:  # type: ignore[attr-defined]
                    self._refused(what, error)
                    return
                time.sleep(0.05)

    def _write(self, rpc: Any, request: Any) -> Any:
        with self._lock:
            self._writes_in_flight += 1
        try:
            return rpc(request, timeout=CALL_WITHIN_S, metadata=raw.HUB)
        finally:
            with self._lock:
                self._writes_in_flight -= 1

    def _refused(self, what: str, why: object) -> None:
        with self._lock:
            self.refusals.append(f"{what}: {why}")


def _choose(rng: random.Random) -> tuple[str, Any]:
    """A shape and its input."""
    shape = rng.choice(["steps", "steps", "fan", "naps", "family", "generations", "collector", "renewing_collector"])
    match shape:
        case "steps":
            return shape, rng.randrange(1, 8)
        case "fan":
            return shape, rng.randrange(1, 15)
        case "naps":
            return shape, [rng.randrange(0, 400) for _ in range(rng.randrange(1, 4))]
        case "family":
            return shape, [rng.randrange(0, 4) for _ in range(rng.randrange(1, 5))]
        case "generations":
            return shape, {"left": rng.randrange(1, 8), "results": []}
        case "renewing_collector":
            return shape, []
        case _:
            return shape, None
