"""Critical sections: who gets in, who waits, and that nothing stays locked behind an orchestration that is gone."""

import json
import threading
from collections.abc import Callable

import pytest
from durabletask import task
from durabletask.client import OrchestrationStatus
from durabletask.entities import EntityContext, EntityInstanceId
from support import raw
from support.hub import Hub, Program
from support.raw import pb
from support.server import Server
from support.waiting import eventually

program = Program()

ANY_STATUS = [raw.RUNNING, raw.PENDING, raw.SUSPENDED, raw.COMPLETED, raw.FAILED, raw.TERMINATED]


@program.entity
def vault(ctx: EntityContext, value):
    """Holds one number."""
    match ctx.operation:
        case "get":
            return ctx.get_state(int, 0)
        case "set":
            ctx.set_state(value)
        case "break":
            raise RuntimeError("broken")


def new_vault(hub: Hub, content: int | None = None) -> EntityInstanceId:
    entity = EntityInstanceId("vault", hub.unique("vault"))
    if content is not None:
        hub.client.signal_entity(entity, "set", content)
        hub.holds(entity, content)
    return entity


# With the SDK.

_inside: dict[str, int] = {}
_most_inside: dict[str, int] = {}
_guard = threading.Lock()


@program.activity
def enter(_, key: str) -> None:
    with _guard:
        _inside[key] = _inside.get(key, 0) + 1
        _most_inside[key] = max(_most_inside.get(key, 0), _inside[key])


@program.activity
def leave(_, key: str) -> None:
    with _guard:
        _inside[key] -= 1


@program.orchestrator
def increment(ctx: task.OrchestrationContext, key: str):
    """Reads, waits and writes: correct only if nobody else does the same in between."""
    entity = EntityInstanceId("vault", key)
    with (yield ctx.lock_entities([entity])):
        yield ctx.call_activity(enter, input=key)
        value = yield ctx.call_entity(entity, "get")
        yield ctx.call_entity(entity, "set", value + 1)
        yield ctx.call_activity(leave, input=key)
    return value


def test_orchestrations_take_turns_in_a_critical_section(shared: Hub):
    entity = new_vault(shared)
    instances = [shared.client.schedule_new_orchestration(increment, input=entity.key) for _ in range(15)]
    assert sorted(shared.completed(instance_id) for instance_id in instances) == list(range(15))
    assert _most_inside[entity.key] == 1
    shared.holds(entity, 15)
    shared.is_unlocked(entity)


@program.orchestrator
def transfer(ctx: task.OrchestrationContext, plan: dict):
    source, target = (EntityInstanceId("vault", key) for key in (plan["from"], plan["to"]))
    with (yield ctx.lock_entities([source, target])):
        left = (yield ctx.call_entity(source, "get")) - plan["amount"]
        right = (yield ctx.call_entity(target, "get")) + plan["amount"]
        yield task.when_all([ctx.call_entity(source, "set", left), ctx.call_entity(target, "set", right)])
    return [left, right]


def test_transfers_in_both_directions_lose_nothing_and_all_end(shared: Hub):
    one, two = new_vault(shared, 100), new_vault(shared, 100)
    instances = [shared.client.schedule_new_orchestration(transfer, input={
        "from": (one, two)[n % 2].key, "to": (two, one)[n % 2].key, "amount": n}) for n in range(12)]
    for instance_id in instances:
        assert sum(shared.completed(instance_id)) == 200
    moved = sum(n if n % 2 == 0 else -n for n in range(12))
    shared.holds(one, 100 - moved)
    shared.holds(two, 100 + moved)


@program.orchestrator
def fails_inside(ctx: task.OrchestrationContext, plan: list):
    key, how = plan
    entity = EntityInstanceId("vault", key)
    with (yield ctx.lock_entities([entity])):
        if how == "entity":
            yield ctx.call_entity(entity, "break")
        yield ctx.call_entity(entity, "set", 5)
        raise RuntimeError("thrown inside")


