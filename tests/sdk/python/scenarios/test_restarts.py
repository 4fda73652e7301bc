"""The server stops, on purpose and not, and carries on where it was."""

import time
from datetime import timedelta

import grpc
import pytest
from durabletask import task
from support import raw
from support.hub import Hub, quick_reconnect
from support.server import STOP_WITHIN_S, Server
from support.waiting import eventually

pytestmark = pytest.mark.own_server


def journey(ctx: task.OrchestrationContext, _):
    """An activity, a timer, a child and an event."""
    ctx.set_custom_status("under way")
    first = yield ctx.call_activity(step, input=1)
    yield ctx.create_timer(timedelta(seconds=2))
    second = yield ctx.call_sub_orchestrator(leg, input=2)
    third = yield ctx.wait_for_external_event("go")
    return [first, second, third]


def leg(ctx: task.OrchestrationContext, number: int):
    return (yield ctx.call_activity(step, input=number))


def step(_, number: int) -> int:
    return number * 10


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_everything_goes_on_after_a_restart(own_server: Server, how: str):
    hub = Hub(own_server.address)
    try:
        hub.worker(orchestrators=[journey, leg], activities=[step], **quick_reconnect())
        instances = [hub.client.schedule_new_orchestration(journey) for _ in range(10)]
        waiting = hub.start("nobody-runs-this", input="kept")
        for instance_id in instances:
            hub.reaches(instance_id, raw.RUNNING)
            hub.client.raise_orchestration_event(instance_id, "go", data="event")
        if how == "killed":
            own_server.kill()
        else:
            own_server.stop()
        own_server.start()
        eventually(lambda: _is_up(hub), what="the client reconnected")
        for instance_id in instances:
            assert hub.completed(instance_id, within=60) == [10, 20, "event"]
        assert hub.state(waiting).input.value == "kept"
    finally:
        hub.close()


def test_the_last_acknowledged_requests_survive_a_kill(own_server: Server):
    for round_ in range(8):
        hub = Hub(own_server.address)
        try:
            worker = hub.raw_worker(orchestrations=["last-words"])
            instance_id = hub.start("last-words")
            worker.answer(worker.turn(instance_id), customStatus=raw.text(f'"{round_}"'))
            worker.close()
            for word in ("one", "two", "three"):
                hub.raise_event(instance_id, "say", word)
            newest = hub.start("nobody-runs-this")
            own_server.kill()
        finally:
            hub.close()
        own_server.start()
        hub = Hub(own_server.address)
        try:
            # The first answers after the start already tell everything that was acknowledged before the kill.
            assert hub.status(newest) == raw.PENDING
            state = hub.state(instance_id)
            assert state.orchestrationStatus == raw.RUNNING and state.customStatus.value == f'"{round_}"'
            turn = hub.raw_worker(orchestrations=["last-words"]).turn(instance_id)
            assert turn.raised() == [("say", "one"), ("say", "two"), ("say", "three")]
        finally:
            hub.close()


def test_a_stop_ends_streams_as_unavailable_and_in_time(own_server: Server):
    hub = Hub(own_server.address)
    try:
        worker = hub.raw_worker(orchestrations=["nothing"])
        worker.wait_for_ping()
        took = own_server.stop()
        ended = worker.wait_for_end()
        assert isinstance(ended, grpc.RpcError) and ended.code() == grpc.StatusCode.UNAVAILABLE, ended
        assert took <= STOP_WITHIN_S
    finally:
        hub.close()


def test_work_in_hand_is_finished_before_a_stop(own_server: Server):
    def slow(_, __):
        time.sleep(1.0)
        return "finished"

    def patient(ctx: task.OrchestrationContext, _):
        return (yield ctx.call_activity(slow))

    hub = Hub(own_server.address)
    try:
        hub.worker(orchestrators=[patient], activities=[slow], **quick_reconnect())
        instance_id = hub.client.schedule_new_orchestration(patient)
        hub.reaches(instance_id, raw.RUNNING)
        own_server.stop()
        own_server.start()
        eventually(lambda: _is_up(hub), what="the client reconnected")
        assert hub.completed(instance_id, within=60) == "finished"
    finally:
        hub.close()


def test_a_data_directory_serves_one_process(own_server: Server):
    second = Server(own_server.data.parent)
    second.log = own_server.data.parent / "second.log"
    second.spawn()
    try:
        eventually(lambda: not second.is_running(), what="the second process giving up")
    finally:
        second.kill()
    assert own_server.is_running()
    assert str(own_server.data) in second.log_tail()


def _is_up(hub: Hub) -> bool:
    try:
        hub.state("anything")
        return True
    except grpc.RpcError:
        return False
