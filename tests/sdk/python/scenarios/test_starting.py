"""StartInstance: ids, scheduled starts, and what happens when the id is already there."""

import re
import time
from datetime import datetime, timedelta, timezone

import grpc
import pytest
from durabletask import task
from support import raw
from support.hub import Hub
from support.raw import pb
from support.waiting import DEADLINE_S


def echo(ctx: task.OrchestrationContext, value):
    return value


def waits(ctx: task.OrchestrationContext, value):
    yield ctx.wait_for_external_event("go")
    return value


# Ids.

def test_an_id_is_made_up_where_none_is_given(hub: Hub):
    instance_id = hub.start(hub.unique("nobody-runs-this"), instance_id="")
    assert re.fullmatch("[0-9a-f]{32}", instance_id)
    assert hub.status(instance_id) == raw.PENDING
    hub.terminate(instance_id)


@pytest.mark.parametrize("instance_id", [
    "a", "x" * 100, "with space", "2026-01-01T00:00:00.000Z:a/b?c=d", "UPPER.lower_-", "ünïcödé ☃", "a@b@c"])
def test_unusual_ids_are_served(hub: Hub, instance_id: str):
    hub.worker(orchestrators=[echo])
    instance_id = hub.client.schedule_new_orchestration(echo, input=instance_id, instance_id=instance_id)
    assert hub.completed(instance_id) == instance_id
    assert hub.client.get_orchestration_state(instance_id).instance_id == instance_id


def test_ids_differ_by_case(hub: Hub):
    hub.worker(orchestrators=[echo])
    lower = hub.unique("case")
    hub.client.schedule_new_orchestration(echo, input="lower", instance_id=lower)
    hub.client.schedule_new_orchestration(echo, input="upper", instance_id=lower.upper())
    assert (hub.completed(lower), hub.completed(lower.upper())) == ("lower", "upper")


def test_an_id_of_more_than_100_characters_is_refused(hub: Hub):
    detail = hub.refused("StartInstance", pb.CreateInstanceRequest(instanceId="x" * 101, name="echo"),
                         grpc.StatusCode.INVALID_ARGUMENT)
    assert "length" in detail.lower()


@pytest.mark.parametrize("request_", [
    pb.CreateInstanceRequest(instanceId="@counter@one", name="echo"),
    pb.CreateInstanceRequest(instanceId="control\x01character", name="echo"),
    pb.CreateInstanceRequest(instanceId="nameless", name="")], ids=["entity-id", "control-character", "no-name"])
def test_a_bad_start_is_refused(hub: Hub, request_: pb.CreateInstanceRequest):
    assert hub.refused("StartInstance", request_, grpc.StatusCode.INVALID_ARGUMENT)


def test_state_tells_what_was_started(hub: Hub):
    name = hub.unique("nobody-runs-this")
    before = time.time()
    instance_id = hub.start(name, input="[1]", version="4.2", tags={"a": "b"})
    state = hub.state(instance_id)
    assert (state.name, state.version.value, dict(state.tags), state.input.value) == (name, "4.2", {"a": "b"}, "[1]")
    assert before - 1 <= state.createdTimestamp.ToNanoseconds() / 1e9 <= time.time() + 1
    assert not state.HasField("completedTimestamp") and not state.HasField("parentInstanceId")
    hub.terminate(instance_id)


# Scheduled starts.

def test_a_scheduled_start_waits_for_its_time(hub: Hub):
    def when(ctx: task.OrchestrationContext, _):
        event = yield ctx.wait_for_external_event("early")
        return [ctx.current_utc_datetime.isoformat(), event]

    hub.worker(orchestrators=[when])
    start_at = datetime.now(timezone.utc) + timedelta(seconds=2)
    instance_id = hub.client.schedule_new_orchestration(when, start_at=start_at)
    state = hub.state(instance_id)
    assert state.orchestrationStatus == raw.PENDING
    assert abs(state.scheduledStartTimestamp.ToNanoseconds() / 1e9 - start_at.timestamp()) < 0.001
    hub.client.raise_orchestration_event(instance_id, "early", data="kept")
    began, event = hub.completed(instance_id)
    assert datetime.fromisoformat(began).replace(tzinfo=timezone.utc) >= start_at - timedelta(milliseconds=1)
    assert event == "kept"


@pytest.mark.parametrize("seconds", [0, -1, 1], ids=["epoch", "before-the-epoch", "long-past"])
def test_trap_12_a_start_in_the_past_is_a_start_now(hub: Hub, seconds: int):
    hub.worker(orchestrators=[echo])
    instance_id = hub.start("echo", scheduledStartTimestamp=raw.timestamp(seconds))
    hub.completed(instance_id)
    if seconds <= 0:
        assert not hub.state(instance_id).HasField("scheduledStartTimestamp")


def test_a_scheduled_start_can_be_terminated_before_its_time(hub: Hub):
    instance_id = hub.start("echo", scheduledStartTimestamp=raw.timestamp(time.time() + 3600))
    hub.terminate(instance_id, '"called off"')
    assert hub.reaches(instance_id, raw.TERMINATED).output.value == '"called off"'


# Reuse of ids.

