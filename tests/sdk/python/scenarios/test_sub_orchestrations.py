"""Sub-orchestrations: results, failures, ids, parent information, tags and versions."""

import re
import time
from datetime import timedelta

from durabletask import task
from durabletask.client import OrchestrationStatus
from durabletask.worker import VersioningOptions, VersionMatchStrategy
from support import raw
from support.hub import Hub


def test_children_return_their_results(hub: Hub):
    def child(ctx: task.OrchestrationContext, number: int):
        yield ctx.create_timer(timedelta(milliseconds=10))
        return number + 100

    def parent(ctx: task.OrchestrationContext, count: int):
        return (yield task.when_all([ctx.call_sub_orchestrator(child, input=n) for n in range(count)]))

    hub.worker(orchestrators=[parent, child])
    assert hub.run(parent, 12) == [n + 100 for n in range(12)]


def test_nesting_five_deep(hub: Hub):
    def deeper(ctx: task.OrchestrationContext, level: int):
        if level == 0:
            return [ctx.instance_id]
        below = yield ctx.call_sub_orchestrator(deeper, input=level - 1)
        return [ctx.instance_id, *below]

    hub.worker(orchestrators=[deeper])
    ids = hub.run(deeper, 5)
    assert len(set(ids)) == 6


def test_a_child_knows_its_parent(hub: Hub):
    def child(ctx: task.OrchestrationContext, _):
        return ctx.parent_instance_id

    def parent(ctx: task.OrchestrationContext, child_id: str):
        return (yield ctx.call_sub_orchestrator(child, instance_id=child_id))

    hub.worker(orchestrators=[parent, child])
    child_id = hub.unique("child")
    parent_id = hub.client.schedule_new_orchestration(parent, input=child_id, version="1.5")
    assert hub.completed(parent_id) == parent_id
    (started,) = [event.executionStarted for event in hub.history(child_id) if event.HasField("executionStarted")]
    link = started.parentInstance
    assert link.name.value == "parent" and link.version.value == "1.5"
    assert link.orchestrationInstance.instanceId == parent_id
    (created,) = [event for event in hub.history(parent_id) if event.HasField("subOrchestrationInstanceCreated")]
    assert link.taskScheduledId == created.eventId
    parent_state = hub.state(parent_id)
    assert link.orchestrationInstance.executionId.value == parent_state.executionId.value
    assert hub.state(child_id).parentInstanceId.value == parent_id


def test_a_failure_three_levels_down_keeps_every_level(hub: Hub):
    def bottom(ctx: task.OrchestrationContext, _):
        raise ValueError("bottom broke")

    def middle(ctx: task.OrchestrationContext, _):
        yield ctx.call_sub_orchestrator(bottom)

    def top(ctx: task.OrchestrationContext, _):
        yield ctx.call_sub_orchestrator(middle)

    hub.worker(orchestrators=[top, middle, bottom])
    instance_id = hub.client.schedule_new_orchestration(top)
    assert hub.ended(instance_id).runtime_status == OrchestrationStatus.FAILED
    details = hub.state(instance_id).failureDetails
    chain = [details.errorType]
    while details.HasField("innerFailure"):
        details = details.innerFailure
        chain.append(details.errorType)
    assert chain[-1].endswith("ValueError") and details.errorMessage == "bottom broke"
    assert len(chain) >= 3


def test_a_failed_child_is_retried_under_its_id(hub: Hub):
    child_runs: list[str] = []
    activity_runs: list[int] = []
    quick = task.RetryPolicy(first_retry_interval=timedelta(milliseconds=20), max_number_of_attempts=3)
    twice = task.RetryPolicy(first_retry_interval=timedelta(milliseconds=20), max_number_of_attempts=2)

    def fragile(_, __):
        activity_runs.append(1)
        raise RuntimeError("broken")

    def child(ctx: task.OrchestrationContext, _):
        if not ctx.is_replaying:
            child_runs.append(ctx.instance_id)
        yield ctx.call_activity(fragile, retry_policy=quick)

    def parent(ctx: task.OrchestrationContext, _):
        yield ctx.call_sub_orchestrator(child, retry_policy=twice)

    hub.worker(orchestrators=[parent, child], activities=[fragile])
    instance_id = hub.client.schedule_new_orchestration(parent)
    assert hub.ended(instance_id).runtime_status == OrchestrationStatus.FAILED
    assert len(activity_runs) == 6
    assert len(child_runs) == 2 and len(set(child_runs)) == 1