@pytest.mark.parametrize("how", ["orchestrator", "entity"])
def test_trap_77_an_exception_inside_unlocks(shared: Hub, how: str):
    entity = new_vault(shared)
    instance_id = shared.client.schedule_new_orchestration(fails_inside, input=[entity.key, how])
    assert shared.ended(instance_id).runtime_status == OrchestrationStatus.FAILED
    assert shared.run(increment, entity.key) == (5 if how == "orchestrator" else 0)


@program.orchestrator
def laps(ctx: task.OrchestrationContext, plan: dict):
    entity = EntityInstanceId("vault", plan["key"])
    with (yield ctx.lock_entities([entity])):
        value = yield ctx.call_entity(entity, "get")
        yield ctx.call_entity(entity, "set", value + 1)
        if plan["laps"] > 1:
            ctx.continue_as_new({**plan, "laps": plan["laps"] - 1})


def test_trap_77_continue_as_new_inside_unlocks_for_everyone(shared: Hub):
    entity = new_vault(shared)
    instances = [shared.client.schedule_new_orchestration(laps, input={"key": entity.key, "laps": 4}) for _ in range(4)]
    for instance_id in instances:
        shared.completed(instance_id)
    shared.holds(entity, 16)
    shared.is_unlocked(entity)


@program.orchestrator
def stays_inside(ctx: task.OrchestrationContext, keys: list):
    entities = [EntityInstanceId("vault", key) for key in keys]
    with (yield ctx.lock_entities(entities)):
        ctx.set_custom_status("inside")
        yield ctx.wait_for_external_event("never")


def test_trap_77_terminating_the_owner_unlocks(shared: Hub):
    one, two = new_vault(shared, 1), new_vault(shared, 2)
    owner = shared.client.schedule_new_orchestration(stays_inside, input=[one.key, two.key])
    eventually(lambda: shared.state(owner).customStatus.value == '"inside"', what="the owner inside")
    waiting = [shared.client.schedule_new_orchestration(increment, input=entity.key) for entity in (one, two)]
    assert shared.entity(one).lockedBy.value == shared.entity(two).lockedBy.value == owner
    shared.client.terminate_orchestration(owner)
    assert [shared.completed(instance_id) for instance_id in waiting] == [1, 2]
    shared.is_unlocked(one)
    shared.is_unlocked(two)


# By hand.

class Section:
    """An orchestration that asks for locks, answered by the scenario itself."""

    def __init__(self, hub: Hub, worker: raw.RawWorker, name: str, *entity_ids: str,
                 also: Callable[[str], list[pb.OrchestratorAction]] = lambda _: [], instance_id: str | None = None,
                 **start: object) -> None:
        self.worker = worker
        self.id = raw.guid()
        self.instance_id = hub.start(name, instance_id=instance_id, **start)
        turn = worker.turn(self.instance_id)
        self.execution_id = turn.request.executionId.value
        worker.answer(turn, raw.lock_entities(1, self.id, *entity_ids), *also(self.id))

    def granted(self) -> raw.Turn:
        """The turn that says so; it says nothing else."""
        turn = self.worker.turn(self.instance_id)
        assert turn.new() == ["orchestratorStarted", "entityLockGranted"]
        assert turn.request.newEvents[1].entityLockGranted.criticalSectionId == self.id
        return turn

    def enter(self) -> "Section":
        """Waits for the grant and stays inside without doing anything."""
        self.worker.answer(self.granted())
        return self

    def acts(self, hub: Hub, *actions: pb.OrchestratorAction) -> None:
        """Wakes the orchestration up and answers its turn with these actions."""
        hub.raise_event(self.instance_id, "act")
        turn = self.worker.turn(self.instance_id)
        assert turn.new() == ["orchestratorStarted", "eventRaised"], "nothing but what it was woken with"
        self.worker.answer(turn, *actions)

    def leaves(self, hub: Hub, *entity_ids: str) -> None:
        """Unlocks these entities and completes, in one turn."""
        self.acts(hub, *[raw.unlock_entity(7, self.id, entity_id) for entity_id in entity_ids], raw.complete(7))


