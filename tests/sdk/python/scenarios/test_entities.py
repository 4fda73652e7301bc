"""Entities: signals, calls, failures, deletion, delays, and what their ids may be."""

import json
import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import grpc
import pytest
from durabletask import task
from durabletask.client import OrchestrationStatus
from durabletask.entities import DurableEntity, EntityContext, EntityInstanceId
from support import raw
from support.hub import Hub, Program
from support.raw import pb
from support.waiting import DEADLINE_S, eventually

program = Program()


@program.entity
def notebook(ctx: EntityContext, value):
    """Keeps what it is told, in order."""
    pages = ctx.get_state() or []
    match ctx.operation:
        case "write":
            ctx.set_state([*pages, value])
            return len(pages) + 1
        case "note the time":
            ctx.set_state([*pages, time.time()])
        case "read":
            return ctx.get_state()
        case "replace":
            ctx.set_state(value)
        case "tear":
            ctx.set_state(["torn"])
            ctx.signal_entity(ctx.entity_id, "write", "written while tearing")
            raise ValueError(value)
        case "delete":
            ctx.set_state(None)
        case "copy to":
            for page in pages:
                ctx.signal_entity(EntityInstanceId.parse(value), "write", page)
        case "remind":
            ctx.signal_entity(ctx.entity_id, "note the time", signal_time=moment(value))
        case "order":
            ctx.schedule_new_orchestration("delivery", input=value["parcel"], instance_id=value["id"])
        case unknown:
            raise LookupError(f"a notebook cannot {unknown}")


def new_notebook(hub: Hub) -> EntityInstanceId:
    return EntityInstanceId("notebook", hub.unique("notebook"))


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


# Signals.

def test_trap_87_signals_in_a_row_are_applied_in_order(shared: Hub):
    book = new_notebook(shared)
    for number in range(20):
        shared.client.signal_entity(book, "write", number)
    shared.holds(book, list(range(20)))


def test_signals_of_many_clients_are_applied_once_each(shared: Hub):
    book = new_notebook(shared)

    def write(client: int) -> None:
        for number in range(25):
            shared.signal(book, "write", json.dumps([client, number]))

    with ThreadPoolExecutor(8) as clients:
        list(clients.map(write, range(8)))
    eventually(lambda: _pages(shared, book) >= 200 and shared.entity(book).backlogQueueSize == 0, what="200 pages")
    pages = json.loads(shared.entity(book).serializedState.value)
    for client in range(8):
        assert [number for writer, number in pages if writer == client] == list(range(25))
    assert len(pages) == 200


def _pages(hub: Hub, book: EntityInstanceId) -> int:
    metadata = hub.entity(book)
    return 0 if metadata is None else len(json.loads(metadata.serializedState.value))


def test_a_repeated_request_id_counts_once(shared: Hub):
    book, request_id = new_notebook(shared), raw.guid()
    for _ in range(3):
        shared.signal(book, "write", "1", requestId=request_id)
    shared.signal(book, "write", "2", requestId=raw.guid())
    shared.holds(book, [1, 2])
    shared.signal(book, "write", "1", requestId=request_id)
    shared.signal(book, "write", "3")
    shared.holds(book, [1, 2, 3])


def test_a_signal_that_fails_leaves_state_and_successors_alone(shared: Hub):
    book = new_notebook(shared)
    shared.client.signal_entity(book, "write", "kept")
    shared.client.signal_entity(book, "tear", "it tore")
    shared.client.signal_entity(book, "no such operation")
    shared.client.signal_entity(book, "write", "and more")
    shared.holds(book, ["kept", "and more"])


def test_entities_of_different_names_are_strangers(shared: Hub):
    key = shared.unique("key")
    shared.client.signal_entity(EntityInstanceId("notebook", key), "write", "words")
    shared.client.signal_entity(EntityInstanceId("Account", key), "deposit", 7)
    shared.holds(EntityInstanceId("notebook", key), ["words"])
    shared.holds(EntityInstanceId("account", key), 7)


# Calls.

@program.orchestrator
def diary(ctx: task.OrchestrationContext, key: str):
    book = EntityInstanceId("notebook", key)
    ctx.signal_entity(book, "write", "first")
    length = yield ctx.call_entity(book, "write", "second")
    return [length, (yield ctx.call_entity(book, "read"))]


def test_a_call_returns_its_result_and_sees_the_signal_before_it(shared: Hub):
    assert shared.run(diary, shared.unique("diary")) == [2, ["first", "second"]]


