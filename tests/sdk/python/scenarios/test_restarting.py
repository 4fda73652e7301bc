"""RestartInstance: the same again, under the same id or a new one."""

import re
import time

import grpc
import pytest
from durabletask import task
from durabletask.client import OrchestrationStatus
from support import raw
from support.hub import Hub, Program
from support.raw import pb

program = Program()


@program.orchestrator
def echo(ctx: task.OrchestrationContext, value):
    ctx.set_custom_status("echoing")
    return [value, ctx.version, ctx.parent_instance_id]


@program.orchestrator
def greets(ctx: task.OrchestrationContext, greeting: str):
    return [greeting, (yield ctx.wait_for_external_event("name"))]


@program.orchestrator
def breaks(ctx: task.OrchestrationContext, _):
    raise RuntimeError("broken")


@program.orchestrator
def counts_down(ctx: task.OrchestrationContext, number: int):
    if number > 1:
        ctx.continue_as_new(number - 1)
        return
    return number


@program.orchestrator
def parent(ctx: task.OrchestrationContext, child_id: str):
    return (yield ctx.call_sub_orchestrator(echo, input="from the parent", instance_id=child_id))


# Under the same id.

def test_trap_19_the_same_id_runs_again_with_its_input(shared: Hub):
    instance_id = shared.client.schedule_new_orchestration(
        echo, input={"a": [1, None]}, version="1.2", tags={"kept": "yes"})
    first = shared.completed(instance_id)
    before = shared.state(instance_id)
    assert shared.client.restart_orchestration(instance_id) == instance_id
    assert shared.completed(instance_id) == first == [{"a": [1, None]}, "1.2", None]
    after = shared.state(instance_id)
    assert after.executionId.value != before.executionId.value
    assert re.fullmatch("[0-9a-f]{32}", after.executionId.value)
    assert after.createdTimestamp.ToNanoseconds() > before.completedTimestamp.ToNanoseconds()
    assert (after.name, after.version, dict(after.tags)) == (before.name, before.version, {"kept": "yes"})
    assert raw.kinds(shared.history(instance_id)).count("executionStarted") == 1, "the history is the new one's"


def test_a_restarted_instance_begins_with_nothing_but_its_input(hub: Hub):
    name = hub.unique("fresh")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name, input="in")
    worker.answer(worker.turn(instance_id), raw.complete(1, "out", raw.FAILED, failureDetails=raw.failure(
        "broken").failure.failureDetails), customStatus=raw.text('"failing"'))
    assert hub.restart(instance_id) == instance_id
    state = hub.state(instance_id)
    assert state.orchestrationStatus == raw.PENDING and state.input.value == "in"
    for field in ("output", "failureDetails", "customStatus", "completedTimestamp"):
        assert not state.HasField(field)
    assert hub.history(instance_id) == []
    turn = worker.turn(instance_id)
    assert turn.past() == [] and turn.new() == ["orchestratorStarted", "executionStarted"]
    started = turn.started()
    assert started.input.value == "in"
    assert started.orchestrationInstance.executionId.value == turn.request.executionId.value == state.executionId.value
    worker.answer(turn, raw.complete(1))


@pytest.mark.parametrize("input", [None, "", "null", "0"], ids=repr)
def test_inputs_are_kept_to_the_letter(hub: Hub, input: str | None):
    name = hub.unique("input")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name, input=input)
    worker.answer(worker.turn(instance_id), raw.complete(1))
    for again in (hub.restart(instance_id), hub.restart(instance_id, new_id=True)):
        turn = worker.turn(again)
        assert turn.started().HasField("input") == (input is not None)
        assert turn.started().input.value == (input or "")
        worker.answer(turn, raw.complete(1))


@pytest.mark.parametrize("ending", ["failed", "terminated"])
def test_whatever_ended_may_be_restarted(shared: Hub, ending: str):
    instance_id = shared.client.schedule_new_orchestration(breaks if ending == "failed" else greets, input="hello")
    if ending == "terminated":
        shared.terminate(instance_id, '"enough"')
    assert shared.ended(instance_id).runtime_status.name == ending.upper()
    shared.client.restart_orchestration(instance_id)
    if ending == "failed":
        assert shared.ended(instance_id).runtime_status == OrchestrationStatus.FAILED
    else:
        shared.client.raise_orchestration_event(instance_id, "name", data="you")
        assert shared.completed(instance_id) == ["hello", "you"]


def test_trap_19_an_event_right_after_the_restart_is_not_lost(shared: Hub):
    instance_id = shared.client.schedule_new_orchestration(greets, input="hello")
    for name in ("one", "two", "three", "four"):
        if name != "one":
            shared.client.restart_orchestration(instance_id)
        shared.client.raise_orchestration_event(instance_id, "name", data=name)
        assert shared.completed(instance_id) == ["hello", name]


@pytest.mark.parametrize("status", [raw.PENDING, raw.RUNNING, raw.SUSPENDED], ids=["pending", "running", "suspended"])
def test_trap_18_what_lives_is_not_restarted_under_its_id(hub: Hub, status: int):
    name = hub.unique("living")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name)
    if status != raw.PENDING:
        worker.answer(worker.turn(instance_id))
    if status == raw.SUSPENDED:
        hub.suspend(instance_id)
    before = hub.state(instance_id)
    detail = hub.refused("RestartInstance", pb.RestartInstanceRequest(instanceId=instance_id),
                         grpc.StatusCode.FAILED_PRECONDITION)
    assert "restart" in detail
    assert hub.state(instance_id) == before and before.orchestrationStatus == status