class Scene:
    """A name for orchestrations and entities of one scenario, and the worker that runs both by hand."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.name = hub.unique("scene")
        self.worker = hub.raw_worker(orchestrations=[self.name], entities=[self.name])

    def entity(self, key: str) -> str:
        """An entity with state, so that GetEntity tells of it."""
        entity_id = f"@{self.name}@{key}"
        self.hub.signal(entity_id, "make")
        self.serve(entity_id, "make")
        return entity_id

    def section(self, *entity_ids: str, **options: object) -> Section:
        return Section(self.hub, self.worker, self.name, *entity_ids, **options)  # type: ignore[arg-type]

    def serve(self, entity_id: str, *operations: str) -> None:
        """Takes the entity's next operations, which must be these, and completes them with their names as results."""
        remaining = list(operations)
        while remaining:
            batch = self.worker.batch(entity_id)
            names = [operation for operation, _ in batch.operations()]
            assert names == remaining[:len(names)]
            del remaining[:len(names)]
            self.worker.commit(batch, *[raw.success(json.dumps(name)) for name in names], state='"made"')

    def queues(self, entity_id: str, count: int) -> None:
        """Waits until as many operations wait at the entity."""
        eventually(lambda: self.hub.entity(entity_id).backlogQueueSize == count, what=f"{count} waiting operations")

    def owner(self, entity_id: str) -> str | None:
        metadata = self.hub.entity(entity_id)
        return metadata.lockedBy.value if metadata.HasField("lockedBy") else None


@pytest.fixture
def scene(hub: Hub) -> Scene:
    return Scene(hub)


def marks(entity_id: str, operation: str = "mark") -> Callable[[str], list[pb.OrchestratorAction]]:
    """A signal behind the lock request: once it waits at the entity, so does the request."""
    return lambda _: [raw.signal_entity(2, entity_id, operation)]


def test_trap_73_the_lock_shows_the_owners_id(scene: Scene):
    entity = scene.entity("a")
    assert scene.owner(entity) is None
    owner = scene.section(entity).enter()
    assert scene.owner(entity) == owner.instance_id
    (listed,) = scene.hub.entities(entity)
    assert listed.lockedBy.value == owner.instance_id
    owner.leaves(scene.hub, entity)
    scene.hub.is_unlocked(entity)


def test_a_locked_entity_without_state_does_not_exist_but_is_listed_as_transient(scene: Scene):
    entity = f"@{scene.name}@stateless"
    owner = scene.section(entity).enter()
    assert scene.hub.entity(entity) is None
    assert scene.hub.entities(entity) == []
    (transient,) = scene.hub.entities(entity, includeTransient=True)
    assert transient.lockedBy.value == owner.instance_id and not transient.HasField("serializedState")
    owner.leaves(scene.hub, entity)
    eventually(lambda: scene.hub.entities(entity, includeTransient=True) == [], what="the end of the entity")


def test_operations_of_others_wait_until_the_owner_leaves(scene: Scene):
    entity = scene.entity("a")
    owner = scene.section(entity).enter()
    scene.hub.signal(entity, "foreign signal")
    foreign = scene.hub.start(scene.name)
    scene.worker.answer(scene.worker.turn(foreign), raw.call_entity(1, entity, "foreign call"))
    scene.queues(entity, 2)
    owner.acts(scene.hub, raw.call_entity(3, entity, "own call"), raw.signal_entity(4, entity, "own signal"))
    scene.serve(entity, "own call", "own signal")
    turn = scene.worker.turn(owner.instance_id)
    assert turn.answers() == [("completed", '"own call"')]
    scene.queues(entity, 2)
    assert scene.worker.outstanding_batches() == 0
    scene.worker.answer(turn, raw.unlock_entity(5, owner.id, entity), raw.complete(5))
    scene.serve(entity, "foreign signal", "foreign call")
    assert scene.worker.turn(foreign).answers() == [("completed", '"foreign call"')]