@program.orchestrator
def crowd(ctx: task.OrchestrationContext, key: str):
    book = EntityInstanceId("notebook", key)
    return (yield task.when_all([ctx.call_entity(book, "write", number) for number in range(30)]))


def test_calls_at_the_same_time_each_get_their_own_result(shared: Hub):
    key = shared.unique("crowd")
    instances = [shared.client.schedule_new_orchestration(crowd, input=key) for _ in range(3)]
    results = [shared.completed(instance_id) for instance_id in instances]
    assert all(result == sorted(result) for result in results), "calls of one turn keep their order"
    assert sorted(sum(results, [])) == list(range(1, 91))


@program.orchestrator
def clumsy(ctx: task.OrchestrationContext, key: str):
    book = EntityInstanceId("notebook", key)
    yield ctx.call_entity(book, "write", "kept")
    try:
        yield ctx.call_entity(book, "tear", "it tore")
    except task.TaskFailedError as error:
        yield ctx.call_entity(book, "write", "after")
        return [error.details.message, (yield ctx.call_entity(book, "read"))]


def test_a_failed_call_raises_and_changes_nothing(shared: Hub):
    message, pages = shared.run(clumsy, shared.unique("clumsy"))
    assert "it tore" in message
    assert pages == ["kept", "after"]


@program.orchestrator
def careless(ctx: task.OrchestrationContext, key: str):
    yield ctx.call_entity(EntityInstanceId("notebook", key), "tear", "it tore")


def test_a_failed_call_nobody_handles_fails_the_orchestration(shared: Hub):
    instance_id = shared.client.schedule_new_orchestration(careless, input=shared.unique("careless"))
    assert shared.ended(instance_id).runtime_status == OrchestrationStatus.FAILED
    details = shared.state(instance_id).failureDetails
    messages = [details.errorMessage]
    while details.HasField("innerFailure"):
        details = details.innerFailure
        messages.append(details.errorMessage)
    assert messages[-1] == "it tore"


def asks_a_stranger(ctx: task.OrchestrationContext, key: str):
    try:
        yield ctx.call_entity(EntityInstanceId("nobody", key), "anything")
    except task.TaskFailedError as error:
        return error.details.message


def test_a_call_to_an_unregistered_entity_fails_instead_of_hanging(own_hub: Hub):
    own_hub.worker(orchestrators=[asks_a_stranger])
    assert "not registered" in own_hub.run(asks_a_stranger, "key")


@program.orchestrator
def asks_too_long_a_name(ctx: task.OrchestrationContext, _):
    yield ctx.call_entity(EntityInstanceId("notebook", "x" * 100), "read")


def test_a_call_to_an_impossible_id_fails_instead_of_hanging(shared: Hub):
    instance_id = shared.client.schedule_new_orchestration(asks_too_long_a_name)
    assert shared.ended(instance_id).runtime_status == OrchestrationStatus.FAILED
    assert "length" in str(shared.state(instance_id).failureDetails)


@program.orchestrator
def rounds(ctx: task.OrchestrationContext, plan: dict):
    ctx.signal_entity(EntityInstanceId("notebook", plan["key"]), "write", plan["round"])
    if plan["round"] < 3:
        ctx.continue_as_new({**plan, "round": plan["round"] + 1})
    else:
        raise RuntimeError("the last round fails")


def test_trap_44_signals_next_to_continue_as_new_and_to_a_failure_are_sent(shared: Hub):
    book = new_notebook(shared)
    instance_id = shared.client.schedule_new_orchestration(rounds, input={"key": book.key, "round": 0})
    assert shared.ended(instance_id).runtime_status == OrchestrationStatus.FAILED
    shared.holds(book, [0, 1, 2, 3])


# Classes.

@program.entity
class Account(DurableEntity):
    def deposit(self, amount: int) -> int:
        self.set_state(self.get_state(int, 0) + amount)
        return self.get_state(int)

    def withdraw(self, amount: int) -> int:
        balance = self.get_state(int, 0)
        self.set_state(balance - amount)
        if amount > balance:
            raise ValueError(f"only {balance} left")
        return balance - amount

    def balance(self) -> int:
        return self.get_state(int, 0)


@program.orchestrator
def banking(ctx: task.OrchestrationContext, key: str):
    account = EntityInstanceId("Account", key)
    story = [(yield ctx.call_entity(account, "deposit", 10)), (yield ctx.call_entity(account, "withdraw", 3))]
    for operation in ("withdraw", "embezzle"):
        try:
            yield ctx.call_entity(account, operation, 100)
        except task.TaskFailedError as error:
            story.append(error.details.message)
    story.append((yield ctx.call_entity(account, "balance")))
    yield ctx.call_entity(account, "delete")
    return [*story, (yield ctx.call_entity(account, "balance"))]