@pytest.mark.parametrize("new_id", [False, True], ids=["same-id", "new-id"])
def test_what_is_missing_is_not_restarted(hub: Hub, new_id: bool):
    missing = hub.unique("missing")
    detail = hub.refused("RestartInstance", pb.RestartInstanceRequest(
        instanceId=missing, restartWithNewInstanceId=new_id), grpc.StatusCode.NOT_FOUND)
    assert missing in detail
    assert hub.state(missing) is None


def test_the_last_generation_is_what_runs_again(shared: Hub):
    instance_id = shared.client.schedule_new_orchestration(counts_down, input=3)
    assert shared.completed(instance_id) == 1
    shared.client.restart_orchestration(instance_id)
    assert shared.completed(instance_id) == 1
    assert shared.state(instance_id).input.value == "1"


def test_results_for_the_old_run_do_not_reach_the_new_one(hub: Hub):
    name = hub.unique("late")
    worker = hub.raw_worker(orchestrations=[name], activities=[name])
    instance_id = hub.start(name)
    worker.answer(worker.turn(instance_id), raw.schedule_task(1, name, "old"), raw.create_timer(2, time.time() + 0.4))
    late = worker.activity(instance_id)
    hub.raise_event(instance_id, "end")
    worker.answer(worker.turn(instance_id), raw.complete(3))
    hub.restart(instance_id)
    worker.answer(worker.turn(instance_id), raw.schedule_task(1, name, "new"), raw.create_timer(2, time.time() + 0.8))
    worker.finish(late, '"old"')
    worker.finish(worker.activity(instance_id), '"new"')
    done = worker.turn(instance_id)
    assert done.new() == ["orchestratorStarted", "taskCompleted"]
    assert done.request.newEvents[1].taskCompleted.result.value == '"new"'
    worker.answer(done)
    fired = worker.turn(instance_id)
    assert fired.new() == ["orchestratorStarted", "timerFired"]
    (mine,) = [event.timerCreated.fireAt for event in fired.request.pastEvents if event.HasField("timerCreated")]
    assert fired.request.newEvents[1].timerFired.fireAt == mine
    worker.answer(fired, raw.complete(3))
    assert raw.kinds(hub.history(instance_id)).count("timerFired") == 1


# Under a new id.

def test_trap_18_what_lives_may_be_copied(shared: Hub):
    original = shared.client.schedule_new_orchestration(greets, input="hello", version="3.1", tags={"kept": "yes"})
    shared.reaches(original, raw.RUNNING)
    before = shared.state(original)
    copy = shared.client.restart_orchestration(original, restart_with_new_instance_id=True)
    assert re.fullmatch("[0-9a-f]{32}", copy) and copy != original
    shared.client.raise_orchestration_event(copy, "name", data="copy")
    assert shared.completed(copy) == ["hello", "copy"]
    state = shared.state(copy)
    assert (state.name, state.version.value, dict(state.tags)) == ("greets", "3.1", {"kept": "yes"})
    assert state.executionId.value != before.executionId.value
    assert shared.state(original) == before, "the original has noticed nothing"
    shared.client.raise_orchestration_event(original, "name", data="original")
    assert shared.completed(original) == ["hello", "original"]


def test_a_copy_leaves_an_ended_original_as_it_was(shared: Hub):
    original = shared.client.schedule_new_orchestration(echo, input=0)
    shared.completed(original)
    before, history = shared.state(original), shared.history(original)
    copies = {shared.client.restart_orchestration(original, restart_with_new_instance_id=True) for _ in range(3)}
    assert len(copies) == 3 and original not in copies
    assert [shared.completed(copy) for copy in copies] == [[0, None, None]] * 3
    assert shared.state(original) == before and shared.history(original) == history


# What is not carried over.

@pytest.mark.parametrize("new_id", [False, True], ids=["same-id", "new-id"])
def test_a_restarted_child_has_no_parent(shared: Hub, new_id: bool):
    child = shared.unique("child")
    parent_id = shared.client.schedule_new_orchestration(parent, input=child)
    assert shared.completed(parent_id) == ["from the parent", None, parent_id]
    before = shared.state(parent_id)
    again = shared.restart(child, new_id=new_id)
    assert shared.completed(again) == ["from the parent", None, None]
    assert not shared.state(again).HasField("parentInstanceId")
    (started,) = [event.executionStarted for event in shared.history(again) if event.HasField("executionStarted")]
    assert not started.HasField("parentInstance")
    assert shared.state(parent_id) == before


@pytest.mark.parametrize("new_id", [False, True], ids=["same-id", "new-id"])
def test_a_restart_does_not_wait_for_the_old_schedule(shared: Hub, new_id: bool):
    instance_id = shared.start("echo", input="1", scheduledStartTimestamp=raw.timestamp(time.time() + 86_400))
    if not new_id:
        shared.terminate(instance_id)
    again = shared.restart(instance_id, new_id=new_id)
    assert shared.completed(again) == [1, None, None]
    assert not shared.state(again).HasField("scheduledStartTimestamp")
    if new_id:
        assert shared.status(instance_id) == raw.PENDING
        shared.terminate(instance_id)


def test_who_waits_is_told_of_the_new_run(hub: Hub):
    name = hub.unique("awaited")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name)
    worker.answer(worker.turn(instance_id), raw.complete(1, "first"))
    hub.restart(instance_id)
    waiting = hub.stub.WaitForInstanceCompletion.future(pb.GetInstanceRequest(
        instanceId=instance_id, getInputsAndOutputs=True), timeout=30, metadata=hub.metadata)
    worker.answer(worker.turn(instance_id), raw.complete(1, "second"))
    assert waiting.result().orchestrationState.output.value == "second"