def test_a_finished_id_may_be_used_again(hub: Hub):
    hub.worker(orchestrators=[echo])
    instance_id = hub.unique("again")
    executions = set()
    for value in (1, 2):
        hub.client.schedule_new_orchestration(echo, input=value, instance_id=instance_id)
        assert hub.completed(instance_id) == value
        executions.add(hub.state(instance_id).executionId.value)
    assert len(executions) == 2
    assert raw.kinds(hub.history(instance_id)).count("executionStarted") == 1


@pytest.mark.parametrize("status", ["pending", "running", "suspended"])
def test_a_live_id_is_not_available(hub: Hub, status: str):
    hub.worker(orchestrators=[waits], filters="auto")
    name = hub.unique("nobody-runs-this") if status == "pending" else "waits"
    instance_id = hub.start(name, input="1")
    if status != "pending":
        hub.reaches(instance_id, raw.RUNNING)
    if status == "suspended":
        hub.client.suspend_orchestration(instance_id)
        hub.reaches(instance_id, raw.SUSPENDED)
    hub.refused("StartInstance", pb.CreateInstanceRequest(instanceId=instance_id, name="waits"),
                grpc.StatusCode.ALREADY_EXISTS)
    assert hub.state(instance_id).input.value == "1"
    hub.client.terminate_orchestration(instance_id)


@pytest.mark.parametrize("policy", [[], [raw.FAILED], [raw.FAILED, raw.TERMINATED]], ids=["none", "failed", "two"])
def test_a_policy_without_the_status_refuses(hub: Hub, policy: list):
    hub.worker(orchestrators=[echo])
    instance_id = hub.start("echo", input="1")
    hub.completed(instance_id)
    with pytest.raises(grpc.RpcError) as refusal:
        hub.start("echo", instance_id=instance_id, input="2", policy=policy)
    assert refusal.value.code() == grpc.StatusCode.ALREADY_EXISTS
    assert hub.completed(instance_id) == 1
    hub.start("echo", instance_id=instance_id, input="3", policy=[*policy, raw.COMPLETED])
    assert hub.completed(instance_id) == 3


def test_a_running_instance_is_replaced_where_the_policy_allows_it(hub: Hub):
    name = hub.unique("replaced")
    worker = hub.raw_worker(orchestrations=[name], activities=[name])
    instance_id = hub.start(name, input="old")
    first = worker.turn(instance_id)
    worker.answer(first, raw.schedule_task(1, name))
    old_activity = worker.activity(instance_id)
    waiter = hub.stub.WaitForInstanceCompletion.future(
        pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=True),
        timeout=DEADLINE_S, metadata=raw.HUB)
    hub.start(name, instance_id=instance_id, input="new", policy=[raw.RUNNING, raw.TERMINATED])
    worker.finish(old_activity, "late")
    second = worker.turn(instance_id)
    assert second.started().input.value == "new"
    assert second.request.executionId.value != first.request.executionId.value
    assert second.new() == ["orchestratorStarted", "executionStarted"], "the old result is nobody's"
    worker.answer(second, raw.complete(1, "done"))
    assert hub.reaches(instance_id, raw.COMPLETED).output.value == "done"
    assert waiter.result().orchestrationState.orchestrationStatus in (raw.COMPLETED, raw.TERMINATED)


def test_replacing_live_instances_requires_terminated_to_be_replaceable(hub: Hub):
    hub.worker(orchestrators=[waits])
    instance_id = hub.start("waits", input="1")
    hub.reaches(instance_id, raw.RUNNING)
    hub.client.suspend_orchestration(instance_id)
    hub.reaches(instance_id, raw.SUSPENDED)
    request = pb.CreateInstanceRequest(
        instanceId=instance_id, name="waits",
        orchestrationIdReusePolicy=pb.OrchestrationIdReusePolicy(
            replaceableStatus=[raw.COMPLETED, raw.FAILED, raw.SUSPENDED]))
    detail = hub.refused("StartInstance", request, grpc.StatusCode.INVALID_ARGUMENT)
    assert ("Invalid reusable statuses: cannot exclude 'Terminated' while also allowing reuse of running instances"
            in detail)
    assert hub.status(instance_id) == raw.SUSPENDED
    hub.client.terminate_orchestration(instance_id)


def test_a_repeated_start_with_one_execution_id_is_one_start(hub: Hub):
    name = hub.unique("retried")
    instance_id, execution_id = hub.unique("retried"), "0123456789abcdef" * 2
    for _ in range(3):
        assert hub.start(name, instance_id=instance_id, executionId=raw.text(execution_id)) == instance_id
    assert hub.state(instance_id).executionId.value == execution_id
    hub.terminate(instance_id)


def test_racing_starts_of_one_id_have_one_winner(hub: Hub):
    name, instance_id = hub.unique("race"), hub.unique("race")
    calls = [hub.stub.StartInstance.future(
        pb.CreateInstanceRequest(instanceId=instance_id, name=name, input=raw.text(str(number))),
        timeout=DEADLINE_S, metadata=raw.HUB) for number in range(20)]
    codes = [call.code() for call in calls]
    assert codes.count(grpc.StatusCode.OK) == 1
    assert codes.count(grpc.StatusCode.ALREADY_EXISTS) == 19
    winner = codes.index(grpc.StatusCode.OK)
    assert hub.state(instance_id).input.value == str(winner)
    hub.terminate(instance_id)
