"""Status, custom status, suspend, resume, terminate, and what clients are told while they wait."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from durabletask import task
from durabletask.client import OrchestrationStatus
from support import raw
from support.hub import Hub
from support.raw import pb
from support.waiting import DEADLINE_S, eventually


def waits(ctx: task.OrchestrationContext, _):
    """Returns the payload of the first "go"."""
    return (yield ctx.wait_for_external_event("go"))


def collect(ctx: task.OrchestrationContext, count: int):
    """Returns the payloads of the first `count` events named "item"."""
    items = []
    for _ in range(count):
        items.append((yield ctx.wait_for_external_event("item")))
    return items


# Waiting.

def test_the_first_custom_status_is_visible_at_start(hub: Hub):
    def talkative(ctx: task.OrchestrationContext, _):
        ctx.set_custom_status({"step": 1})
        yield ctx.wait_for_external_event("go")
        ctx.set_custom_status("")
        yield ctx.wait_for_external_event("go")
        ctx.set_custom_status(None)

    hub.worker(orchestrators=[talkative])
    instance_id = hub.client.schedule_new_orchestration(talkative)
    state = hub.client.wait_for_orchestration_start(instance_id, fetch_payloads=True, timeout=DEADLINE_S)
    assert state.get_custom_status() == {"step": 1}
    hub.client.raise_orchestration_event(instance_id, "go")
    eventually(lambda: hub.state(instance_id).customStatus.value == '""', what="the empty text as status")
    hub.client.raise_orchestration_event(instance_id, "go")
    hub.completed(instance_id)
    assert not hub.state(instance_id).HasField("customStatus")


def test_an_instance_is_pending_until_its_first_turn_is_answered(hub: Hub):
    name = hub.unique("pending")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name)
    turn = worker.turn(instance_id)
    assert hub.status(instance_id) == raw.PENDING
    with pytest.raises(TimeoutError):
        hub.client.wait_for_orchestration_start(instance_id, timeout=0.5)
    worker.answer(turn)
    state = hub.client.wait_for_orchestration_start(instance_id, timeout=DEADLINE_S)
    assert state.runtime_status == OrchestrationStatus.RUNNING


def test_waiting_ends_with_the_callers_deadline(hub: Hub):
    hub.worker(orchestrators=[waits])
    instance_id = hub.client.schedule_new_orchestration(waits)
    hub.client.wait_for_orchestration_start(instance_id, timeout=DEADLINE_S)
    with pytest.raises(TimeoutError):
        hub.client.wait_for_orchestration_completion(instance_id, timeout=0.5)
    hub.client.raise_orchestration_event(instance_id, "go", data=1)
    assert hub.completed(instance_id) == 1


def test_every_one_of_many_waiters_is_told(hub: Hub):
    instance_id = hub.client.schedule_new_orchestration(waits)
    request = pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=True)
    wait = hub.stub.WaitForInstanceCompletion
    calls = [wait.future(request, timeout=DEADLINE_S, metadata=raw.HUB) for _ in range(200)]
    hub.worker(orchestrators=[waits])
    hub.client.raise_orchestration_event(instance_id, "go", data="all")
    answers = [call.result() for call in calls]
    assert all(answer.orchestrationState.orchestrationStatus == raw.COMPLETED for answer in answers)
    assert {answer.orchestrationState.output.value for answer in answers} == {'"all"'}


def test_waiting_for_an_instance_that_does_not_exist_yet(hub: Hub):
    instance_id = hub.unique("later")
    hub.worker(orchestrators=[waits])
    with ThreadPoolExecutor(1) as pool:
        waiter = pool.submit(hub.client.wait_for_orchestration_completion, instance_id, timeout=DEADLINE_S)
        hub.client.schedule_new_orchestration(waits, instance_id=instance_id)
        hub.client.raise_orchestration_event(instance_id, "go", data="born")
        assert waiter.result().get_output() == "born"


def test_payloads_are_hidden_unless_asked_for(hub: Hub):
    def failing(ctx: task.OrchestrationContext, _):
        ctx.set_custom_status("shown")
        raise ValueError("hidden")

    hub.worker(orchestrators=[failing])
    instance_id = hub.client.schedule_new_orchestration(failing, input="hidden")
    hub.ended(instance_id)
    state = hub.state(instance_id, payloads=False)
    assert state.orchestrationStatus == raw.FAILED
    for field in ("input", "output", "failureDetails"):
        assert not state.HasField(field), field
    assert state.customStatus.value == '"shown"'
    state = hub.state(instance_id)
    assert state.input.value == '"hidden"' and state.failureDetails.errorMessage == "hidden"


def test_a_missing_instance_is_not_an_error_to_look_at(hub: Hub):
    assert hub.client.get_orchestration_state(hub.unique("missing")) is None


@pytest.mark.parametrize("rpc, request_type", [
    ("RaiseEvent", pb.RaiseEventRequest), ("TerminateInstance", pb.TerminateRequest),
    ("SuspendInstance", pb.SuspendRequest), ("ResumeInstance", pb.ResumeRequest)])
def test_a_missing_instance_cannot_be_acted_on(hub: Hub, rpc, request_type):
    request = request_type(instanceId=hub.unique("missing"))
    if rpc == "RaiseEvent":
        request.name = "go"
    hub.refused(rpc, request, grpc.StatusCode.NOT_FOUND)


@pytest.mark.parametrize("rpc, request_type", [
    ("RaiseEvent", pb.RaiseEventRequest), ("TerminateInstance", pb.TerminateRequest),
    ("SuspendInstance", pb.SuspendRequest), ("ResumeInstance", pb.ResumeRequest)])
def test_an_instance_has_to_be_named(hub: Hub, rpc, request_type):
    hub.refused(rpc, request_type(), grpc.StatusCode.INVALID_ARGUMENT)


# Suspend and resume.

def test_events_wait_while_suspended(hub: Hub):
    hub.worker(orchestrators=[collect])
    instance_id = hub.client.schedule_new_orchestration(collect, input=3)
    hub.reaches(instance_id, raw.RUNNING)
    hub.client.suspend_orchestration(instance_id, reason="lunch")
    hub.reaches(instance_id, raw.SUSPENDED)
    for item in range(3):
        hub.client.raise_orchestration_event(instance_id, "item", data=item)
    with pytest.raises(TimeoutError):
        hub.client.wait_for_orchestration_completion(instance_id, timeout=1.0)
    assert hub.status(instance_id) == raw.SUSPENDED
    hub.client.resume_orchestration(instance_id, reason="back")
    assert hub.completed(instance_id) == [0, 1, 2]
    history = hub.history(instance_id)
    (suspended,) = [event.executionSuspended for event in history if event.HasField("executionSuspended")]
    (resumed,) = [event.executionResumed for event in history if event.HasField("executionResumed")]
    assert (suspended.input.value, resumed.input.value) == ("lunch", "back")


def test_suspending_twice_is_suspending_once(hub: Hub):
    hub.worker(orchestrators=[waits])
    instance_id = hub.client.schedule_new_orchestration(waits)
    hub.reaches(instance_id, raw.RUNNING)
    hub.client.suspend_orchestration(instance_id)
    hub.reaches(instance_id, raw.SUSPENDED)
    hub.client.suspend_orchestration(instance_id)
    hub.client.suspend_orchestration(instance_id)
    assert hub.status(instance_id) == raw.SUSPENDED
    hub.client.resume_orchestration(instance_id)
    hub.client.raise_orchestration_event(instance_id, "go", data=1)
    assert hub.completed(instance_id) == 1
    assert raw.kinds(hub.history(instance_id)).count("executionSuspended") == 1


def test_suspend_and_resume_have_no_effect_where_there_is_nothing_to_do(hub: Hub):
    hub.worker(orchestrators=[waits])
    instance_id = hub.client.schedule_new_orchestration(waits)
    hub.reaches(instance_id, raw.RUNNING)
    hub.client.resume_orchestration(instance_id)
    assert hub.status(instance_id) == raw.RUNNING
    hub.client.raise_orchestration_event(instance_id, "go")
    hub.completed(instance_id)
    hub.client.suspend_orchestration(instance_id)
    hub.client.resume_orchestration(instance_id)
    assert hub.status(instance_id) == raw.COMPLETED
    kinds = raw.kinds(hub.history(instance_id))
    assert "executionSuspended" not in kinds and "executionResumed" not in kinds


def test_activities_of_a_suspended_orchestration_run_on(hub: Hub):
    name = hub.unique("busy")
    worker = hub.raw_worker(orchestrations=[name], activities=[name])
    instance_id = hub.start(name)
    worker.answer(worker.turn(instance_id), raw.schedule_task(1, name))
    activity = worker.activity(instance_id)
    hub.call("SuspendInstance", pb.SuspendRequest(instanceId=instance_id))
    worker.answer(worker.turn(instance_id))
    hub.reaches(instance_id, raw.SUSPENDED)
    worker.finish(activity, "1")
    assert hub.status(instance_id) == raw.SUSPENDED
    hub.call("ResumeInstance", pb.ResumeRequest(instanceId=instance_id))
    turn = worker.turn(instance_id)
    assert turn.new() == ["orchestratorStarted", "taskCompleted", "executionResumed"], "in order of arrival"
    worker.answer(turn, raw.complete(2))
    hub.reaches(instance_id, raw.COMPLETED)


def test_a_suspension_outlives_continue_as_new(hub: Hub):
    name = hub.unique("renewed")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name)
    worker.answer(worker.turn(instance_id))
    hub.call("SuspendInstance", pb.SuspendRequest(instanceId=instance_id))
    worker.answer(worker.turn(instance_id), raw.continue_as_new(1))
    hub.raise_event(instance_id, "held")
    assert hub.status(instance_id) == raw.SUSPENDED
    hub.call("ResumeInstance", pb.ResumeRequest(instanceId=instance_id))
    turn = worker.turn(instance_id)
    assert turn.new() == ["orchestratorStarted", "executionStarted", "eventRaised", "executionResumed"]
    worker.answer(turn, raw.complete(1))
    hub.reaches(instance_id, raw.COMPLETED)


# Terminate.

def test_an_instance_no_worker_can_run_is_terminated_all_the_same(hub: Hub):
    instance_id = hub.start(hub.unique("nobody-runs-this"), input="1")
    hub.terminate(instance_id, '{"why": "no worker"}')
    state = hub.reaches(instance_id, raw.TERMINATED)
    assert state.output.value == '{"why": "no worker"}'
    assert state.HasField("completedTimestamp")
    history = hub.history(instance_id)
    assert raw.kinds(history) == [
        "orchestratorStarted", "executionStarted", "executionTerminated", "executionCompleted"]
    assert history[-1].executionCompleted.orchestrationStatus == raw.TERMINATED


def test_a_running_orchestration_is_terminated_with_the_given_output(hub: Hub):
    hub.worker(orchestrators=[waits])
    instance_id = hub.client.schedule_new_orchestration(waits)
    hub.reaches(instance_id, raw.RUNNING)
    hub.client.terminate_orchestration(instance_id, output={"reason": ["enough"]})
    state = hub.ended(instance_id)
    assert state.runtime_status == OrchestrationStatus.TERMINATED
    assert state.get_output() == {"reason": ["enough"]}
    hub.client.raise_orchestration_event(instance_id, "go")
    hub.client.terminate_orchestration(instance_id, output="again")
    assert hub.ended(instance_id).get_output() == {"reason": ["enough"]}


def test_a_suspended_orchestration_can_be_terminated(hub: Hub):
    hub.worker(orchestrators=[waits])
    instance_id = hub.client.schedule_new_orchestration(waits)
    hub.reaches(instance_id, raw.RUNNING)
    hub.client.suspend_orchestration(instance_id)
    hub.reaches(instance_id, raw.SUSPENDED)
    hub.client.terminate_orchestration(instance_id, output="stop")
    state = hub.ended(instance_id)
    assert state.runtime_status == OrchestrationStatus.TERMINATED and state.get_output() == "stop"


def test_the_first_of_two_terminations_wins(hub: Hub):
    name = hub.unique("twice")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name)
    worker.answer(worker.turn(instance_id))
    hub.raise_event(instance_id, "busy")
    turn = worker.turn(instance_id)
    hub.terminate(instance_id, "first")
    hub.terminate(instance_id, "second")
    worker.answer(turn)
    turn = worker.turn(instance_id)
    terminations = [event.executionTerminated.input.value for event in turn.request.newEvents
                    if event.HasField("executionTerminated")]
    assert terminations[0] == "first"
    worker.answer(turn, raw.complete(1, "first", raw.TERMINATED))
    assert hub.reaches(instance_id, raw.TERMINATED).output.value == "first"


def test_a_first_turn_that_is_out_does_not_hold_a_termination_up(hub: Hub):
    name = hub.unique("hasty")
    worker = hub.raw_worker(orchestrations=[name], activities=[name])
    instance_id = hub.start(name)
    turn = worker.turn(instance_id)
    hub.terminate(instance_id, "stop")
    worker.answer(turn, raw.schedule_task(1, name))
    if hub.status(instance_id) != raw.TERMINATED:
        worker.answer(worker.turn(instance_id), raw.complete(2, "stop", raw.TERMINATED))
    assert hub.reaches(instance_id, raw.TERMINATED).output.value == "stop"
    assert raw.kinds(hub.history(instance_id))[-1] == "executionCompleted"


@pytest.mark.parametrize("recursive", [True, False])
def test_termination_reaches_descendants_only_if_asked_to(hub: Hub, recursive: bool):
    def family(ctx: task.OrchestrationContext, ids: list):
        if ids:
            yield ctx.call_sub_orchestrator(family, input=ids[1:], instance_id=ids[0])
        else:
            yield ctx.wait_for_external_event("go")
        return "lived"

    hub.worker(orchestrators=[family])
    child, grandchild = hub.unique("child"), hub.unique("grandchild")
    parent = hub.client.schedule_new_orchestration(family, input=[child, grandchild])
    hub.reaches(grandchild, raw.RUNNING)
    hub.client.terminate_orchestration(parent, output="stop", recursive=recursive)
    hub.reaches(parent, raw.TERMINATED)
    if recursive:
        for descendant in (child, grandchild):
            assert hub.reaches(descendant, raw.TERMINATED).output.value == '"stop"'
    else:
        assert hub.status(child) == hub.status(grandchild) == raw.RUNNING
        hub.client.raise_orchestration_event(grandchild, "go")
        assert hub.completed(grandchild) == hub.completed(child) == "lived"
        assert hub.status(parent) == raw.TERMINATED


def test_recursive_termination_reaches_children_no_worker_runs(hub: Hub):
    child_name = hub.unique("nobody-runs-this")

    def parent(ctx: task.OrchestrationContext, child_id: str):
        yield ctx.call_sub_orchestrator(child_name, instance_id=child_id)

    hub.worker(orchestrators=[parent], filters="auto")
    child_id = hub.unique("child")
    instance_id = hub.client.schedule_new_orchestration(parent, input=child_id)
    hub.reaches(child_id, raw.PENDING)
    hub.client.terminate_orchestration(instance_id, output="all", recursive=True)
    hub.reaches(instance_id, raw.TERMINATED)
    hub.reaches(child_id, raw.TERMINATED)
