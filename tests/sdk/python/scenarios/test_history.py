"""What is recorded, and how it comes back."""

from datetime import timedelta

import grpc
from durabletask import task
from support import raw
from support.hub import Hub
from support.raw import pb


def test_a_history_is_exactly_what_happened(hub: Hub):
    def step(_, __):
        return "stepped"

    def child(ctx: task.OrchestrationContext, _):
        return "child"

    def story(ctx: task.OrchestrationContext, _):
        yield ctx.call_activity(step, input=1)
        yield ctx.create_timer(timedelta(milliseconds=100))
        return (yield ctx.call_sub_orchestrator(child))

    hub.worker(orchestrators=[story, child], activities=[step])
    instance_id = hub.client.schedule_new_orchestration(story, input="in")
    hub.completed(instance_id)
    history = hub.history(instance_id)
    assert raw.kinds(history) == [
        "orchestratorStarted", "executionStarted", "taskScheduled",
        "orchestratorStarted", "taskCompleted", "timerCreated",
        "orchestratorStarted", "timerFired", "subOrchestrationInstanceCreated",
        "orchestratorStarted", "subOrchestrationInstanceCompleted", "executionCompleted"]
    decided = {"taskScheduled", "timerCreated", "subOrchestrationInstanceCreated", "executionCompleted"}
    ids = [event.eventId for event in history if event.WhichOneof("eventType") in decided]
    assert all(id >= 0 for id in ids) and ids == sorted(set(ids))
    assert all(event.eventId == -1 for event in history if event.WhichOneof("eventType") not in decided)
    assert all(event.HasField("timestamp") for event in history)
    assert history[2].taskScheduled.name == "step" and history[2].taskScheduled.input.value == "1"
    assert history[4].taskCompleted.taskScheduledId == history[2].eventId
    assert history[7].timerFired.timerId == history[5].eventId
    assert history[10].subOrchestrationInstanceCompleted.taskScheduledId == history[8].eventId
    completed = history[11].executionCompleted
    assert completed.orchestrationStatus == raw.COMPLETED and completed.result.value == '"child"'
    started = history[1].executionStarted
    assert started.name == "story" and started.input.value == '"in"'
    assert started.orchestrationInstance.instanceId == instance_id
    assert not started.HasField("parentInstance") and not started.HasField("version")


def test_the_sdk_reads_the_same_history(hub: Hub):
    def done(ctx: task.OrchestrationContext, _):
        return 1

    hub.worker(orchestrators=[done])
    instance_id = hub.client.schedule_new_orchestration(done)
    hub.completed(instance_id)
    names = [type(event).__name__ for event in hub.client.get_orchestration_history(instance_id)]
    assert names == ["OrchestratorStartedEvent", "ExecutionStartedEvent", "ExecutionCompletedEvent"]


def test_no_turn_no_history(hub: Hub):
    instance_id = hub.start(hub.unique("nobody-runs-this"))
    assert hub.history(instance_id) == []
    hub.terminate(instance_id)


def test_a_history_longer_than_one_message_comes_in_chunks(hub: Hub):
    name = hub.unique("long")
    worker = hub.raw_worker(orchestrations=[name], activities=[name])
    instance_id = hub.start(name)
    payload = "p" * 100_000
    worker.answer(worker.turn(instance_id), *[raw.schedule_task(id, name, payload) for id in range(1, 61)])
    chunks = list(hub.stub.StreamInstanceHistory(
        pb.StreamInstanceHistoryRequest(instanceId=instance_id), timeout=30, metadata=raw.HUB))
    assert len(chunks) > 1 and all(chunk.ByteSize() < 4 * 1024 * 1024 for chunk in chunks)
    scheduled = [event for chunk in chunks for event in chunk.events if event.HasField("taskScheduled")]
    assert [event.eventId for event in scheduled] == list(range(1, 61))
    hub.terminate(instance_id)
    worker.answer(worker.turn(instance_id), raw.complete(61, status=raw.TERMINATED))


def test_the_history_of_nothing_is_refused_or_empty(hub: Hub):
    stream = hub.stub.StreamInstanceHistory(
        pb.StreamInstanceHistoryRequest(instanceId=hub.unique("missing")), timeout=30, metadata=raw.HUB)
    try:
        assert [event for chunk in stream for event in chunk.events] == []
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND


def test_a_generation_that_is_gone_has_no_history(hub: Hub):
    name = hub.unique("gone")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name)
    old = worker.turn(instance_id)
    worker.answer(old, raw.continue_as_new(1))
    worker.answer(worker.turn(instance_id), raw.complete(1))
    stream = hub.stub.StreamInstanceHistory(pb.StreamInstanceHistoryRequest(
        instanceId=instance_id, executionId=old.request.executionId), timeout=30, metadata=raw.HUB)
    try:
        list(stream)
        raise AssertionError("an old execution's history was served")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND


def test_trace_contexts_pass_through_unchanged(hub: Hub):
    def context(digit: str) -> pb.TraceContext:
        return pb.TraceContext(traceParent=f"00-{digit * 32}-{digit * 16}-01", spanID=digit * 16,
                               traceState=raw.text(f"vendor={digit}"))

    name, child_name = hub.unique("traced"), hub.unique("traced-child")
    worker = hub.raw_worker(orchestrations=[name, child_name], activities=[name])
    instance_id, child_id = hub.start(name, parentTraceContext=context("1")), hub.unique("child")
    turn = worker.turn(instance_id)
    assert turn.started().parentTraceContext == context("1")
    assert not turn.request.HasField("orchestrationTraceContext")
    span = pb.OrchestrationTraceContext(spanID=raw.text("abcdef0123456789"), spanStartTime=raw.timestamp(1234.5))
    worker.answer(turn, raw.schedule_task(1, name, parentTraceContext=context("2")),
                  raw.create_child(2, child_name, child_id, parentTraceContext=context("3")),
                  orchestrationTraceContext=span)
    activity = worker.activity(instance_id)
    assert activity.request.parentTraceContext == context("2")
    assert worker.turn(child_id).started().parentTraceContext == context("3")
    worker.finish(activity)
    turn = worker.turn(instance_id)
    assert turn.request.orchestrationTraceContext == span
    worker.answer(turn, raw.schedule_task(3, name))
    activity = worker.activity(instance_id)
    assert not activity.request.HasField("parentTraceContext"), "absent stays absent"
    worker.finish(activity)
    turn = worker.turn(instance_id)
    assert turn.request.orchestrationTraceContext == span, "kept until the worker sends another one"
    scheduled = [event.taskScheduled for event in turn.request.pastEvents if event.HasField("taskScheduled")]
    assert scheduled[0].parentTraceContext == context("2") and not scheduled[1].HasField("parentTraceContext")
    worker.answer(turn, raw.continue_as_new(4))
    turn = worker.turn(instance_id)
    assert turn.started().parentTraceContext == context("1")
    assert not turn.request.HasField("orchestrationTraceContext"), "a new generation starts a new span"
    worker.answer(turn, raw.complete(1))
    hub.reaches(instance_id, raw.COMPLETED)
