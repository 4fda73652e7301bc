"""Activities: order, fan-out, payloads that look like nothing, failures and retries."""

import json
import time
from collections import Counter
from datetime import timedelta

import pytest
from durabletask import task
from durabletask.client import OrchestrationStatus
from support import raw
from support.hub import Hub


def test_steps_run_in_order_and_pass_results_on(hub: Hub):
    def append(_, path: str) -> str:
        return path + str(len(path))

    def chain(ctx: task.OrchestrationContext, start: str):
        path = start
        for _ in range(6):
            path = yield ctx.call_activity(append, input=path)
        return path

    hub.worker(orchestrators=[chain], activities=[append])
    assert hub.run(chain, "") == "012345"


def test_fan_out_collects_results_in_call_order(hub: Hub):
    def square(_, number: int) -> int:
        return number * number

    def spread(ctx: task.OrchestrationContext, width: int):
        return (yield task.when_all([ctx.call_activity(square, input=n) for n in range(width)]))

    hub.worker(orchestrators=[spread], activities=[square])
    assert hub.run(spread, 60) == [n * n for n in range(60)]


def test_first_of_several_activities_decides(hub: Hub):
    def label(_, text: str) -> str:
        return text

    def race(ctx: task.OrchestrationContext, _):
        tasks = [ctx.call_activity(label, input=text) for text in "abc"]
        winner = yield task.when_any(tasks)
        return winner.get_result()

    hub.worker(orchestrators=[race], activities=[label])
    assert hub.run(race) in ("a", "b", "c")


@pytest.mark.parametrize("value", [
    pytest.param(0, id="zero"), pytest.param(False, id="false"), pytest.param("", id="empty-text"),
    pytest.param([], id="empty-list"), pytest.param({}, id="empty-map"), pytest.param(0.5, id="fraction"),
    pytest.param("ünï ☃ \u0000 \" \\", id="unicode"), pytest.param({"deep": [None, {"": 0}]}, id="nested")])
def test_a_value_survives_input_activity_child_and_output(hub: Hub, value):
    def echo(_, value):
        return value

    def child(ctx: task.OrchestrationContext, value):
        return (yield ctx.call_activity(echo, input=value))

    def parent(ctx: task.OrchestrationContext, value):
        ctx.set_custom_status(value)
        return (yield ctx.call_sub_orchestrator(child, input=value))

    hub.worker(orchestrators=[parent, child], activities=[echo])
    instance_id = hub.client.schedule_new_orchestration(parent, input=value)
    assert hub.completed(instance_id) == value
    state = hub.state(instance_id)
    assert json.loads(state.input.value) == value
    assert json.loads(state.customStatus.value) == value


def test_nothing_in_nothing_out_leaves_every_payload_absent(hub: Hub):
    def silent(ctx: task.OrchestrationContext, _):
        pass

    hub.worker(orchestrators=[silent])
    instance_id = hub.client.schedule_new_orchestration(silent)
    state = hub.ended(instance_id)
    assert state.runtime_status == OrchestrationStatus.COMPLETED
    stored = hub.state(instance_id)
    for field in ("input", "output", "customStatus", "failureDetails", "version", "scheduledStartTimestamp"):
        assert not stored.HasField(field), field
    assert stored.HasField("createdTimestamp") and stored.HasField("lastUpdatedTimestamp")
    assert stored.HasField("completedTimestamp")


def test_absent_and_empty_payloads_stay_different_on_the_wire(hub: Hub):
    name = hub.unique("texts")
    worker = hub.raw_worker(orchestrations=[name], activities=[name])
    for given in (None, "", "not json"):
        instance_id = hub.start(name, input=given)
        turn = worker.turn(instance_id)
        assert turn.started().HasField("input") == (given is not None)
        worker.answer(turn, raw.schedule_task(1, name, given))
        activity = worker.activity(instance_id)
        assert activity.request.HasField("input") == (given is not None)
        assert activity.request.input.value == (given or "")
        worker.finish(activity, given)
        turn = worker.turn(instance_id)
        result = turn.request.newEvents[-1].taskCompleted
        assert result.HasField("result") == (given is not None)
        worker.answer(turn, raw.complete(2, given))
        state = hub.reaches(instance_id, raw.COMPLETED)
        assert state.HasField("output") == (given is not None)
        assert state.output.value == (given or "")


def test_failure_keeps_type_message_stack_and_cause(hub: Hub):
    def explode(_, __):
        try:
            raise KeyError("the cause")
        except KeyError as cause:
            raise ValueError("the failure") from cause

    def caller(ctx: task.OrchestrationContext, _):
        return (yield ctx.call_activity(explode))

    hub.worker(orchestrators=[caller], activities=[explode])
    instance_id = hub.client.schedule_new_orchestration(caller)
    state = hub.ended(instance_id)
    assert state.runtime_status == OrchestrationStatus.FAILED
    details = hub.state(instance_id).failureDetails
    assert "TaskFailedError" in details.errorType
    activity_failure = details.innerFailure
    assert activity_failure.errorType.endswith("ValueError") and activity_failure.errorMessage == "the failure"
    assert "explode" in activity_failure.stackTrace.value
    assert activity_failure.innerFailure.errorType.endswith("KeyError")
    assert "the cause" in activity_failure.innerFailure.errorMessage