def test_a_class_may_be_an_entity(shared: Hub):
    first, second, overdrawn, unknown, balance, after = shared.run(banking, shared.unique("account"))
    assert (first, second, balance, after) == (10, 7, 7, 0)
    assert "only 7 left" in overdrawn and "embezzle" in unknown


# State.

@pytest.mark.parametrize("value", [0, False, "", [], {}, 0.0], ids=repr)
def test_trap_5_falsy_state_is_state(shared: Hub, value):
    book = new_notebook(shared)
    shared.client.signal_entity(book, "replace", value)
    assert shared.holds(book, value).serializedState.value == json.dumps(value)
    assert shared.client.get_entity(book).get_typed_state() == value
    assert json.dumps(shared.run(reads, book.key)) == json.dumps(value)


@program.orchestrator
def reads(ctx: task.OrchestrationContext, key: str):
    return (yield ctx.call_entity(EntityInstanceId("notebook", key), "read"))


def test_trap_87_a_deleted_entity_is_gone_and_may_be_made_again(shared: Hub):
    book = new_notebook(shared)
    shared.client.signal_entity(book, "write", "old")
    shared.holds(book, ["old"])
    shared.client.signal_entity(book, "delete")
    shared.is_gone(book)
    assert shared.client.get_entity(book) is None
    shared.client.signal_entity(book, "write", "new")
    shared.holds(book, ["new"])


def test_an_entity_may_be_deleted_and_made_again_at_once(shared: Hub):
    book = new_notebook(shared)
    for operation, page in (("write", "old"), ("delete", None), ("write", "new"), ("delete", None), ("write", "last")):
        shared.client.signal_entity(book, operation, page)
    shared.holds(book, ["last"])


def test_an_operation_without_state_leaves_no_entity(shared: Hub):
    book = new_notebook(shared)
    assert shared.run(reads, book.key) is None
    assert shared.entity(book) is None


# Delays.

@program.orchestrator
def reminds(ctx: task.OrchestrationContext, plan: list):
    key, due = plan
    ctx.signal_entity(EntityInstanceId("notebook", key), "note the time", signal_time=moment(due))
    yield ctx.call_entity(EntityInstanceId("notebook", key), "write", "asked")


@pytest.mark.parametrize("sender", ["client", "orchestration", "entity"])
def test_trap_84_a_delayed_signal_is_not_early(shared: Hub, sender: str):
    book, due = new_notebook(shared), time.time() + 1.2
    match sender:
        case "client":
            shared.client.signal_entity(book, "note the time", signal_time=moment(due))
            assert shared.entity(book) is None, "nothing has happened to it yet"
            shared.client.signal_entity(book, "write", "asked")
        case "orchestration":
            shared.run(reminds, [book.key, due])
        case "entity":
            shared.client.signal_entity(book, "remind", due)
            shared.client.signal_entity(book, "write", "asked")
    shared.holds(book, ["asked"])
    eventually(lambda: _pages(shared, book) == 2, what="the delayed signal")
    asked, noted = json.loads(shared.entity(book).serializedState.value)
    assert asked == "asked" and noted >= due


def test_a_delayed_call_is_not_early(shared: Hub):
    book, due, name = new_notebook(shared), time.time() + 1.0, shared.unique("patient")
    worker = shared.raw_worker(orchestrations=[name])
    instance_id = shared.start(name)
    worker.answer(worker.turn(instance_id),
                  raw.call_entity(1, str(book), "note the time", scheduledTime=raw.timestamp(due)),
                  raw.call_entity(2, str(book), "write", '"asked"'))
    asked = worker.turn(instance_id)
    assert asked.answers() == [("completed", "1")]
    worker.answer(asked)
    noted = worker.turn(instance_id)
    assert len(noted.answers()) == 1 and time.time() >= due
    worker.answer(noted, raw.complete(3))
    asked, noted = json.loads(shared.entity(book).serializedState.value)
    assert asked == "asked" and noted >= due


def test_a_time_in_the_past_is_no_delay(shared: Hub):
    book = new_notebook(shared)
    shared.signal(book, "write", "1", scheduledTime=raw.timestamp(0))
    shared.signal(book, "write", "2", scheduledTime=raw.timestamp(time.time() - 60))
    shared.signal(book, "write", "3")
    shared.holds(book, [1, 2, 3])


# What entities do to others.

