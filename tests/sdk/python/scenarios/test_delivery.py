"""Tokens, leases and redelivery: what happens when workers vanish, repeat themselves or talk nonsense."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from durabletask import task
from support import raw
from support.hub import Hub
from support.raw import pb
from support.waiting import DEADLINE_S, eventually


def complete_from(stub, response, metadata=raw.HUB):
    """A completion from outside any worker."""
    rpc = stub.CompleteOrchestratorTask if isinstance(response, pb.OrchestratorResponse) else stub.CompleteActivityTask
    rpc(response, timeout=DEADLINE_S, metadata=metadata)


# Vanishing workers.

def test_a_killed_worker_s_activity_goes_to_another_one(hub: Hub, tmp_path: Path):
    def hold(_, __):
        return "rescued"

    def rescue(ctx: task.OrchestrationContext, _):
        return (yield ctx.call_activity(hold))

    started = tmp_path / "started"
    doomed = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent.parent / "support" / "stuck_worker.py"), hub.address, str(started)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}, stdin=subprocess.DEVNULL)
    try:
        instance_id = hub.client.schedule_new_orchestration(rescue)
        eventually(started.exists, what="the activity running in the other process")
        hub.worker(orchestrators=[rescue], activities=[hold])
        with pytest.raises(TimeoutError):
            hub.client.wait_for_orchestration_completion(instance_id, timeout=1.0)
        doomed.kill()
        assert hub.completed(instance_id) == "rescued"
    finally:
        doomed.kill()
        doomed.wait()


def test_a_lost_stream_gives_back_orchestrations_and_activities(hub: Hub):
    name = hub.unique("lost")
    first = hub.raw_worker(orchestrations=[name], activities=[name])
    instance_id = hub.start(name)
    lost = first.turn(instance_id)
    hub.raise_event(instance_id, "meanwhile")
    first.close()
    second = hub.raw_worker(orchestrations=[name], activities=[name])
    turn = second.turn(instance_id)
    assert turn.token != lost.token
    assert turn.new() == ["orchestratorStarted", "executionStarted", "eventRaised"]
    assert turn.request.newEvents[0].timestamp.ToNanoseconds() > lost.request.newEvents[0].timestamp.ToNanoseconds()
    second.answer(turn, raw.schedule_task(1, name, "in"))
    activity = second.activity(instance_id)
    second.close()
    third = hub.raw_worker(orchestrations=[name], activities=[name])
    again = third.activity(instance_id)
    assert again.request == activity.request and again.token != activity.token
    third.finish(again, "1")
    third.answer(third.turn(instance_id), raw.complete(2))
    assert raw.kinds(hub.history(instance_id)).count("orchestratorStarted") == 2


def test_other_streams_of_the_same_worker_live_on(hub: Hub):
    name = hub.unique("siblings")
    worker_id = (*raw.HUB, ("workerid", hub.unique("worker")))
    first = hub.raw_worker(orchestrations=[name], metadata=worker_id)
    second = hub.raw_worker(activities=[name], metadata=worker_id)
    instance_id = hub.start(name)
    first.answer(first.turn(instance_id), raw.schedule_task(1, name))
    activity = second.activity(instance_id)
    first.close()
    second.finish(activity, "1")
    third = hub.raw_worker(orchestrations=[name])
    turn = third.turn(instance_id)
    assert turn.new() == ["orchestratorStarted", "taskCompleted"]
    third.answer(turn, raw.complete(2))
    hub.reaches(instance_id, raw.COMPLETED)


def test_a_completion_may_come_after_the_stream_broke(hub: Hub):
    name = hub.unique("late")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name)
    turn = worker.turn(instance_id)
    worker.close()
    complete_from(hub.stub, pb.OrchestratorResponse(
        instanceId=instance_id, actions=[raw.complete(1, "late")], completionToken=turn.token))
    assert hub.reaches(instance_id, raw.COMPLETED).output.value == "late"


def test_clients_keep_waiting_while_workers_come_and_go(hub: Hub):
    def napping(ctx: task.OrchestrationContext, _):
        return (yield ctx.wait_for_external_event("go"))

    first = hub.worker(orchestrators=[napping])
    instance_id = hub.client.schedule_new_orchestration(napping)
    waiter = hub.stub.WaitForInstanceCompletion.future(
        pb.GetInstanceRequest(instanceId=instance_id), timeout=DEADLINE_S, metadata=raw.HUB)
    hub.reaches(instance_id, raw.RUNNING)
    first.stop()
    hub.client.raise_orchestration_event(instance_id, "go")
    hub.worker(orchestrators=[napping])
    assert waiter.result().orchestrationState.orchestrationStatus == raw.COMPLETED


# Giving back.

def test_an_abandoned_turn_comes_back(hub: Hub):
    name = hub.unique("abandoned")
    worker = hub.raw_worker(orchestrations=[name], activities=[name])
    instance_id = hub.start(name)
    first = worker.turn(instance_id)
    worker.abandon(first)
    worker.abandon(first)
    second = worker.turn(instance_id)
    assert second.token != first.token and second.new() == first.new()
    worker.answer(second, raw.schedule_task(1, name))
    activity = worker.activity(instance_id)
    worker.abandon(activity)
    again = worker.activity(instance_id)
    assert again.request == activity.request and again.token != activity.token
    worker.finish(again)
    worker.answer(worker.turn(instance_id), raw.complete(2))
    hub.reaches(instance_id, raw.COMPLETED)


# Repeating and confusing.

def test_trap_55_a_stale_token_is_no_error_and_changes_nothing(hub: Hub):
    name = hub.unique("stale")
    first = hub.raw_worker(orchestrations=[name], activities=[name])
    instance_id = hub.start(name)
    old = first.turn(instance_id)
    first.close()
    second = hub.raw_worker(orchestrations=[name], activities=[name])
    turn = second.turn(instance_id)
    complete_from(hub.stub, pb.OrchestratorResponse(
        instanceId=instance_id, actions=[raw.complete(1, "stale")], completionToken=old.token))
    assert hub.status(instance_id) == raw.PENDING
    second.answer(turn, raw.complete(1, "current"))
    assert hub.reaches(instance_id, raw.COMPLETED).output.value == "current"


@pytest.mark.parametrize("token", ["garbage", "0:0:0:0", "\x00", "x" * 10_000], ids=["word", "shaped", "nul", "long"])
def test_garbage_tokens_are_answered_and_ignored(hub: Hub, token: str):
    name = hub.unique("garbage")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name)
    turn = worker.turn(instance_id)
    worker.answer(turn, raw.complete(1, "forged"), token=token)
    complete_from(hub.stub, pb.ActivityResponse(instanceId=instance_id, taskId=1, completionToken=token))
    for rpc, request in (("AbandonTaskOrchestratorWorkItem", pb.AbandonOrchestrationTaskRequest),
                         ("AbandonTaskActivityWorkItem", pb.AbandonActivityTaskRequest)):
        hub.call(rpc, request(completionToken=token))
    assert hub.status(instance_id) == raw.PENDING
    worker.answer(turn, raw.complete(1, "true"))
    assert hub.reaches(instance_id, raw.COMPLETED).output.value == "true"


def test_trap_56_a_repeated_completion_counts_once(hub: Hub):
    name = hub.unique("repeated")
    worker = hub.raw_worker(orchestrations=[name], activities=[name])
    instance_id = hub.start(name)
    turn = worker.turn(instance_id)
    for _ in range(3):
        worker.answer(turn, raw.schedule_task(1, name))
    activity = worker.activity(instance_id)
    for result in ("first", "second", "third"):
        worker.finish(activity, result)
    turn = worker.turn(instance_id)
    assert turn.new() == ["orchestratorStarted", "taskCompleted"]
    assert turn.request.newEvents[1].taskCompleted.result.value == "first"
    worker.answer(turn, raw.complete(2, "done"))
    worker.answer(turn, raw.complete(2, "done twice"))
    assert hub.reaches(instance_id, raw.COMPLETED).output.value == "done"
    history = raw.kinds(hub.history(instance_id))
    assert history.count("taskScheduled") == history.count("taskCompleted") == 1
    assert history.count("executionCompleted") == 1


def test_completions_racing_with_one_token_have_one_effect(hub: Hub):
    name = hub.unique("racing")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name)
    turn = worker.turn(instance_id)
    calls = [hub.stub.CompleteOrchestratorTask.future(pb.OrchestratorResponse(
        instanceId=instance_id, actions=[raw.complete(1, str(number))], completionToken=turn.token),
        timeout=DEADLINE_S, metadata=raw.HUB) for number in range(16)]
    for call in calls:
        call.result()
    assert hub.reaches(instance_id, raw.COMPLETED).output.value in map(str, range(16))
    assert raw.kinds(hub.history(instance_id)) == ["orchestratorStarted", "executionStarted", "executionCompleted"]


def test_a_worker_that_knows_neither_tokens_nor_hubs_is_served(hub: Hub):
    name = hub.unique("plain")
    worker = hub.raw_worker(filtered=False, metadata=())
    instance_id = hub.unique(name)
    hub.call("StartInstance", pb.CreateInstanceRequest(instanceId=instance_id, name=name), metadata=())
    worker.answer(worker.turn(instance_id), raw.schedule_task(0, name), raw.schedule_task(1, name), token="")
    for _ in range(2):
        activity = worker.activity(instance_id)
        worker.finish(activity, str(activity.request.taskId), token="")
    done = 0
    while done < 2:
        turn = worker.turn(instance_id)
        done += turn.new().count("taskCompleted")
        worker.answer(turn, *([raw.complete(2, "plain")] if done == 2 else []), token="")
    assert hub.reaches(instance_id, raw.COMPLETED).output.value == "plain"


def test_only_the_first_events_may_be_taken(hub: Hub):
    name = hub.unique("partial")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name)
    worker.answer(worker.turn(instance_id))
    hub.call("SuspendInstance", pb.SuspendRequest(instanceId=instance_id))
    worker.answer(worker.turn(instance_id))
    for event in ("a", "b", "c"):
        hub.raise_event(instance_id, event)
    hub.call("ResumeInstance", pb.ResumeRequest(instanceId=instance_id))
    turn = worker.turn(instance_id)
    assert turn.raised() == [("a", ""), ("b", ""), ("c", "")]
    worker.answer(turn, numEventsProcessed=raw.number(2))
    turn = worker.turn(instance_id)
    assert turn.new() == ["orchestratorStarted", "eventRaised", "executionResumed"]
    assert turn.raised() == [("c", "")]
    worker.answer(turn, raw.complete(1))
    hub.reaches(instance_id, raw.COMPLETED)


def test_of_two_complete_actions_the_first_wins(hub: Hub):
    name = hub.unique("twice")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name)
    worker.answer(worker.turn(instance_id), raw.complete(1, "first"), raw.complete(2, "second", raw.FAILED))
    assert hub.reaches(instance_id, raw.COMPLETED).output.value == "first"


# Large turns.

def test_trap_58_a_turn_may_be_answered_in_chunks(hub: Hub):
    name = hub.unique("chunked")
    worker = hub.raw_worker(orchestrations=[name], activities=[name])
    instance_id = hub.start(name)
    turn = worker.turn(instance_id)
    payload = "c" * 1_000_000
    worker.answer(turn, raw.schedule_task(1, name, payload), raw.schedule_task(2, name, payload),
                  isPartial=True, chunkIndex=raw.number(0), customStatus=raw.text('"chunked"'))
    worker.answer(turn, raw.schedule_task(3, name, payload), isPartial=True, chunkIndex=raw.number(1))
    worker.answer(turn, raw.schedule_task(3, name, payload), isPartial=True, chunkIndex=raw.number(1))
    assert hub.status(instance_id) == raw.PENDING and worker.outstanding_activities() == 0
    worker.answer(turn, raw.schedule_task(4, name, payload), chunkIndex=raw.number(2))
    tasks = sorted(worker.activity(instance_id).request.taskId for _ in range(4))
    assert tasks == [1, 2, 3, 4] and worker.outstanding_activities() == 0
    state = hub.state(instance_id)
    assert state.orchestrationStatus == raw.RUNNING and state.customStatus.value == '"chunked"'
    scheduled = [event.eventId for event in hub.history(instance_id) if event.HasField("taskScheduled")]
    assert scheduled == [1, 2, 3, 4]


def test_chunks_of_a_lost_stream_are_forgotten(hub: Hub):
    name = hub.unique("half")
    first = hub.raw_worker(orchestrations=[name], activities=[name])
    instance_id = hub.start(name)
    first.answer(first.turn(instance_id), raw.schedule_task(1, name), isPartial=True,
                 chunkIndex=raw.number(0))
    first.close()
    second = hub.raw_worker(orchestrations=[name], activities=[name])
    second.answer(second.turn(instance_id), raw.schedule_task(2, name))
    assert second.activity(instance_id).request.taskId == 2
    scheduled = [event.eventId for event in hub.history(instance_id) if event.HasField("taskScheduled")]
    assert scheduled == [2]


def test_trap_60_a_large_history_is_streamed_to_workers_that_can(hub: Hub):
    name = hub.unique("large")
    worker = hub.raw_worker(orchestrations=[name], activities=[name],
                            capabilities=[pb.WORKER_CAPABILITY_HISTORY_STREAMING])
    instance_id = hub.start(name)
    first = worker.turn(instance_id)
    assert not first.request.requiresHistoryStreaming
    payload = "h" * 200_000
    worker.answer(first, *[raw.schedule_task(id, name, payload) for id in range(1, 11)])
    worker.finish(worker.activity(instance_id), "1")
    turn = worker.turn(instance_id)
    assert turn.request.requiresHistoryStreaming and len(turn.request.pastEvents) == 0
    assert turn.new()[0] == "orchestratorStarted" and "taskCompleted" in turn.new()
    past = worker.work_item_history(turn)
    assert raw.kinds(past) == ["orchestratorStarted", "executionStarted", *["taskScheduled"] * 10]
    assert [event.taskScheduled.input.value for event in past[2:]] == [payload] * 10
    hub.raise_event(instance_id, "meanwhile")
    assert worker.work_item_history(turn) == past, "stable while the turn is out"
    worker.answer(turn, raw.complete(11))
    hub.reaches(instance_id, raw.COMPLETED)


def test_other_workers_get_a_large_history_with_the_turn(hub: Hub):
    def step(_, __):
        return "r" * 100_000

    def growing(ctx: task.OrchestrationContext, steps: int):
        total = 0
        for _ in range(steps):
            total += len((yield ctx.call_activity(step)))
        return total

    hub.worker(orchestrators=[growing], activities=[step])
    assert hub.run(growing, 25) == 2_500_000


# The stream itself.

def test_a_stream_answers_at_once_and_pings(hub: Hub):
    worker = hub.raw_worker(orchestrations=["nothing"])
    began = time.monotonic()
    assert worker.stream.initial_metadata() is not None
    worker.wait_for_ping()
    assert time.monotonic() - began < DEADLINE_S


def test_a_reader_that_does_not_read_hinders_nobody(hub: Hub):
    def step(_, payload: str) -> int:
        return len(payload)

    def fast(ctx: task.OrchestrationContext, _):
        return (yield ctx.call_activity(step, input="x" * 1000))

    name = hub.unique("flood")
    channel = raw.open_channel(hub.address)
    asleep = raw.stubs.TaskHubSidecarServiceStub(channel).GetWorkItems(
        pb.GetWorkItemsRequest(workItemFilters=pb.WorkItemFilters(orchestrations=[pb.OrchestrationFilter(name=name)])),
        metadata=raw.HUB)
    assert asleep.initial_metadata() is not None
    flood = [hub.start(name, input="f" * 400_000) for _ in range(60)]
    hub.worker(orchestrators=[fast], activities=[step], filters="auto")
    for _ in range(10):
        assert hub.run(fast) == 1000
    assert {hub.status(instance_id) for instance_id in flood} == {raw.PENDING}
    asleep.cancel()
    channel.close()
    worker = hub.raw_worker(orchestrations=[name])
    for instance_id in flood:
        worker.answer(worker.turn(instance_id), raw.complete(1))
    assert {hub.status(instance_id) for instance_id in flood} == {raw.COMPLETED}


def test_trap_63_a_stuck_reader_keeps_only_what_it_was_sent(hub: Hub):
    name = hub.unique("stuck")
    channel = raw.open_channel(hub.address)
    stuck = raw.stubs.TaskHubSidecarServiceStub(channel).GetWorkItems(
        pb.GetWorkItemsRequest(workItemFilters=pb.WorkItemFilters(orchestrations=[pb.OrchestrationFilter(name=name)])),
        metadata=raw.HUB)
    assert stuck.initial_metadata() is not None
    # More than a connection's window, less than the stream's slots: it has room for more and cannot be sent any.
    held = [hub.start(name, input="f" * 900_000) for _ in range(30)]
    worker = hub.raw_worker(orchestrations=[name])
    worker.wait_for_ping()
    for _ in range(20):
        instance_id = hub.start(name)
        # Shorter than the interval of health pings, which would wake the other stream whatever was forgotten.
        worker.answer(worker.turn(instance_id, within=8.0), raw.complete(1))
    stuck.cancel()
    channel.close()
    for instance_id in held:
        worker.answer(worker.turn(instance_id), raw.complete(1))
        hub.reaches(instance_id, raw.COMPLETED)
