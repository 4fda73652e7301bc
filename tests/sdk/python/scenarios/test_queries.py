"""Finding instances: QueryInstances with its filters and pages, and ListInstanceIds."""

import json
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import grpc
import pytest
from durabletask.client import OrchestrationQuery, OrchestrationStatus
from google.protobuf import timestamp_pb2
from support import raw
from support.hub import Hub
from support.raw import pb
from support.waiting import DEADLINE_S

STATUSES = {"completed": raw.COMPLETED, "failed": raw.FAILED, "terminated": raw.TERMINATED, "pending": raw.PENDING,
            "running": raw.RUNNING, "suspended": raw.SUSPENDED}


class Population:
    """A hub with 21 instances in every status, made one after the other; nothing in it changes."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.name = hub.unique("population")
        worker = hub.raw_worker(orchestrations=[self.name])
        self.statuses: dict[str, str] = {}
        kinds = [*STATUSES] * 3 + ["completed", "completed", "failed"]
        for number, kind in enumerate(kinds):
            # Ids in another order than that of their making.
            instance_id = f"{'zyx'[number % 3]}-{kind}-{number:02}"
            self.statuses[instance_id] = kind
            hub.start(self.name if kind != "pending" else hub.unique("nobody-runs-this"), instance_id=instance_id,
                      input=json.dumps(number), tags={"number": str(number)})
            if kind == "pending":
                continue
            turn, status = worker.turn(instance_id), STATUSES[kind]
            ends = [raw.complete(1, json.dumps(kind), status, failureDetails=(
                raw.failure("broken").failure.failureDetails if kind == "failed" else None))]
            worker.answer(turn, *([] if kind in ("running", "suspended") else ends), customStatus=raw.text(f'"{kind}"'))
            if kind == "suspended":
                hub.suspend(instance_id)
                worker.answer(worker.turn(instance_id), customStatus=raw.text(f'"{kind}"'))
        self.states = {instance_id: hub.state(instance_id) for instance_id in self.statuses}

    def ids(self, *kinds: str) -> list[str]:
        """The ids of these statuses (none: all), in the order queries have."""
        chosen = [id for id, kind in self.statuses.items() if not kinds or kind in kinds]
        return sorted(chosen, key=lambda id: (self.states[id].createdTimestamp.ToNanoseconds(), id))

    def created(self, instance_id: str) -> timestamp_pb2.Timestamp:
        return self.states[instance_id].createdTimestamp

    def ended(self, *kinds: str) -> list[str]:
        """The ids of these terminal statuses (none: all three), in the order ListInstanceIds has."""
        return sorted(self.ids(*(kinds or ("completed", "failed", "terminated"))),
                      key=lambda id: (self.states[id].completedTimestamp.ToNanoseconds(), id))


@pytest.fixture(scope="module")
def population(address: str) -> Iterator[Population]:
    hub = Hub(address, f"Population-{uuid.uuid4().hex[:12]}")
    yield Population(hub)
    hub.close()


def states(page: list[Any]) -> list[str]:
    return [state.instanceId for state in page]


def start_many(hub: Hub, count: int, prefix: str = "") -> list[str]:
    """Instances nobody runs; returns their ids in the order of their making, as the server sees it."""
    name = hub.unique("nobody-runs-this")
    hub.calls("StartInstance", [pb.CreateInstanceRequest(instanceId=f"{prefix}{n:04}", name=name)
                                for n in range(count)])
    return [f"{prefix}{n:04}" for n in range(count)]


# Filters.

def test_without_a_filter_everything_is_found_in_order(population: Population):
    assert population.hub.query() == population.ids()
    assert [state.instance_id for state in population.hub.client.get_all_orchestration_states()] == population.ids()


@pytest.mark.parametrize("kind", [*STATUSES])
def test_every_status_is_found_alone(population: Population, kind: str):
    assert population.hub.query(runtimeStatus=[STATUSES[kind]]) == population.ids(kind)
    query = OrchestrationQuery(runtime_status=[OrchestrationStatus(STATUSES[kind])])
    found = population.hub.client.get_all_orchestration_states(query)
    assert [state.instance_id for state in found] == population.ids(kind)
    assert {state.runtime_status.value for state in found} == {STATUSES[kind]}


def test_several_statuses_are_found_together(population: Population):
    found = population.hub.query(runtimeStatus=[raw.FAILED, raw.RUNNING, raw.FAILED])
    assert found == population.ids("failed", "running")
    # Legal values that no instance ever shows.
    assert population.hub.query(runtimeStatus=[raw.CONTINUED_AS_NEW, pb.ORCHESTRATION_STATUS_CANCELED]) == []


def test_the_window_of_creation_is_half_open(population: Population):
    hub, everything = population.hub, population.ids()
    fifth, ninth = population.created(everything[5]), population.created(everything[9])
    assert hub.query(createdTimeFrom=fifth) == everything[5:]
    assert hub.query(createdTimeTo=fifth) == everything[:5]
    assert hub.query(createdTimeFrom=fifth, createdTimeTo=ninth) == everything[5:9]
    assert hub.query(createdTimeFrom=fifth, createdTimeTo=fifth) == []


def test_a_window_that_ends_before_it_begins_is_refused(hub: Hub):
    early, late = raw.timestamp(1_000), raw.timestamp(1_000.5)
    for rpc, request in (
            ("QueryInstances", pb.QueryInstancesRequest(query=pb.InstanceQuery(
                createdTimeFrom=late, createdTimeTo=early))),
            ("ListInstanceIds", pb.ListInstanceIdsRequest(completedTimeFrom=late, completedTimeTo=early)),
            ("QueryEntities", pb.QueryEntitiesRequest(query=pb.EntityQuery(
                lastModifiedFrom=late, lastModifiedTo=early))),
            ("PurgeInstances", pb.PurgeInstancesRequest(purgeInstanceFilter=pb.PurgeInstanceFilter(
                createdTimeFrom=late, createdTimeTo=early)))):
        assert hub.refused(rpc, request, grpc.StatusCode.INVALID_ARGUMENT)


def test_trap_68_the_prefix_is_matched_to_the_letter(own_hub: Hub):
    name = own_hub.unique("nobody-runs-this")
    for instance_id in ("a", "ab", "a%", "a_", "a*", "A", "b", "a\u2603"):
        own_hub.start(name, instance_id=instance_id)
    for prefix, expected in (("a", ["a", "ab", "a%", "a_", "a*", "a\u2603"]), ("a%", ["a%"]), ("a_", ["a_"]),
                             ("a*", ["a*"]), ("A", ["A"]), ("a\u2603", ["a\u2603"]), ("abc", []), ("%", [])):
        assert own_hub.query(instanceIdPrefix=raw.text(prefix)) == expected
    assert len(own_hub.query(instanceIdPrefix=raw.text(""))) == 8
    query = OrchestrationQuery(instance_id_prefix="a%")
    assert [state.instance_id for state in own_hub.client.get_all_orchestration_states(query)] == ["a%"]


def test_names_of_hubs_are_compared_without_case(population: Population):
    hub = population.hub
    for names, found in ((["somewhere-else"], False), ([hub.name], True), ([hub.name.upper()], True),
                         (["somewhere-else", hub.name.title()], True), ([hub.name[:-1]], False)):
        names = [raw.text(name) for name in names]
        assert hub.query(taskHubNames=names) == (population.ids() if found else [])


def test_filters_narrow_each_other(population: Population):
    fifth = population.created(population.ids()[5])
    found = population.hub.query(runtimeStatus=[raw.COMPLETED, raw.FAILED], instanceIdPrefix=raw.text("z-"),
                                 createdTimeFrom=fifth)
    assert found == [id for id in population.ids()[5:]
                     if id.startswith("z-") and population.statuses[id] in ("completed", "failed")]
    assert 0 < len(found) < 8


def test_payloads_come_only_if_asked_for(population: Population):
    (full,) = population.hub.pages("QueryInstances", fetchInputsAndOutputs=True)
    for state in full:
        assert state == population.states[state.instanceId]
    (short,) = population.hub.pages("QueryInstances")
    assert len(short) == len(full) == 21
    for state, whole in zip(short, full, strict=True):
        assert not (state.HasField("input") or state.HasField("output") or state.HasField("failureDetails"))
        for field in ("input", "output", "failureDetails"):
            whole.ClearField(field)
        assert state == whole, "nothing else is missing, custom status and tags included"


# Who appears.

def test_trap_67_children_are_found_and_entities_are_not(own_hub: Hub):
    name = own_hub.unique("parent")
    worker = own_hub.raw_worker(orchestrations=[name], entities=["thing"])
    own_hub.start(name, instance_id="parent")
    worker.answer(worker.turn("parent"), raw.create_child(1, name, "child"))
    worker.answer(worker.turn("child"), raw.complete(1))
    own_hub.signal("@thing@one", "make")
    worker.commit(worker.batch("@thing@one"), raw.success(), state="1")
    own_hub.signal("@thing@two", "wait for ever")
    assert own_hub.query() == ["parent", "child"]
    (page,) = own_hub.pages("QueryInstances")
    assert [state.parentInstanceId.value for state in page] == ["", "parent"]
    assert own_hub.query(instanceIdPrefix=raw.text("@")) == []
    assert own_hub.pages("ListInstanceIds") == [["child"]]
    assert [entity.instanceId for entity in own_hub.entities("")] == ["@thing@one"]


def test_a_started_instance_is_found_at_once_in_its_present_status(own_hub: Hub):
    name = own_hub.unique("present")
    worker = own_hub.raw_worker(orchestrations=[name])
    for number in range(10):
        instance_id = own_hub.start(name, instance_id=f"{number}")
        assert own_hub.query(runtimeStatus=[raw.PENDING]) == [instance_id]
        worker.answer(worker.turn(instance_id))
        assert own_hub.query(runtimeStatus=[raw.RUNNING]) == [instance_id]
        own_hub.raise_event(instance_id, "end")
        worker.answer(worker.turn(instance_id), raw.complete(1))
        assert own_hub.query(runtimeStatus=[raw.PENDING, raw.RUNNING]) == []
        assert own_hub.query(runtimeStatus=[raw.COMPLETED])[-1] == instance_id
        assert sum(own_hub.pages("ListInstanceIds"), [])[-1] == instance_id


def test_the_next_generation_stays_where_it_was(own_hub: Hub):
    name = own_hub.unique("generations")
    worker = own_hub.raw_worker(orchestrations=[name])
    for instance_id in ("first", "second"):
        own_hub.start(name, instance_id=instance_id)
    worker.answer(worker.turn("first"), raw.continue_as_new(1))
    worker.answer(worker.turn("first"))
    assert own_hub.query() == ["first", "second"]
    own_hub.start(name, instance_id="first", policy=[*STATUSES.values()])
    assert own_hub.query() == ["second", "first"], "a replacement is a new instance"


# Pages.

@pytest.mark.parametrize(("sizes", "pages"), [
    ([5], [5, 5, 5, 5, 1]), ([7], [7, 7, 7]), ([21], [21]), ([20], [20, 1]), ([1000], [21]),
    ([5, 3, 1, 100], [5, 3, 1, 12]), ([0], [21]), ([-1], [21]), ([(1 << 31) - 1], [21])], ids=str)
def test_trap_64_pages_are_full_and_end_without_a_token(population: Population, sizes: list[int], pages: list[int]):
    found = population.hub.pages("QueryInstances", sizes)
    assert [len(page) for page in found] == pages
    assert states(sum(found, [])) == population.ids()


def test_trap_64_pages_of_a_filter_are_full_too(population: Population):
    found = population.hub.pages("QueryInstances", [2], runtimeStatus=[raw.COMPLETED, raw.PENDING])
    assert [len(page) for page in found] == [2, 2, 2, 2]
    assert states(sum(found, [])) == population.ids("completed", "pending")


def test_a_page_has_100_instances_unless_asked_otherwise_and_1000_at_most(own_hub: Hub):
    expected = start_many(own_hub, 1005)
    assert [len(page) for page in own_hub.pages("QueryInstances", [0, -7, 100, 1_000_000])] == [100, 100, 100, 705]
    pages = own_hub.pages("QueryInstances", [5000])
    assert [len(page) for page in pages] == [1000, 5]
    assert sorted(states(sum(pages, []))) == expected
    created = [(state.createdTimestamp.ToNanoseconds(), state.instanceId) for state in sum(pages, [])]
    assert created == sorted(created)
    assert len(own_hub.client.get_all_orchestration_states()) == 1005


def test_pages_neither_repeat_nor_skip_through_changes_in_between(own_hub: Hub):
    name = own_hub.unique("moving")
    worker = own_hub.raw_worker(orchestrations=[name])
    for number in range(8):
        own_hub.start(name, instance_id=f"{number}")
        worker.answer(worker.turn(f"{number}"), *([raw.complete(1)] if number in (1, 4) else []))
    first, token = own_hub.page("QueryInstances", 3)
    assert states(first) == ["0", "1", "2"]
    for purged in ("1", "4"):
        assert own_hub.purge(purged).deletedInstanceCount == 1
    own_hub.start(name, instance_id="-1")
    own_hub.raise_event("3", "end")
    worker.answer(worker.turn("3"), raw.complete(1))
    rest: list[str] = []
    while token is not None:
        page, token = own_hub.page("QueryInstances", 2, token)
        rest += states(page)
    assert rest == ["3", "5", "6", "7", "-1"]


def test_a_token_survives_its_last_instance(own_hub: Hub):
    name = own_hub.unique("cursor")
    worker = own_hub.raw_worker(orchestrations=[name])
    for number in range(4):
        own_hub.start(name, instance_id=f"{number}")
        worker.answer(worker.turn(f"{number}"), raw.complete(1))
    _, token = own_hub.page("QueryInstances", 2)
    _, key = own_hub.page("ListInstanceIds", 2)
    own_hub.purge("1")
    page, _ = own_hub.page("QueryInstances", 5, token)
    assert states(page) == ["2", "3"]
    assert own_hub.page("ListInstanceIds", 5, key) == (["2", "3"], None)


def test_trap_65_an_empty_token_is_the_first_page(population: Population):
    page, _ = population.hub.page("QueryInstances", 4, "")
    assert states(page) == population.ids()[:4]
    page, _ = population.hub.page("ListInstanceIds", 4, "")
    assert page == population.ended()[:4]


MALFORMED = {"word": "garbage", "zero": "0", "escape": "%00", "json": "[]", "blank": " ", "long": "x" * 5000}


@pytest.mark.parametrize("token", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_token_is_refused(population: Population, token: str):
    _refuse_token(population.hub, "QueryInstances", token)
    _refuse_token(population.hub, "ListInstanceIds", token)


def test_half_a_token_is_refused(population: Population):
    for rpc in ("QueryInstances", "ListInstanceIds"):
        _, token = population.hub.page(rpc, 5)
        _refuse_token(population.hub, rpc, token[:len(token) // 2])
        _refuse_token(population.hub, rpc, token + token)


def test_a_token_of_another_hub_or_call_is_refused(population: Population, own_hub: Hub):
    start_many(own_hub, 3)
    for rpc, other in (("QueryInstances", "ListInstanceIds"), ("ListInstanceIds", "QueryInstances")):
        _, token = population.hub.page(rpc, 2)
        _refuse_token(own_hub, rpc, token)
        _refuse_token(population.hub, other, token)


def _refuse_token(hub: Hub, rpc: str, token: str) -> None:
    request = (pb.ListInstanceIdsRequest(lastInstanceKey=raw.text(token)) if rpc == "ListInstanceIds"
               else pb.QueryInstancesRequest(query=pb.InstanceQuery(continuationToken=raw.text(token))))
    assert hub.refused(rpc, request, grpc.StatusCode.INVALID_ARGUMENT)


# ListInstanceIds.

def test_trap_66_ids_are_listed_by_their_end(own_hub: Hub):
    name = own_hub.unique("ending")
    worker = own_hub.raw_worker(orchestrations=[name])
    turns = []
    for number in range(5):
        own_hub.start(name, instance_id=f"{number}")
        turns.append(worker.turn(f"{number}"))
    for number in (3, 0, 4, 2):
        worker.answer(turns[number], raw.complete(1))
    assert own_hub.pages("ListInstanceIds") == [["3", "0", "4", "2"]]
    assert own_hub.query() == ["0", "1", "2", "3", "4"]
    page = own_hub.client.list_instance_ids(page_size=3)
    assert page.items == ["3", "0", "4"]
    page = own_hub.client.list_instance_ids(page_size=3, continuation_token=page.continuation_token)
    assert page.items == ["2"] and page.continuation_token is None


@pytest.mark.parametrize("kinds", [["completed"], ["failed"], ["terminated"], ["failed", "completed"],
                                   ["running", "pending", "suspended"], ["running", "failed"]], ids=" ".join)
def test_only_the_ended_are_listed_by_status(population: Population, kinds: list[str]):
    listed = population.hub.pages("ListInstanceIds", runtimeStatus=[STATUSES[kind] for kind in kinds])
    assert listed == [[id for id in population.ended() if population.statuses[id] in kinds]]


@pytest.mark.parametrize(("sizes", "pages"), [([4], [4, 4, 4]), ([5], [5, 5, 2]), ([1, 2, 100], [1, 2, 9]),
                                              ([0], [12]), ([-1], [12]), ([12], [12])], ids=str)
def test_lists_have_full_pages_and_end_without_a_key(population: Population, sizes: list[int], pages: list[int]):
    listed = population.hub.pages("ListInstanceIds", sizes)
    assert [len(page) for page in listed] == pages
    assert sum(listed, []) == population.ended()


def test_trap_66_the_window_of_completion_is_half_open(population: Population):
    hub, ended = population.hub, population.ended()
    third, seventh = (population.states[ended[n]].completedTimestamp for n in (3, 7))
    assert hub.pages("ListInstanceIds", completedTimeFrom=third) == [ended[3:]]
    assert hub.pages("ListInstanceIds", completedTimeTo=third) == [ended[:3]]
    window = hub.pages("ListInstanceIds", [2], completedTimeFrom=third, completedTimeTo=seventh)
    assert window == [ended[3:5], ended[5:7]]
    assert hub.pages("ListInstanceIds", completedTimeFrom=third, completedTimeTo=third) == [[]]
    page = hub.client.list_instance_ids(completed_time_from=datetime(2000, 1, 1, tzinfo=timezone.utc))
    assert page.items == ended


def test_what_is_listed_can_be_streamed(population: Population):
    for instance_id in sum(population.hub.pages("ListInstanceIds"), []):
        assert raw.kinds(population.hub.history(instance_id))[-1] == "executionCompleted"


def test_a_list_of_many_has_100_a_page(own_hub: Hub):
    ids = start_many(own_hub, 130)
    own_hub.calls("TerminateInstance", [pb.TerminateRequest(instanceId=instance_id) for instance_id in ids])
    pages = own_hub.pages("ListInstanceIds")
    assert [len(page) for page in pages] == [100, 30] and sorted(sum(pages, [])) == ids
    waiting = own_hub.stub.WaitForInstanceCompletion(
        pb.GetInstanceRequest(instanceId=pages[0][0]), timeout=DEADLINE_S, metadata=own_hub.metadata)
    assert waiting.orchestrationState.orchestrationStatus == raw.TERMINATED