def test_an_entity_signals_another_one_in_order(shared: Hub):
    original, copy = new_notebook(shared), new_notebook(shared)
    shared.client.signal_entity(original, "replace", list(range(12)))
    shared.client.signal_entity(original, "copy to", str(copy))
    shared.holds(copy, list(range(12)))
    shared.holds(original, list(range(12)))


def test_an_entity_may_signal_itself(shared: Hub):
    book = new_notebook(shared)
    shared.client.signal_entity(book, "replace", ["a", "b"])
    shared.client.signal_entity(book, "copy to", str(book))
    shared.holds(book, ["a", "b", "a", "b"])


@program.orchestrator
def delivery(ctx: task.OrchestrationContext, parcel):
    yield ctx.create_timer(timedelta(milliseconds=1))
    return [parcel, ctx.parent_instance_id]


def test_trap_86_a_client_waits_for_what_an_entity_will_start(shared: Hub):
    book, instance_id = new_notebook(shared), shared.unique("delivery")
    waiting = shared.stub.WaitForInstanceCompletion.future(
        pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=True),
        timeout=DEADLINE_S, metadata=shared.metadata)
    shared.client.signal_entity(book, "order", {"id": instance_id, "parcel": 0})
    state = waiting.result().orchestrationState
    assert state.orchestrationStatus == raw.COMPLETED and json.loads(state.output.value) == [0, None]
    assert not state.HasField("parentInstanceId")
    (started,) = [event.executionStarted for event in shared.history(instance_id) if event.HasField("executionStarted")]
    assert not started.HasField("parentInstance")


# Ids.

@pytest.mark.parametrize("key", [
    "k", "with space", "UPPER.lower_-", "ünïcödé ☃", "100%_*?", "a/b?c=d:e", "2026-01-01T00:00:00.000Z", "'\"\\"])
def test_unusual_keys_are_served(shared: Hub, key: str):
    book = EntityInstanceId("notebook", f"{key}{uuid.uuid4().hex[:8]}")
    shared.client.signal_entity(book, "write", key)
    assert shared.holds(book, [key]).instanceId == f"@notebook@{book.key}"
    assert shared.run(reads, book.key) == [key]


@pytest.mark.parametrize("character", ["x", "☃"])
def test_trap_83_an_id_has_up_to_100_characters(shared: Hub, character: str):
    unique = uuid.uuid4().hex[:8]
    longest = f"@notebook@{unique}{character * 82}"
    assert len(longest) == 100
    shared.signal(longest, "write", "1")
    shared.holds(longest, [1])
    for rpc, request in (("SignalEntity", pb.SignalEntityRequest(instanceId=f"{longest}x", name="write")),
                         ("GetEntity", pb.GetEntityRequest(instanceId=f"{longest}x"))):
        detail = shared.refused(rpc, request, grpc.StatusCode.INVALID_ARGUMENT)
        assert "length" in detail.lower()


def test_trap_82_names_have_no_case_and_keys_have(shared: Hub):
    key = shared.unique("Key")
    shared.signal(f"@NoteBook@{key}", "write", "1")
    shared.signal(f"@notebook@{key}", "write", "2")
    name = shared.unique("orchestration")
    worker = shared.raw_worker(orchestrations=[name])
    instance_id = shared.start(name)
    worker.answer(worker.turn(instance_id), raw.signal_entity(1, f"@NOTEbook@{key}", "write", "3"),
                  raw.call_entity(2, f"@notebooK@{key}", "write", "4"))
    turn = worker.turn(instance_id)
    assert turn.answers() == [("completed", "4")]
    worker.answer(turn, raw.complete(3))
    assert shared.holds(f"@NOTEBOOK@{key}", [1, 2, 3, 4]).instanceId == f"@notebook@{key}"
    assert shared.entity(f"@notebook@{key.lower()}") is None


@pytest.mark.parametrize("entity_id", ["", "notebook", "@", "@notebook", "@@key", "notebook@key"], ids=repr)
def test_a_malformed_id_is_refused(hub: Hub, entity_id: str):
    for rpc, request in (("SignalEntity", pb.SignalEntityRequest(instanceId=entity_id, name="write")),
                         ("GetEntity", pb.GetEntityRequest(instanceId=entity_id))):
        assert hub.refused(rpc, request, grpc.StatusCode.INVALID_ARGUMENT)


def test_an_entity_is_no_instance(shared: Hub):
    book = new_notebook(shared)
    shared.client.signal_entity(book, "write", "1")
    shared.holds(book, ["1"])
    assert shared.state(str(book)) is None
    shared.refused("RaiseEvent", pb.RaiseEventRequest(instanceId=str(book), name="hello"),
                   grpc.StatusCode.INVALID_ARGUMENT)