def test_trap_74_what_was_queued_before_the_request_runs_first(scene: Scene):
    entity = scene.entity("a")
    scene.hub.signal(entity, "out")
    out = scene.worker.batch(entity)
    for operation in ("before 1", "before 2"):
        scene.hub.signal(entity, operation)
    owner = scene.section(entity, also=marks(entity, "after"))
    scene.queues(entity, 3)
    assert scene.owner(entity) is None
    scene.worker.commit(out, raw.success(), state='"made"')
    before = scene.worker.batch(entity)
    assert [operation for operation, _ in before.operations()] == ["before 1", "before 2"]
    assert scene.owner(entity) is None
    scene.worker.commit(before, raw.success(), raw.success(), state='"made"')
    scene.worker.answer(owner.granted(), raw.call_entity(3, entity, "inside"))
    scene.serve(entity, "inside")
    turn = scene.worker.turn(owner.instance_id)
    assert turn.answers() == [("completed", '"inside"')]
    scene.queues(entity, 1)
    scene.worker.answer(turn, raw.unlock_entity(4, owner.id, entity), raw.complete(4))
    scene.serve(entity, "after")


def test_trap_75_a_lock_waits_for_the_batch_that_is_out(scene: Scene):
    entity = scene.entity("a")
    scene.hub.signal(entity, "out")
    batch = scene.worker.batch(entity)
    owner = scene.section(entity, also=marks(entity))
    scene.queues(entity, 1)
    assert scene.owner(entity) is None
    scene.worker.commit(batch, raw.success(), state='"made"')
    owner.enter()
    assert scene.owner(entity) == owner.instance_id
    owner.leaves(scene.hub, entity)
    scene.serve(entity, "mark")


def test_trap_76_requests_are_granted_in_their_order(scene: Scene):
    entity = scene.entity("a")
    first = scene.section(entity).enter()
    second = scene.section(entity, also=marks(entity, "second's mark"))
    scene.queues(entity, 1)
    third = scene.section(entity, also=marks(entity, "third's mark"))
    scene.queues(entity, 2)
    first.leaves(scene.hub, entity)
    second.enter()
    assert scene.owner(entity) == second.instance_id
    second.leaves(scene.hub, entity)
    scene.serve(entity, "second's mark")
    third.enter()
    assert scene.owner(entity) == third.instance_id
    third.leaves(scene.hub, entity)
    scene.serve(entity, "third's mark")


def test_lock_sets_in_opposite_orders_do_not_block_each_other(scene: Scene):
    ascending = [scene.entity(key) for key in "abcd"]
    sections = [scene.section(*(ascending if n % 2 else reversed(ascending))) for n in range(6)]
    waiting = {section.instance_id: section for section in sections}
    while waiting:
        turn = eventually(lambda: next(filter(None, map(scene.worker.waiting_turn, waiting)), None), what="a grant")
        section = waiting.pop(turn.request.instanceId)
        assert turn.new() == ["orchestratorStarted", "entityLockGranted"]
        assert {scene.owner(entity) for entity in ascending} == {section.instance_id}
        scene.worker.answer(turn, *[raw.unlock_entity(3, section.id, entity) for entity in ascending], raw.complete(3))
    for entity in ascending:
        scene.hub.is_unlocked(entity)


def test_trap_78_an_entity_named_twice_is_locked_once(scene: Scene):
    entity = scene.entity("a")
    loud = entity.replace(scene.name, scene.name.upper())
    owner = scene.section(entity, loud, entity).enter()
    (requested,) = [event.entityLockRequested for event in scene.hub.history(owner.instance_id)
                    if event.HasField("entityLockRequested")]
    assert list(requested.lockSet) == [entity, loud, entity], "the history has it as it was sent"
    owner.acts(scene.hub, raw.unlock_entity(3, owner.id, entity))
    scene.hub.is_unlocked(entity)
    owner.acts(scene.hub, raw.unlock_entity(4, owner.id, entity), raw.complete(5))
    assert raw.kinds(scene.hub.history(owner.instance_id)).count("entityLockGranted") == 1
    assert raw.kinds(scene.hub.history(owner.instance_id)).count("entityUnlockSent") == 2


def test_an_empty_lock_set_is_granted_at_once(scene: Scene):
    owner = scene.section()
    scene.worker.answer(owner.granted(), raw.complete(3))
    scene.hub.reaches(owner.instance_id, raw.COMPLETED)


