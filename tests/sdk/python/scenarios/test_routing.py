"""Which worker gets what: filters, versions, limits."""

import threading

from durabletask import task
from durabletask.client import OrchestrationStatus
from durabletask.worker import (
    ActivityWorkItemFilter, ConcurrencyOptions, OrchestrationWorkItemFilter, VersionFailureStrategy,
    VersioningOptions, VersionMatchStrategy, WorkItemFilters)
from support import raw
from support.hub import Hub
from support.raw import pb
from support.waiting import eventually


def echo(ctx: task.OrchestrationContext, value):
    return [ctx.version, value]


def strict(version: str, failure: VersionFailureStrategy = VersionFailureStrategy.REJECT) -> VersioningOptions:
    return VersioningOptions(version=version, default_version=version,
                             match_strategy=VersionMatchStrategy.STRICT, failure_strategy=failure)


def test_what_no_worker_wants_waits_and_blocks_nobody(hub: Hub):
    stuck = [hub.start(hub.unique("nobody-runs-this")) for _ in range(150)]
    hub.worker(orchestrators=[echo], filters="auto")
    served = [hub.client.schedule_new_orchestration(echo, input=n) for n in range(20)]
    assert [hub.completed(instance_id) for instance_id in served] == [[None, n] for n in range(20)]
    assert {hub.status(instance_id) for instance_id in stuck} == {raw.PENDING}
    for instance_id in stuck:
        hub.terminate(instance_id)


def test_what_waited_is_served_once_a_worker_wants_it(hub: Hub):
    hub.worker(orchestrators=[echo], filters="auto")

    def latecomer(ctx: task.OrchestrationContext, _):
        return "served"

    instance_id = hub.client.schedule_new_orchestration(latecomer)
    assert hub.run(echo, 1) == [None, 1]
    assert hub.status(instance_id) == raw.PENDING
    hub.worker(orchestrators=[latecomer], filters="auto")
    assert hub.completed(instance_id) == "served"


def test_activities_go_where_they_are_wanted(hub: Hub):
    ran: list[str] = []

    def local(_, __):
        ran.append("local")

    def remote(_, __):
        ran.append("remote")

    def both(ctx: task.OrchestrationContext, _):
        yield ctx.call_activity("local")
        yield ctx.call_activity("remote")

    hub.worker(orchestrators=[both], activities=[local], filters="auto")
    instance_id = hub.client.schedule_new_orchestration(both)
    eventually(lambda: raw.kinds(hub.history(instance_id)).count("taskScheduled") == 2, what="the second activity")
    assert ran == ["local"] and hub.status(instance_id) == raw.RUNNING
    hub.worker(activities=[remote], filters="auto")
    hub.completed(instance_id)
    assert ran == ["local", "remote"]


def test_an_empty_category_gets_nothing(hub: Hub):
    name = hub.unique("orchestrations-only")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name)
    worker.answer(worker.turn(instance_id), raw.schedule_task(1, name), raw.create_timer(2, 0))
    turn = worker.turn(instance_id)
    assert turn.new() == ["orchestratorStarted", "timerFired"] and worker.outstanding_activities() == 0
    worker.answer(turn, raw.complete(3))
    hub.reaches(instance_id, raw.COMPLETED)


def test_versions_are_matched_exactly(hub: Hub):
    hub.worker(orchestrators=[echo], versioning=strict("2.0"), filters="auto")
    matching = hub.client.schedule_new_orchestration(echo, input=1, version="2.0")
    older = hub.client.schedule_new_orchestration(echo, input=2, version="1.0")
    unversioned = hub.client.schedule_new_orchestration(echo, input=3)
    assert hub.completed(matching) == ["2.0", 1]
    assert hub.run(echo, 4, version="2.0") == ["2.0", 4]
    assert hub.status(older) == hub.status(unversioned) == raw.PENDING
    hub.worker(orchestrators=[echo], versioning=strict("1.0"), filters="auto")
    assert hub.completed(older) == ["1.0", 2]
    assert hub.status(unversioned) == raw.PENDING
    filters = WorkItemFilters(orchestrations=[OrchestrationWorkItemFilter("echo", versions=[""])],
                              activities=[], entities=[])
    hub.worker(orchestrators=[echo], filters=filters)
    assert hub.completed(unversioned) == [None, 3]


def test_an_unversioned_activity_has_its_orchestrations_version(hub: Hub):
    def step(_, __):
        return "stepped"

    def stepping(ctx: task.OrchestrationContext, _):
        return (yield ctx.call_activity(step))

    hub.worker(orchestrators=[stepping], activities=[step], versioning=strict("3.0"), filters="auto")
    assert hub.run(stepping, version="3.0") == "stepped"


def test_a_filter_without_versions_takes_any(hub: Hub):
    filters = WorkItemFilters(
        orchestrations=[OrchestrationWorkItemFilter("echo", versions=["7"]), OrchestrationWorkItemFilter("echo")],
        activities=[ActivityWorkItemFilter("unused")], entities=[])
    hub.worker(orchestrators=[echo], filters=filters)
    assert [hub.run(echo, 0, version=version) for version in ("7", "8", None)] == [["7", 0], ["8", 0], [None, 0]]


