"""What must be true once everything has settled. Each check yields its violations; none means it holds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from durabletask.internal import orchestrator_service_pb2 as pb

import shapes
from support import raw

Violations = Iterator[str]


@dataclass
class Instance:
    """One orchestration: what the client knows it asked for, and what the server says became of it."""

    id: str
    shape: str
    given: Any
    execution_id: str | None
    state: pb.OrchestrationState | None
    history: list[pb.HistoryEvent]

    @property
    def output(self) -> Any:
        if self.state is None or not self.state.HasField("output"):
            return None
        return json.loads(self.state.output.value)

    @property
    def completed(self) -> bool:
        return self.state is not None and self.state.orchestrationStatus == raw.COMPLETED


@dataclass
class Evidence:
    """Everything the checks look at."""

    rounds: int
    kills_in_flight: int = 0
    refusals: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    restart_failures: list[str] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    children: list[Instance] = field(default_factory=list)
    # (instance, event) -> "acknowledged" or "unknown"
    events: dict[tuple[str, str], str] = field(default_factory=dict)
    # nonce -> instance
    effects: dict[str, str] = field(default_factory=dict)
    effect_runs: int = 0
    histories_after_restart: dict[str, list[pb.HistoryEvent]] = field(default_factory=dict)

    def everything(self) -> list[Instance]:
        return self.instances + self.children


def every_kill_hit_requests_in_flight(seen: Evidence) -> Violations:
    if seen.kills_in_flight < seen.rounds:
        yield f"{seen.kills_in_flight} of {seen.rounds} kills happened while requests were in flight"


def the_server_came_back_each_time(seen: Evidence) -> Violations:
    yield from seen.restart_failures


def the_load_was_worth_it(seen: Evidence) -> Violations:
    if len(seen.instances) < 2 * seen.rounds:
        yield f"only {len(seen.instances)} orchestrations in {seen.rounds} rounds"
    missing = {shape.__name__ for shape in shapes.ALL} - {instance.shape for instance in seen.instances}
    if seen.rounds >= 10 and missing:
        yield f"no orchestration of {sorted(missing)}"


def the_load_came_to_its_end(seen: Evidence) -> Violations:
    yield from (f"unfinished: {what}" for what in seen.unfinished)


def no_request_was_refused(seen: Evidence) -> Violations:
    yield from seen.refusals


def every_acknowledged_start_exists(seen: Evidence) -> Violations:
    for instance in seen.everything():
        if instance.state is None:
            yield f"{instance.id} is gone"


def no_start_was_applied_twice(seen: Evidence) -> Violations:
    for instance in seen.instances:
        renews = instance.shape in ("generations", "renewing_collector")
        if instance.state is not None and not renews and instance.state.executionId.value != instance.execution_id:
            yield f"{instance.id} runs as execution {instance.state.executionId.value}, not {instance.execution_id}"


def every_orchestration_completed(seen: Evidence) -> Violations:
    for instance in seen.everything():
        if not instance.completed:
            status = "missing" if instance.state is None else pb.OrchestrationStatus.Name(
                instance.state.orchestrationStatus)
            why = "" if instance.state is None else instance.state.failureDetails.errorMessage
            yield f"{instance.id} ({instance.shape}) is {status} {why} after {raw.kinds(instance.history)[-6:]}"


def every_output_is_the_expected_one(seen: Evidence) -> Violations:
    for instance in seen.everything():
        if not instance.completed or instance.shape.endswith("collector"):
            continue
        numbers = [result["number"] for result in shapes.results_of(instance.shape, instance.output)]
        expected = shapes.expected_numbers(instance.shape, instance.given)
        if numbers != expected:
            yield f"{instance.id} returned {numbers}, not {expected}"


def _received(seen: Evidence) -> Iterator[tuple[Instance, Counter[str]]]:
    for instance in seen.instances:
        if instance.completed and instance.shape.endswith("collector"):
            yield instance, Counter(instance.output)


def every_acknowledged_event_arrived_once(seen: Evidence) -> Violations:
    received = {instance.id: events for instance, events in _received(seen)}
    for (instance_id, event), outcome in seen.events.items():
        if outcome == "acknowledged" and instance_id in received and received[instance_id][event] != 1:
            yield f"acknowledged {event} arrived {received[instance_id][event]} times"


def no_other_event_arrived_more_than_once(seen: Evidence) -> Violations:
    for instance, events in _received(seen):
        for event, times in events.items():
            relayed = event.startswith(f"{instance.id}/r")
            if not relayed and (instance.id, event) not in seen.events:
                yield f"{instance.id} received {event}, which nobody raised"
            elif not relayed and times > 1:
                yield f"{event} arrived {times} times"


def events_of_one_client_kept_their_order(seen: Evidence) -> Violations:
    for instance, _ in _received(seen):
        raised = [event for event in instance.output if not event.startswith(f"{instance.id}/r")]
        if raised != sorted(raised, key=lambda event: int(event.rsplit("/", 1)[1])):
            yield f"{instance.id} received {raised}"


def every_event_between_orchestrations_arrived_once_in_order(seen: Evidence) -> Violations:
    for instance, _ in _received(seen):
        relayed = [event for event in instance.output if event.startswith(f"{instance.id}/r")]
        expected = [f"{instance.id}/r{number}" for number in range(6)]
        if relayed != expected:
            yield f"{instance.id} received {relayed} from its relay"


def every_result_comes_from_a_run_of_its_activity(seen: Evidence) -> Violations:
    for instance in seen.everything():
        for event in instance.history:
            if event.HasField("taskCompleted"):
                nonce = json.loads(event.taskCompleted.result.value)["nonce"]
                if seen.effects.get(nonce) != instance.id:
                    yield f"{instance.id} holds a result of run {nonce}, which belongs to {seen.effects.get(nonce)}"


def no_run_of_an_activity_was_counted_twice(seen: Evidence) -> Violations:
    counted: Counter[str] = Counter()
    for instance in seen.everything():
        if instance.shape != "family" and not instance.shape.endswith("collector") and instance.completed:
            counted.update(result["nonce"] for result in instance.output)
    for nonce, times in counted.items():
        if times > 1:
            yield f"run {nonce} was counted {times} times"


def every_output_rests_on_its_history(seen: Evidence) -> Violations:
    for instance in seen.everything():
        if instance.shape not in ("steps", "fan", "naps", "relay") or not instance.completed:
            continue
        recorded = {json.loads(event.taskCompleted.result.value)["nonce"]
                    for event in instance.history if event.HasField("taskCompleted")}
        returned = {result["nonce"] for result in instance.output}
        if recorded != returned:
            yield f"{instance.id} returned runs {returned}, its history holds {recorded}"


def every_scheduled_item_has_one_outcome(seen: Evidence) -> Violations:
    for instance in seen.everything():
        scheduled: Counter[tuple[str, int]] = Counter()
        ended: Counter[tuple[str, int]] = Counter()
        for event in instance.history:
            match event.WhichOneof("eventType"):
                case "taskScheduled":
                    scheduled["task", event.eventId] += 1
                case "timerCreated":
                    scheduled["timer", event.eventId] += 1
                case "subOrchestrationInstanceCreated":
                    scheduled["child", event.eventId] += 1
                case "taskCompleted":
                    ended["task", event.taskCompleted.taskScheduledId] += 1
                case "taskFailed":
                    ended["task", event.taskFailed.taskScheduledId] += 1
                case "timerFired":
                    ended["timer", event.timerFired.timerId] += 1
                case "subOrchestrationInstanceCompleted":
                    ended["child", event.subOrchestrationInstanceCompleted.taskScheduledId] += 1
                case "subOrchestrationInstanceFailed":
                    ended["child", event.subOrchestrationInstanceFailed.taskScheduledId] += 1
        if scheduled != ended or any(times != 1 for times in scheduled.values()):
            yield f"{instance.id} scheduled {dict(scheduled)}, and these ended: {dict(ended)}"


DECIDED = {"taskScheduled", "timerCreated", "subOrchestrationInstanceCreated", "eventSent", "executionCompleted"}


def every_turn_was_applied_once(seen: Evidence) -> Violations:
    """A turn is OrchestratorStarted, at least one thing that had arrived, and then what was decided on it."""
    for instance in seen.everything():
        events = instance.history
        names = raw.kinds(events)
        if names[:2] != ["orchestratorStarted", "executionStarted"] or names[-1:] != ["executionCompleted"]:
            yield f"{instance.id} begins with {names[:2]} and ends with {names[-1:]}"
        if names.count("executionStarted") != 1 or names.count("executionCompleted") != 1:
            yield f"{instance.id} started or completed more than once: {names}"
        for index, name in enumerate(names):
            arrived_next = index + 1 < len(names) and names[index + 1] not in DECIDED | {"orchestratorStarted"}
            if name == "orchestratorStarted" and not arrived_next:
                yield f"{instance.id} has a turn without cause at {index}: {names}"
            if name in DECIDED and index + 1 < len(names) and names[index + 1] not in DECIDED | {"orchestratorStarted"}:
                yield f"{instance.id} has an arrival after a decision at {index}: {names}"
        ids = [event.eventId for event, name in zip(events, names) if name in DECIDED]
        if any(later <= earlier for earlier, later in zip(ids, ids[1:])) or any(id < 0 for id in ids):
            yield f"{instance.id} decided under the ids {ids}"
        if any(event.eventId != -1 for event, name in zip(events, names) if name not in DECIDED):
            yield f"{instance.id} has an arrival with an id"


def no_timer_was_early_and_no_clock_went_back(seen: Evidence) -> Violations:
    for instance in seen.everything():
        now = 0
        for event in instance.history:
            if event.HasField("orchestratorStarted"):
                if event.timestamp.ToNanoseconds() < now:
                    yield f"{instance.id} went back in time"
                now = event.timestamp.ToNanoseconds()
            elif event.HasField("timerFired") and event.timerFired.fireAt.ToNanoseconds() > now:
                yield f"{instance.id} had timer {event.timerFired.timerId} fire early"


def every_child_belongs_to_its_parent(seen: Evidence) -> Violations:
    parents = {instance.id: instance for instance in seen.instances}
    for child in seen.children:
        parent = parents[child.id.rsplit(".", 1)[0]]
        for event in child.history:
            if event.HasField("executionStarted"):
                link = event.executionStarted.parentInstance.orchestrationInstance
                if (link.instanceId, link.executionId.value) != (parent.id, parent.execution_id):
                    yield f"{child.id} belongs to {link.instanceId} of {link.executionId.value}"


def another_restart_changes_nothing(seen: Evidence) -> Violations:
    for instance in seen.everything():
        if seen.histories_after_restart.get(instance.id) != instance.history:
            yield f"{instance.id} has another history after a restart"


ALL: list[Callable[[Evidence], Violations]] = [
    every_kill_hit_requests_in_flight,
    the_server_came_back_each_time,
    the_load_was_worth_it,
    the_load_came_to_its_end,
    no_request_was_refused,
    every_acknowledged_start_exists,
    no_start_was_applied_twice,
    every_orchestration_completed,
    every_output_is_the_expected_one,
    every_acknowledged_event_arrived_once,
    no_other_event_arrived_more_than_once,
    events_of_one_client_kept_their_order,
    every_event_between_orchestrations_arrived_once_in_order,
    every_result_comes_from_a_run_of_its_activity,
    no_run_of_an_activity_was_counted_twice,
    every_output_rests_on_its_history,
    every_scheduled_item_has_one_outcome,
    every_turn_was_applied_once,
    no_timer_was_early_and_no_clock_went_back,
    every_child_belongs_to_its_parent,
    another_restart_changes_nothing,
]