def test_a_request_half_granted_holds_what_it_has(scene: Scene):
    low, high = scene.entity("a"), scene.entity("b")
    holder = scene.section(high).enter()
    both = scene.section(high, low)
    eventually(lambda: scene.owner(low) == both.instance_id, what="the lower one locked first")
    assert scene.owner(high) == holder.instance_id
    scene.hub.signal(low, "foreign")
    scene.queues(low, 1)
    holder.leaves(scene.hub, high)
    both.enter()
    assert scene.owner(high) == both.instance_id
    both.leaves(scene.hub, low, high)
    scene.serve(low, "foreign")
    scene.hub.is_unlocked(high)


def test_a_request_half_granted_goes_with_its_orchestration(scene: Scene):
    low, high = scene.entity("a"), scene.entity("b")
    holder = scene.section(high).enter()
    both = scene.section(low, high)
    eventually(lambda: scene.owner(low) == both.instance_id, what="the lower one locked")
    scene.hub.terminate(both.instance_id)
    scene.worker.answer(scene.worker.turn(both.instance_id), raw.complete(3, status=raw.TERMINATED))
    scene.hub.is_unlocked(low)
    holder.leaves(scene.hub, high)
    # Whether the dead one's request is still queued would show here: this one would be behind it for ever.
    scene.section(high, low).enter().leaves(scene.hub, low, high)
    scene.hub.is_unlocked(high)


@pytest.mark.parametrize("who", ["another orchestration", "another section"])
def test_only_the_owner_unlocks_and_only_its_section(scene: Scene, who: str):
    entity = scene.entity("a")
    owner = scene.section(entity).enter()
    if who == "another orchestration":
        stranger = scene.hub.start(scene.name)
        scene.worker.answer(scene.worker.turn(stranger), raw.unlock_entity(1, owner.id, entity),
                            raw.call_entity(2, entity, "foreign"))
    else:
        owner.acts(scene.hub, raw.unlock_entity(1, raw.guid(), entity))
        scene.hub.signal(entity, "foreign")
    # Were it unlocked, the operation would not wait.
    scene.queues(entity, 1)
    owner.acts(scene.hub, raw.call_entity(3, entity, "own"))
    scene.serve(entity, "own")
    assert scene.owner(entity) == owner.instance_id
    scene.worker.answer(scene.worker.turn(owner.instance_id), raw.unlock_entity(4, owner.id, entity), raw.complete(4))
    scene.serve(entity, "foreign")


@pytest.mark.parametrize("status", [raw.COMPLETED, raw.FAILED, raw.TERMINATED, raw.CONTINUED_AS_NEW],
                         ids=["completed", "failed", "terminated", "continued-as-new"])
def test_trap_77_an_owner_that_ends_without_unlocking_unlocks(scene: Scene, status: int):
    one, two = scene.entity("a"), scene.entity("b")
    owner = scene.section(one, two).enter()
    scene.hub.signal(one, "foreign")
    scene.queues(one, 1)
    owner.acts(scene.hub, raw.complete(3, status=status))
    scene.serve(one, "foreign")
    scene.hub.is_unlocked(two)
    if status == raw.CONTINUED_AS_NEW:
        turn = scene.worker.turn(owner.instance_id)
        assert turn.new() == ["orchestratorStarted", "executionStarted"]
        section = raw.guid()
        scene.worker.answer(turn, raw.lock_entities(1, section, two))
        turn = scene.worker.turn(owner.instance_id)
        assert turn.request.newEvents[1].entityLockGranted.criticalSectionId == section


def test_trap_77_replacing_the_owner_unlocks(scene: Scene):
    entity = scene.entity("a")
    owner = scene.section(entity).enter()
    scene.hub.signal(entity, "foreign")
    scene.queues(entity, 1)
    scene.hub.start(scene.name, instance_id=owner.instance_id, policy=ANY_STATUS)
    scene.serve(entity, "foreign")
    # The namesake is another execution: what it says of the old section means nothing.
    next_owner = scene.section(entity).enter()
    turn = scene.worker.turn(owner.instance_id)
    assert turn.new() == ["orchestratorStarted", "executionStarted"]
    scene.worker.answer(turn, raw.unlock_entity(1, owner.id, entity), raw.call_entity(2, entity, "namesake"))
    scene.queues(entity, 1)
    assert scene.owner(entity) == next_owner.instance_id
    next_owner.leaves(scene.hub, entity)
    scene.serve(entity, "namesake")
    assert scene.worker.turn(owner.instance_id).answers() == [("completed", '"namesake"')]


