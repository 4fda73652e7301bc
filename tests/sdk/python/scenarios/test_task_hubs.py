"""Task hubs: made, deleted, wiped, and strangers to each other. The server here makes none by itself."""

import time
import uuid
from collections.abc import Iterator

import grpc
import pytest
from durabletask import task
from google.protobuf import empty_pb2
from support import raw
from support.hub import Hub
from support.raw import pb
from support.server import Server
from support.waiting import DEADLINE_S, eventually

pytestmark = pytest.mark.own_server


class Hubs:
    """Opens hubs of a server and closes them afterwards."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._open: list[Hub] = []

    def name(self) -> str:
        return f"Hub-{uuid.uuid4().hex[:12]}"

    def at(self, name: str) -> Hub:
        """A hub of this name, whether there is one or not."""
        self._open.append(Hub(self.address, name))
        return self._open[-1]

    def made(self) -> Hub:
        """A new hub."""
        hub = self.at(self.name())
        create(hub)
        return hub

    def close(self) -> None:
        for hub in self._open:
            hub.close()


@pytest.fixture
def hubs(strict_address: str) -> Iterator[Hubs]:
    hubs = Hubs(strict_address)
    yield hubs
    hubs.close()


def create(hub: Hub, *, again: bool = False) -> None:
    hub.call("CreateTaskHub", pb.CreateTaskHubRequest(recreateIfExists=again))


def delete(hub: Hub) -> None:
    hub.call("DeleteTaskHub", pb.DeleteTaskHubRequest())


def is_missing(hub: Hub) -> str:
    """Makes sure that the hub is missing to every kind of call; returns what one of them was told."""
    for rpc, request in (("Hello", empty_pb2.Empty()), ("StartInstance", pb.CreateInstanceRequest(name="any")),
                         ("WaitForInstanceStart", pb.GetInstanceRequest(instanceId="any")),
                         ("QueryInstances", pb.QueryInstancesRequest()),
                         ("PurgeInstances", pb.PurgeInstancesRequest(instanceId="any")),
                         ("SignalEntity", pb.SignalEntityRequest(instanceId="@any@one", name="ring")),
                         ("QueryEntities", pb.QueryEntitiesRequest())):
        hub.refused(rpc, request, grpc.StatusCode.NOT_FOUND)
    ended = hub.raw_worker(orchestrations=["any"]).wait_for_end()
    assert isinstance(ended, grpc.RpcError) and ended.code() == grpc.StatusCode.NOT_FOUND
    return hub.refused("GetInstance", pb.GetInstanceRequest(instanceId="any"), grpc.StatusCode.NOT_FOUND)


def fill(hub: Hub) -> tuple[raw.RawWorker, raw.Turn, raw.Activity, raw.Batch]:
    """Something of everything: instances ended, living and queued, a timer, an entity with state, work that is out."""
    worker = hub.raw_worker(orchestrations=["filling"], activities=["filling"], entities=["filling"])
    hub.start("filling", instance_id="ended")
    worker.answer(worker.turn("ended"), raw.complete(1, '"output"'))
    hub.start("filling", instance_id="living")
    worker.answer(worker.turn("living"), raw.schedule_task(1, "filling"), raw.create_timer(2, time.time() + 0.5))
    activity = worker.activity("living")
    hub.start("filling", instance_id="beginning")
    turn = worker.turn("beginning")
    hub.start("nobody-runs-this", instance_id="queued")
    hub.signal("@filling@one", "set")
    worker.commit(worker.batch("@filling@one"), raw.success(), state='"state"')
    hub.signal("@filling@one", "out")
    batch = worker.batch("@filling@one")
    hub.signal("@filling@one", "queued")
    hub.signal("@filling@late", "delayed", scheduledTime=raw.timestamp(time.time() + 0.5))
    return worker, turn, activity, batch


def is_empty(hub: Hub) -> None:
    assert hub.query() == [] and hub.entities("", includeTransient=True) == []
    assert hub.pages("ListInstanceIds") == [[]]
    for instance_id in ("ended", "living", "beginning", "queued"):
        assert hub.state(instance_id) is None
    assert hub.entity("@filling@one") is None


# Which there are.

def test_an_unknown_hub_is_not_found_and_the_error_names_the_fix(hubs: Hubs):
    hub = hubs.at(hubs.name())
    detail = is_missing(hub)
    assert hub.name in detail, "which hub"
    assert "create" in detail.lower() and "taskhub=" in detail.lower(), "create it, or name another one"
    is_missing(hub)


def test_a_hub_is_there_once_it_is_made(hubs: Hubs):
    hub = hubs.at(hubs.name())
    is_missing(hub)
    create(hub)
    hub.call("Hello", empty_pb2.Empty())

    def greets(ctx: task.OrchestrationContext, name: str):
        return f"hello {name}"

    hub.worker(orchestrators=[greets])
    assert hub.run(greets, "hub") == "hello hub"


def test_names_of_hubs_have_no_case(hubs: Hubs):
    hub = hubs.made()
    hub.start("nobody-runs-this", instance_id="one")
    for name in (hub.name.upper(), hub.name.lower()):
        assert hubs.at(name).status("one") == raw.PENDING
    create(hubs.at(hub.name.upper()))
    assert hub.status("one") == raw.PENDING, "it was there already"


def test_making_a_hub_again_keeps_what_is_in_it(hubs: Hubs):
    hub = hubs.made()
    worker, turn, activity, batch = fill(hub)
    create(hub)
    assert len(hub.query()) == 4 and hub.entity("@filling@one").serializedState.value == '"state"'
    worker.answer(turn, raw.complete(1))
    worker.finish(activity, '"result"')
    worker.commit(batch, raw.success(), state='"changed"')
    hub.holds("@filling@one", "changed")
    assert hub.status("beginning") == raw.COMPLETED and worker.ended is None


# Wiping.

def test_recreating_a_hub_wipes_it(hubs: Hubs):
    hub = hubs.made()
    worker, turn, activity, batch = fill(hub)
    create(hub, again=True)
    is_empty(hub)
    worker.close()
    # What was out, comes too late.
    late = hub.raw_worker(orchestrations=["filling"], activities=["filling"], entities=["filling"])
    late.answer(turn, raw.complete(1, '"ghost"'))
    late.finish(activity, '"ghost"')
    late.commit(batch, raw.success(), state='"ghost"')
    is_empty(hub)
    # The same ids again, long enough for the old timer and the old delayed signal to be due.
    for instance_id in ("ended", "living", "beginning"):
        hub.start("filling", instance_id=instance_id, policy=[])
        turn = late.turn(instance_id)
        assert turn.past() == [] and turn.new() == ["orchestratorStarted", "executionStarted"]
        late.answer(turn, raw.create_timer(2, time.time() + 0.7))
    for instance_id in ("ended", "living", "beginning"):
        turn = late.turn(instance_id)
        assert turn.new() == ["orchestratorStarted", "timerFired"]
        (mine,) = [event.timerCreated.fireAt for event in turn.request.pastEvents if event.HasField("timerCreated")]
        assert turn.request.newEvents[1].timerFired.fireAt == mine
        late.answer(turn, raw.complete(3))
    hub.signal("@filling@one", "fresh")
    fresh = late.batch("@filling@one")
    assert fresh.operations() == [("fresh", "")] and fresh.state is None
    assert late.outstanding_batches() == late.outstanding_activities() == 0
    assert hub.entities("@filling@late", includeTransient=True) == []


def test_recreating_makes_what_is_missing(hubs: Hubs):
    hub = hubs.at(hubs.name())
    create(hub, again=True)
    is_empty(hub)


# Deleting.

def test_a_deleted_hub_is_missing_and_its_streams_end(hubs: Hubs):
    hub, neighbour = hubs.made(), hubs.made()
    worker, *_ = fill(hub)
    beside = neighbour.raw_worker(orchestrations=["filling"])
    beside.wait_for_ping()
    waiting = [wait.future(pb.GetInstanceRequest(instanceId=instance_id), timeout=DEADLINE_S, metadata=hub.metadata)
               for wait in (hub.stub.WaitForInstanceStart, hub.stub.WaitForInstanceCompletion)
               for instance_id in ("queued", "not yet")]
    delete(hub)
    ended = worker.wait_for_end()
    assert isinstance(ended, grpc.RpcError), "an end with OK would make workers come back at once"
    for error in [ended, *(call.exception() for call in waiting)]:
        assert isinstance(error, grpc.RpcError) and error.code() == grpc.StatusCode.NOT_FOUND
        assert hub.name in error.details() and "during this call" in error.details()
    is_missing(hub)
    neighbour.start("filling", instance_id="living")
    beside.answer(beside.turn("living"), raw.complete(1))
    assert beside.ended is None


def test_deleting_what_is_missing_is_fine(hubs: Hubs):
    hub = hubs.at(hubs.name())
    delete(hub)
    is_missing(hub)
    create(hub)
    delete(hub)
    delete(hub)
    is_missing(hub)


def test_a_hub_made_after_its_deletion_is_empty(hubs: Hubs):
    hub = hubs.made()
    worker, *_ = fill(hub)
    delete(hub)
    create(hub)
    is_empty(hub)
    worker.close()
    worker = hub.raw_worker(orchestrations=["filling"], activities=["filling"], entities=["filling"])
    hub.start("filling", instance_id="living")
    turn = worker.turn("living")
    assert turn.new() == ["orchestratorStarted", "executionStarted"]
    worker.answer(turn, raw.create_timer(1, time.time() + 0.7))
    turn = worker.turn("living")
    assert turn.new() == ["orchestratorStarted", "timerFired"]
    assert worker.outstanding_batches() == worker.outstanding_activities() == 0


# Strangers.

def test_equal_ids_in_two_hubs_are_two_instances(hubs: Hubs):
    one, two = hubs.made(), hubs.made()
    workers = [hub.raw_worker(orchestrations=["same"], activities=["same"]) for hub in (one, two)]
    for hub, input in ((one, "1"), (two, "2")):
        hub.start("same", instance_id="same", input=input)
    turns = [worker.turn("same") for worker in workers]
    assert [turn.started().input.value for turn in turns] == ["1", "2"]
    assert turns[0].request.executionId.value != turns[1].request.executionId.value
    for worker, turn in zip(workers, turns, strict=True):
        worker.answer(turn, raw.schedule_task(1, "same", turn.started().input.value))
        assert worker.activity("same").request.input.value == turn.started().input.value
    one.raise_event("same", "for one")
    turn = workers[0].turn("same")
    assert turn.raised() == [("for one", "")]
    workers[0].answer(turn, raw.complete(2, '"one"'))
    one.reaches("same", raw.COMPLETED)
    assert two.status("same") == raw.RUNNING
    two.terminate("same", '"two"')
    workers[1].answer(workers[1].turn("same"), raw.complete(2, '"two"', raw.TERMINATED))
    assert (one.state("same").output.value, two.state("same").output.value) == ('"one"', '"two"')
    assert one.purge("same").deletedInstanceCount == 1
    assert one.query() == [] and two.query() == ["same"]
    assert workers[1].waiting_turn("same") is None


def test_children_events_and_entities_stay_in_their_hub(hubs: Hubs):
    one, two = hubs.made(), hubs.made()
    workers = [hub.raw_worker(orchestrations=["same"], entities=["same"]) for hub in (one, two)]
    for hub, worker in zip((one, two), workers, strict=True):
        hub.start("same", instance_id="listener")
        worker.answer(worker.turn("listener"))
        hub.signal("@same@one", "set")
        worker.commit(worker.batch("@same@one"), raw.success(), state='"before"')
    one.start("same", instance_id="speaker")
    section = raw.guid()
    workers[0].answer(workers[0].turn("speaker"), raw.create_child(1, "same", "child"),
                      pb.OrchestratorAction(id=2, sendEvent=pb.SendEventAction(
                          instance=pb.OrchestrationInstance(instanceId="listener"), name="hello")),
                      raw.call_entity(3, "@same@one", "call"), raw.lock_entities(4, section, "@same@one"))
    assert workers[0].turn("listener").raised() == [("hello", "")]
    assert workers[0].turn("child").started().name == "same"
    workers[0].commit(workers[0].batch("@same@one"), raw.success("1"), state='"after"')
    eventually(lambda: one.entity("@same@one").lockedBy.value == "speaker", what="the lock")
    assert two.query() == ["listener"] and two.state("child") is None
    namesake = two.entity("@same@one")
    assert namesake.serializedState.value == '"before"' and not namesake.HasField("lockedBy")
    two.signal("@same@one", "probe")
    assert workers[1].batch("@same@one").operations() == [("probe", "")]
    assert workers[1].waiting_turn("listener") is None


@pytest.mark.parametrize("rpc", ["QueryInstances", "ListInstanceIds", "QueryEntities"])
def test_a_page_of_one_hub_does_not_go_on_in_another(hubs: Hubs, rpc: str):
    one, two = hubs.made(), hubs.made()
    for hub in (one, two):
        for number in range(3):
            hub.start("nobody-runs-this", instance_id=f"{number}")
            hub.terminate(f"{number}")
        worker = hub.raw_worker(entities=["paged"])
        for number in range(3):
            hub.signal(f"@paged@{number}", "set")
            worker.commit(worker.batch(f"@paged@{number}"), raw.success(), state="1")
    page, token = one.page(rpc, 2)
    assert len(page) == 2
    with pytest.raises(grpc.RpcError) as refused:
        two.page(rpc, 2, token)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    page, token = one.page(rpc, 2, token)
    assert len(page) == 1 and token is None


def test_a_completion_token_is_worth_nothing_in_another_hub(hubs: Hubs):
    one, two = hubs.made(), hubs.made()
    worker, turn, activity, batch = fill(one)
    fill(two)
    stranger = two.raw_worker()
    stranger.answer(turn, raw.complete(1, '"forged"'))
    stranger.finish(activity, '"forged"')
    stranger.commit(batch, raw.success(), state='"forged"')
    for item in (turn, activity, batch):
        stranger.abandon(item)
    for hub in (one, two):
        assert hub.status("beginning") == raw.PENDING
        assert hub.entity("@filling@one").serializedState.value == '"state"'
    worker.answer(turn, raw.complete(1, '"true"'))
    worker.finish(activity, '"true"')
    worker.commit(batch, raw.success(), state='"true"')
    assert one.reaches("beginning", raw.COMPLETED).output.value == '"true"'
    one.holds("@filling@one", "true")
    results: list[str] = []
    while not results:
        turn = worker.turn("living")
        results = [event.taskCompleted.result.value for event in turn.request.newEvents
                   if event.HasField("taskCompleted")]
        worker.answer(turn)
    assert results == ['"true"']


def test_a_purge_of_one_hub_spares_the_others(hubs: Hubs):
    one, two = hubs.made(), hubs.made()
    for hub in (one, two):
        hub.start("nobody-runs-this", instance_id="same")
        hub.terminate("same")
    assert one.purge(purgeInstanceFilter=pb.PurgeInstanceFilter()).deletedInstanceCount == 1
    assert one.query() == [] and two.query() == ["same"]


# After a restart of the server.

def test_what_was_made_and_deleted_stays_so(own_server: Server):
    own_server.stop()
    own_server.environment["LONGHAUL_HUBS__DYNAMIC"] = "false"
    own_server.start()
    before = Hubs(own_server.address)
    try:
        kept, deleted, wiped = before.made(), before.made(), before.made()
        for hub in (kept, deleted, wiped):
            hub.start("nobody-runs-this", instance_id="one")
        delete(deleted)
        create(wiped, again=True)
        wiped.start("nobody-runs-this", instance_id="two")
        own_server.kill()
    finally:
        before.close()
    own_server.start()
    after = Hubs(own_server.address)
    try:
        assert after.at(kept.name).query() == ["one"]
        assert after.at(wiped.name).query() == ["two"]
        is_missing(after.at(deleted.name))
        create(again := after.at(deleted.name))
        is_empty(again)
    finally:
        after.close()