def test_a_child_runs_at_the_version_asked_for(hub: Hub):
    def child(ctx: task.OrchestrationContext, _):
        return ctx.version

    def parent(ctx: task.OrchestrationContext, _):
        asked = yield ctx.call_sub_orchestrator(child, version="9.9.9")
        unasked = yield ctx.call_sub_orchestrator(child)
        return [ctx.version, asked, unasked]

    hub.worker(orchestrators=[parent, child])
    assert hub.run(parent, version="2.0") == ["2.0", "9.9.9", None]


def test_children_without_a_version_get_the_workers_default(hub: Hub):
    def child(ctx: task.OrchestrationContext, _):
        return ctx.version

    def parent(ctx: task.OrchestrationContext, _):
        plain = yield ctx.call_sub_orchestrator(child)
        own = yield ctx.call_sub_orchestrator(child, version="7.5")
        return [ctx.version, plain, own]

    versioning = VersioningOptions(default_version="2.0", match_strategy=VersionMatchStrategy.NONE)
    hub.worker(orchestrators=[parent, child], versioning=versioning)
    assert hub.run(parent, version="1.0") == ["1.0", "2.0", "7.5"]


def test_child_tags_are_the_parents_overlaid_with_its_own(hub: Hub):
    name, child_name = hub.unique("parent"), hub.unique("child")
    worker = hub.raw_worker(orchestrations=[name, child_name])
    instance_id = hub.start(name, tags={"owner": "parent", "kept": "yes"})
    child_id = hub.unique("child")
    worker.answer(worker.turn(instance_id), raw.create_child(1, child_name, child_id, tags={"owner": "child"}))
    merged = {"owner": "child", "kept": "yes"}
    assert dict(worker.turn(child_id).started().tags) == merged
    assert dict(hub.state(child_id).tags) == merged
    assert dict(hub.state(instance_id).tags) == {"owner": "parent", "kept": "yes"}


def test_the_server_names_children_nobody_named(hub: Hub):
    name, child_name = hub.unique("parent"), hub.unique("child")
    worker = hub.raw_worker(orchestrations=[name, child_name])
    instance_id = hub.start(name)
    turn = worker.turn(instance_id)
    execution_id = turn.request.executionId.value
    assert re.fullmatch("[0-9a-f]{32}", execution_id)
    worker.answer(turn, raw.create_child(1, child_name), raw.create_child(26, child_name))
    for suffix in ("0001", "001a"):
        child_id = f"{execution_id}:{suffix}"
        worker.answer(worker.turn(child_id), raw.complete(1, f'"{suffix}"'))
    results: dict[int, str] = {}
    while len(results) < 2:
        turn = worker.turn(instance_id)
        for event in turn.request.newEvents:
            if event.HasField("subOrchestrationInstanceCompleted"):
                done = event.subOrchestrationInstanceCompleted
                results[done.taskScheduledId] = done.result.value
        worker.answer(turn, *([raw.complete(30)] if len(results) == 2 else []))
    assert results == {1: '"0001"', 26: '"001a"'}
    hub.reaches(instance_id, raw.COMPLETED)


def test_a_child_id_in_use_fails_the_task_instead_of_hanging(hub: Hub):
    taken = hub.unique("taken")
    hub.start("nothing", instance_id=taken, scheduledStartTimestamp=raw.timestamp(time.time() + 86_400))

    def child(ctx: task.OrchestrationContext, _):
        return "should not run"

    def parent(ctx: task.OrchestrationContext, _):
        try:
            yield ctx.call_sub_orchestrator(child, instance_id=taken)
        except task.TaskFailedError as error:
            return str(error.details.message)

    hub.worker(orchestrators=[parent, child], filters="auto")
    assert taken in hub.run(parent)


def test_a_finished_instance_makes_way_for_a_child(hub: Hub):
    def child(ctx: task.OrchestrationContext, value: int):
        return value

    def parent(ctx: task.OrchestrationContext, child_id: str):
        first = yield ctx.call_sub_orchestrator(child, input=1, instance_id=child_id)
        second = yield ctx.call_sub_orchestrator(child, input=2, instance_id=child_id)
        return [first, second]

    hub.worker(orchestrators=[parent, child])
    assert hub.run(parent, hub.unique("child")) == [1, 2]


def test_a_terminated_child_fails_its_parents_task(hub: Hub):
    def child(ctx: task.OrchestrationContext, _):
        yield ctx.wait_for_external_event("never")

    def parent(ctx: task.OrchestrationContext, child_id: str):
        try:
            yield ctx.call_sub_orchestrator(child, instance_id=child_id)
        except task.TaskFailedError as error:
            return error.details.message

    hub.worker(orchestrators=[parent, child])
    child_id = hub.unique("child")
    instance_id = hub.client.schedule_new_orchestration(parent, input=child_id)
    hub.reaches(child_id, raw.RUNNING)
    hub.client.terminate_orchestration(child_id, output="told to stop")
    assert "told to stop" in hub.completed(instance_id)