@pytest.mark.parametrize("how", ["terminated", "purged", "replaced", "continued-as-new"])
def test_trap_77_a_waiting_request_goes_with_its_execution(scene: Scene, how: str):
    entity = scene.entity("a")
    holder = scene.section(entity).enter()
    waiter = scene.section(entity, also=marks(entity))
    scene.queues(entity, 1)
    if how == "continued-as-new":
        waiter.acts(scene.hub, raw.continue_as_new(3))
    elif how == "replaced":
        scene.hub.start(scene.name, instance_id=waiter.instance_id, policy=ANY_STATUS)
    else:
        scene.hub.terminate(waiter.instance_id)
        scene.worker.answer(scene.worker.turn(waiter.instance_id), raw.complete(3, status=raw.TERMINATED))
        if how == "purged":
            assert scene.hub.purge(waiter.instance_id).deletedInstanceCount == 1
    holder.leaves(scene.hub, entity)
    # It passes on to what was behind the request, and to the next one who asks.
    scene.serve(entity, "mark")
    scene.section(entity).enter().leaves(scene.hub, entity)
    scene.hub.is_unlocked(entity)
    if how in ("replaced", "continued-as-new"):
        turn = scene.worker.turn(waiter.instance_id)
        assert turn.new() == ["orchestratorStarted", "executionStarted"], "no grant of a section it does not know"


def test_a_call_of_a_dead_owner_is_executed_and_its_answer_dropped(scene: Scene):
    entity = scene.entity("a")
    owner = scene.section(entity).enter()
    owner.acts(scene.hub, raw.call_entity(3, entity, "last will"))
    batch = scene.worker.batch(entity)
    scene.hub.start(scene.name, instance_id=owner.instance_id, policy=ANY_STATUS)
    assert batch.operations() == [("last will", "")]
    scene.worker.commit(batch, raw.success(), state='"executed"')
    scene.hub.holds(entity, "executed")
    scene.hub.is_unlocked(entity)
    turn = scene.worker.turn(owner.instance_id)
    assert turn.new() == ["orchestratorStarted", "executionStarted"]
    scene.worker.answer(turn)
    scene.hub.raise_event(owner.instance_id, "anything for me?")
    assert scene.worker.turn(owner.instance_id).new() == ["orchestratorStarted", "eventRaised"]


def test_trap_75_an_old_owners_batch_ends_before_the_next_owner_enters(scene: Scene):
    entity = scene.entity("a")
    owner = scene.section(entity).enter()
    owner.acts(scene.hub, raw.call_entity(3, entity, "still out"))
    batch = scene.worker.batch(entity)
    following = scene.section(entity, also=marks(entity))
    scene.queues(entity, 1)
    owner.acts(scene.hub, raw.unlock_entity(4, owner.id, entity), raw.complete(5))
    # Answering the owner's turn came before this probe; had the grant, it would be there by now.
    probe = scene.hub.start(scene.name)
    scene.worker.answer(scene.worker.turn(probe), raw.complete(1))
    assert scene.worker.waiting_turn(following.instance_id) is None
    assert scene.owner(entity) != following.instance_id
    scene.worker.commit(batch, raw.success(), state='"made"')
    following.enter().leaves(scene.hub, entity)
    scene.serve(entity, "mark")