def test_a_rejected_version_is_offered_to_another_worker(hub: Hub):
    hub.worker(orchestrators=[echo], versioning=strict("1.0"))
    instance_id = hub.client.schedule_new_orchestration(echo, input=1, version="2.0")
    hub.run(echo, version="1.0")
    assert hub.status(instance_id) == raw.PENDING
    hub.worker(orchestrators=[echo], versioning=strict("2.0"))
    assert hub.completed(instance_id) == ["2.0", 1]


def test_a_version_mismatch_may_fail_the_orchestration(hub: Hub):
    hub.worker(orchestrators=[echo], versioning=strict("1.0", VersionFailureStrategy.FAIL))
    instance_id = hub.client.schedule_new_orchestration(echo, version="2.0")
    state = hub.ended(instance_id)
    assert state.runtime_status == OrchestrationStatus.FAILED
    assert "VersionMismatch" in hub.state(instance_id).failureDetails.errorType


def test_a_worker_holds_no_more_than_it_asked_for(hub: Hub):
    lock, running, highest = threading.Lock(), [0], [0]
    enough = threading.Event()

    def crowded(_, __):
        with lock:
            running[0] += 1
            highest[0] = max(highest[0], running[0])
        enough.wait(0.02)
        with lock:
            running[0] -= 1

    def spread(ctx: task.OrchestrationContext, width: int):
        yield task.when_all([ctx.call_activity(crowded) for _ in range(width)])

    hub.worker(orchestrators=[spread], activities=[crowded],
               concurrency_options=ConcurrencyOptions(maximum_concurrent_activity_work_items=3,
                                                      maximum_thread_pool_workers=20))
    hub.run(spread, 30)
    assert 1 <= highest[0] <= 3


def test_the_limit_counts_what_is_out_not_what_was_sent(hub: Hub):
    name = hub.unique("limited")
    worker = hub.raw_worker(orchestrations=[name], activities=[name],
                            maxConcurrentOrchestrationWorkItems=1, maxConcurrentActivityWorkItems=2)
    instance_id = hub.start(name)
    worker.answer(worker.turn(instance_id), *[raw.schedule_task(id, name) for id in range(1, 8)])
    finished = set()
    held = [worker.activity(instance_id), worker.activity(instance_id)]
    while held:
        assert worker.outstanding_activities() == 0, "a third one came while two were out"
        activity = held.pop(0)
        finished.add(activity.request.taskId)
        worker.finish(activity)
        if len(finished) + len(held) < 7:
            held.append(worker.activity(instance_id))
    assert finished == set(range(1, 8))
    done = 0
    while done < 7:
        turn = worker.turn(instance_id)
        done += turn.new().count("taskCompleted")
        worker.answer(turn, *([raw.complete(9)] if done == 7 else []))
    hub.reaches(instance_id, raw.COMPLETED)


def test_zero_means_the_servers_default(hub: Hub):
    name = hub.unique("zero")
    worker = hub.raw_worker(orchestrations=[name], activities=[name], maxConcurrentOrchestrationWorkItems=0,
                            maxConcurrentActivityWorkItems=0, maxConcurrentEntityWorkItems=0)
    instance_id = hub.start(name)
    worker.answer(worker.turn(instance_id), *[raw.schedule_task(id, name) for id in range(1, 11)])
    eventually(lambda: worker.outstanding_activities() == 10, what="ten activities at once")


def test_work_one_worker_has_no_room_for_goes_to_another(hub: Hub):
    name = hub.unique("overflow")
    first = hub.raw_worker(orchestrations=[name], activities=[name], maxConcurrentActivityWorkItems=12)
    second = hub.raw_worker(activities=[name], maxConcurrentActivityWorkItems=12)
    second.wait_for_ping()
    instance_id = hub.start(name)
    first.answer(first.turn(instance_id), *[raw.schedule_task(id, name) for id in range(1, 21)])
    eventually(lambda: first.outstanding_activities() + second.outstanding_activities() == 20, what="all handed out")
    assert first.outstanding_activities() >= 8 and second.outstanding_activities() >= 8


def test_workers_with_room_share_the_work(hub: Hub):
    name = hub.unique("shared")
    first = hub.raw_worker(orchestrations=[name], activities=[name])
    second = hub.raw_worker(activities=[name])
    second.wait_for_ping()
    instance_id = hub.start(name)
    first.answer(first.turn(instance_id), *[raw.schedule_task(id, name) for id in range(1, 41)])
    eventually(lambda: first.outstanding_activities() + second.outstanding_activities() == 40, what="all handed out")
    assert first.outstanding_activities() > 0 and second.outstanding_activities() > 0


def test_two_hubs_do_not_see_each_other(hub: Hub):
    other = (("taskhub", hub.unique("hub")),)
    request = pb.CreateInstanceRequest(instanceId=hub.unique("elsewhere"), name="echo")
    try:
        hub.call("StartInstance", request, metadata=other)
    except raw.grpc.RpcError as error:
        assert error.code() == raw.grpc.StatusCode.NOT_FOUND, "an unknown hub is either made or not found"
    assert hub.state(request.instanceId) is None