def test_failure_details_are_stored_verbatim(hub: Hub):
    name = hub.unique("verbatim")
    worker = hub.raw_worker(orchestrations=[name], activities=[name])
    instance_id = hub.start(name)
    details = raw.pb.TaskFailureDetails(
        errorType="Outer", errorMessage="outer message", stackTrace=raw.text(""), isNonRetriable=True,
        innerFailure=raw.pb.TaskFailureDetails(errorType="Inner", errorMessage="", stackTrace=raw.text("at line 1")))
    details.properties["code"].number_value = 42
    details.innerFailure.properties["tags"].list_value.values.add(string_value="x")
    worker.answer(worker.turn(instance_id), raw.schedule_task(1, name))
    worker.finish(worker.activity(instance_id), failureDetails=details)
    turn = worker.turn(instance_id)
    assert turn.request.newEvents[-1].taskFailed.failureDetails == details
    worker.answer(turn, raw.complete(2, status=raw.FAILED, failureDetails=details))
    assert hub.reaches(instance_id, raw.FAILED).failureDetails == details
    assert hub.history(instance_id)[-1].executionCompleted.failureDetails == details


def test_properties_of_a_failure_reach_orchestrator_and_client(hub: Hub):
    properties = {"code": 17, "hint": "try \u2603", "none": None, "flags": [True, {"deep": 0.5}]}

    class Provider:
        def get_exception_properties(self, exception: Exception):
            return properties if isinstance(exception, KeyError) else None

    def explode(_, __):
        raise KeyError("lost")

    seen: list[object] = []

    def child(ctx: task.OrchestrationContext, _):
        try:
            yield ctx.call_activity(explode)
        except task.TaskFailedError as error:
            seen.append(error.details.properties)
            raise KeyError("mine") from error

    def parent(ctx: task.OrchestrationContext, _):
        yield ctx.call_sub_orchestrator(child)

    hub.worker(orchestrators=[parent, child], activities=[explode], exception_properties_provider=Provider())
    state = hub.ended(hub.client.schedule_new_orchestration(parent))
    assert seen == [properties]
    failures = []
    failure = state.failure_details
    while failure is not None:
        failures.append(failure)
        failure = failure.inner_failure
    assert properties in [failure.properties for failure in failures]


def test_orchestrator_may_catch_a_failure(hub: Hub):
    def explode(_, __):
        raise RuntimeError("no")

    def careful(ctx: task.OrchestrationContext, _):
        try:
            yield ctx.call_activity(explode)
        except task.TaskFailedError as error:
            return error.details.message
        return "did not fail"

    hub.worker(orchestrators=[careful], activities=[explode])
    assert "no" in hub.run(careful)


def test_retry_policy_stops_after_its_attempts(hub: Hub):
    calls: list[int] = []

    def always_fails(_, __):
        calls.append(1)
        raise RuntimeError(f"attempt {len(calls)}")

    def caller(ctx: task.OrchestrationContext, _):
        policy = task.RetryPolicy(first_retry_interval=timedelta(milliseconds=50), max_number_of_attempts=4)
        yield ctx.call_activity(always_fails, retry_policy=policy)

    hub.worker(orchestrators=[caller], activities=[always_fails])
    instance_id = hub.client.schedule_new_orchestration(caller)
    state = hub.ended(instance_id)
    assert state.runtime_status == OrchestrationStatus.FAILED
    assert len(calls) == 4
    assert Counter(raw.kinds(hub.history(instance_id)))["taskFailed"] == 4


def test_retry_policy_ends_with_the_first_success(hub: Hub):
    calls: list[int] = []

    def third_time_lucky(_, __):
        calls.append(1)
        if len(calls) < 3:
            raise RuntimeError("not yet")
        return len(calls)

    def caller(ctx: task.OrchestrationContext, _):
        policy = task.RetryPolicy(first_retry_interval=timedelta(milliseconds=50), max_number_of_attempts=7,
                                  backoff_coefficient=2.0)
        return (yield ctx.call_activity(third_time_lucky, retry_policy=policy))

    hub.worker(orchestrators=[caller], activities=[third_time_lucky])
    assert hub.run(caller) == 3


def test_retry_intervals_grow_up_to_a_limit_and_attempts_end_with_their_time(hub: Hub):
    times: list[float] = []

    def always_fails(_, __):
        times.append(time.monotonic())
        raise RuntimeError("no")

    def caller(ctx: task.OrchestrationContext, _):
        policy = task.RetryPolicy(
            first_retry_interval=timedelta(milliseconds=100), max_number_of_attempts=50, backoff_coefficient=3.0,
            max_retry_interval=timedelta(milliseconds=400), retry_timeout=timedelta(seconds=3))
        yield ctx.call_activity(always_fails, retry_policy=policy)

    hub.worker(orchestrators=[caller], activities=[always_fails])
    state = hub.ended(hub.client.schedule_new_orchestration(caller))
    assert state.runtime_status == OrchestrationStatus.FAILED
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    assert 3 <= len(gaps) <= 9, gaps
    assert all(gap >= least for gap, least in zip(gaps, [0.1, 0.3] + [0.4] * len(gaps))), gaps


def test_unknown_activity_fails_the_task(hub: Hub):
    def caller(ctx: task.OrchestrationContext, _):
        try:
            yield ctx.call_activity("nobody_registered_this")
        except task.TaskFailedError as error:
            return error.details.error_type

    hub.worker(orchestrators=[caller])
    assert "NotRegistered" in hub.run(caller)


def test_activity_gets_tags_and_ids(hub: Hub):
    name = hub.unique("tagged")
    worker = hub.raw_worker(orchestrations=[name], activities=[name])
    instance_id = hub.start(name)
    turn = worker.turn(instance_id)
    worker.answer(turn, raw.schedule_task(7, name, "1", tags={"team": "red", "": "empty key"},
                                          version=raw.text("3.1")))
    request = worker.activity(instance_id).request
    assert dict(request.tags) == {"team": "red", "": "empty key"}
    assert request.taskId == 7 and request.version.value == "3.1" and request.name == name
    assert request.orchestrationInstance.executionId == turn.request.executionId