def test_trap_94_a_lost_worker_takes_no_lock_with_it(hub: Hub):
    scene = Scene(hub)
    entity = scene.entity("a")
    owner = scene.section(entity).enter()
    owner.acts(scene.hub, raw.call_entity(3, entity, "inside"))
    lost = scene.worker.batch(entity)
    scene.hub.signal(entity, "foreign")
    scene.queues(entity, 1)
    scene.worker.close()
    scene.worker = owner.worker = hub.raw_worker(orchestrations=[scene.name], entities=[scene.name])
    again = scene.worker.batch(entity)
    assert again.operations() == lost.operations() == [("inside", "")] and again.token != lost.token
    assert scene.owner(entity) == owner.instance_id
    scene.worker.commit(lost, raw.success('"from the lost one"'), state='"stale"')
    scene.worker.commit(again, raw.success('"from the new one"'), state='"made"')
    turn = scene.worker.turn(owner.instance_id)
    assert turn.answers() == [("completed", '"from the new one"')]
    assert scene.owner(entity) == owner.instance_id
    scene.worker.answer(turn, raw.unlock_entity(4, owner.id, entity), raw.complete(5))
    scene.serve(entity, "foreign")


def test_what_the_owner_asked_stays_in_front_when_its_worker_stops_early(scene: Scene):
    entity = scene.entity("a")
    owner = scene.section(entity).enter()
    owner.acts(scene.hub, raw.call_entity(3, entity, "first"))
    out = scene.worker.batch(entity)
    owner.acts(scene.hub, *[raw.call_entity(id, entity, name) for id, name in ((4, "second"), (5, "third"))])
    scene.hub.signal(entity, "foreign")
    scene.queues(entity, 3)
    scene.worker.commit(out, raw.success('"first"'), state='"made"')
    batch = scene.worker.batch(entity)
    assert batch.operations() == [("second", ""), ("third", "")]
    scene.worker.commit(batch, raw.success('"second"'), state='"made"')
    scene.serve(entity, "third")
    answers: list[tuple[str, str]] = []
    while len(answers) < 3:
        turn = scene.worker.turn(owner.instance_id)
        answers += turn.answers()
        scene.worker.answer(turn, *([raw.complete(6)] if len(answers) == 3 else []))
    assert answers == [("completed", f'"{name}"') for name in ("first", "second", "third")]
    scene.serve(entity, "foreign")


def test_a_lock_and_its_section_survive_a_redelivered_grant(hub: Hub):
    scene = Scene(hub)
    entity = scene.entity("a")
    owner = scene.section(entity)
    owner.granted()
    scene.worker.close()
    scene.worker = owner.worker = hub.raw_worker(orchestrations=[scene.name], entities=[scene.name])
    owner.enter()
    assert scene.owner(entity) == owner.instance_id
    owner.leaves(hub, entity)
    scene.hub.is_unlocked(entity)
    assert raw.kinds(hub.history(owner.instance_id)).count("entityLockGranted") == 1


def test_suspending_the_owner_keeps_its_lock(scene: Scene):
    entity = scene.entity("a")
    owner = scene.section(entity).enter()
    scene.hub.suspend(owner.instance_id)
    scene.worker.answer(scene.worker.turn(owner.instance_id))
    scene.hub.signal(entity, "foreign")
    scene.queues(entity, 1)
    assert scene.owner(entity) == owner.instance_id
    scene.hub.resume(owner.instance_id)
    scene.worker.answer(scene.worker.turn(owner.instance_id), raw.unlock_entity(3, owner.id, entity), raw.complete(4))
    scene.serve(entity, "foreign")


@pytest.mark.own_server
def test_locks_survive_a_kill(own_server: Server):
    hub = Hub(own_server.address)
    try:
        scene = Scene(hub)
        one, two = scene.entity("a"), scene.entity("b")
        owner = scene.section(one, two).enter()
        waiter = scene.section(one, also=marks(one))
        scene.queues(one, 1)
        own_server.kill()
    finally:
        hub.close()
    own_server.start()
    hub = Hub(own_server.address)
    try:
        scene.hub = hub
        scene.worker = owner.worker = waiter.worker = hub.raw_worker(
            orchestrations=[scene.name], entities=[scene.name])
        assert scene.owner(one) == scene.owner(two) == owner.instance_id
        owner.leaves(hub, one)
        waiter.enter()
        assert scene.owner(one) == waiter.instance_id
        scene.hub.is_unlocked(two)
        waiter.leaves(hub, one)
        scene.serve(one, "mark")
    finally:
        hub.close()
